"""PTQ search for one runtime: every way that its format knows, and of the files that pass the gates the fastest.

A candidate is judged by fidelity first, how far it moves the logits of films it was not calibrated on, because on few
films a damaged model may score better by luck; then by the gates (:mod:`converters.evaluation.gates`).  Those that pass
are timed beside the float file; one that is slower than that is of no use and is refused too.  When none is left, the
format's accuracy control returns operators to float (:mod:`converters.formats.accuracy_control`).  Every candidate is
kept in the record, with the reason of its refusal.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from converters.evaluation import gates
from converters.evaluation.gates import GateOutcome, GateResult, worst
from converters.failures import ToolFailed
from converters.formats.accuracy_control import MOST_MOVED as MOST_MOVED
from converters.formats.accuracy_control import move as move
from converters.formats.interface import CONTROLS
from converters.recipe_tables import Gate

AS_FAST = 0.8
"""Files are taken for equally fast from this share of the fastest one's speed on; then the most faithful is chosen.

On a busy machine two files of the same operators differ by so much; a box asks for as much before it changes."""

Logits = Callable[[Path], NDArray[Any]]
Judge = Callable[[NDArray[Any]], list[GateResult]]


class Candidates(Protocol):
    """How one runtime's INT8 files are made, one a fold."""

    @property
    def methods(self) -> Sequence[str]:
        """The ways in which a file can be made."""
        ...

    @property
    def controlled(self) -> bool:
        """Whether there is accuracy control as a last resort."""
        ...

    @property
    def runs_here(self) -> bool:
        """Whether the machine that they are for is like this one, so that layers and speed say something."""
        ...

    def make(self, folder: Path, method: str) -> Path:
        """Make the files in ``folder``; returns it."""
        ...

    def layers(self, folder: Path) -> tuple[int, int]:
        """How many convolutions and matrix products are computed in INT8, and of how many."""
        ...

    def times_as_fast(self, folders: Sequence[Path]) -> list[float]:
        """How many times as fast as the float file each is, timed in turns; empty where none can be timed here."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """INT8 files that were tried, in ``path``; ``moved`` is :func:`moved` of their logits."""

    method: str
    moved: float
    verdicts: tuple[GateResult, ...]
    logits: NDArray[Any] = field(repr=False)
    path: Path = field(repr=False)
    layers: tuple[int, int] = (0, 0)
    """Convolutions and matrix products in INT8, and all of them."""

    times_as_fast: float | None = None
    """As the float file; ``None`` where it was not timed."""

    @property
    def passed(self) -> bool:
        """Whether fidelity and every gate let it through."""
        return self.moved <= MOST_MOVED and worst(self.verdicts) is not GateOutcome.REFUSED

    @property
    def why_not(self) -> str:
        """The refusal as a sentence; empty when it passed."""
        said = [verdict.said for verdict in self.verdicts if verdict.outcome is GateOutcome.REFUSED]
        if not self.moved <= MOST_MOVED:
            said.insert(0, f"logits move by {self.moved:.3f} of their spread, allowed {MOST_MOVED}")
        return "; ".join(said)

    def measure_time(self, ratio: float, at_least: float) -> "Candidate":
        """Measure its speed, and apply the speed gate."""
        return replace(self, times_as_fast=ratio, verdicts=(*self.verdicts, gates.gate_speed(ratio, at_least)))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "method": self.method,
            "moved": round(self.moved, 4),
            "layers": list(self.layers),
            "times_as_fast": None if self.times_as_fast is None else round(self.times_as_fast, 3),
            "gates": [verdict.as_dict() for verdict in self.verdicts],
            "refused": self.why_not,
        }


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: the chosen candidate or none, and all that was tried."""

    chosen: Candidate | None
    tried: tuple[Candidate, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        chosen = self.chosen.as_dict() if self.chosen else None
        return {"chosen": chosen, "tried": [candidate.as_dict() for candidate in self.tried]}


def join(first: dict[str, Any], again: Search) -> dict[str, Any]:
    """The record of a search without result, and of the second one after QAT."""
    more = again.as_dict()
    tried = [*first["tried"], *({**one, "qat": True} for one in more["tried"])]
    return {**first, "chosen": more["chosen"], "tried": tried}


def search(
    made_by: Candidates,
    folder: Path,
    wanted: NDArray[Any],
    logits: Logits,
    judge: Judge,
    gate: Gate,
    *,
    control: bool = True,
) -> Search:
    """Try every method, each in a folder of its own below ``folder``, and accuracy control where none passes.

    ``wanted`` are the float logits, ``logits`` a candidate's on the same films, ``judge`` its gates; ``gate`` says how
    many of its layers must be in INT8 and how fast it must be.  Only the chosen folder is left.
    """
    tried: list[Candidate] = []
    failed: ToolFailed | None = None
    for methods in (made_by.methods, *([one] for one in CONTROLS if control and made_by.controlled)):
        fresh: list[Candidate] = []
        for method in methods:
            try:
                path = made_by.make(folder / f"try{len(tried) + len(fresh)}", method)
            except ToolFailed as error:  # one library's; another may know the network
                failed = error
                print(f"{method}: {error}", file=sys.stderr, flush=True)
                continue
            rounded, layers, verdicts = logits(path), made_by.layers(path), list[GateResult]()
            if made_by.runs_here:
                verdicts.append(gates.int8_share(layers, gate.int8_at_least))
            verdicts += judge(rounded)
            fresh.append(
                Candidate(
                    method=method,
                    moved=move(wanted, rounded),
                    verdicts=tuple(verdicts),
                    logits=rounded,
                    path=path,
                    layers=layers,
                )
            )
        tried += _measure_time(made_by, fresh, gate.speed_at_least)
        for candidate in tried[len(tried) - len(fresh) :]:
            print(f"  {folder.name} INT8, {_describe(candidate)}", file=sys.stderr, flush=True)
        if any(candidate.passed for candidate in tried):
            break
    if failed is not None and not tried:
        raise failed
    chosen = fastest([candidate for candidate in tried if candidate.passed])
    for candidate in tried:
        if candidate is not chosen:
            remove(candidate.path)
    return Search(chosen, tuple(tried))


def fastest(passed: Sequence[Candidate]) -> Candidate | None:
    """The fastest of files that passed, or of those that are as fast (:data:`AS_FAST`) the most faithful.

    Of files that were not timed the most faithful.
    """
    if not passed:
        return None
    best = max(candidate.times_as_fast or 0.0 for candidate in passed)
    return min(
        (candidate for candidate in passed if (candidate.times_as_fast or 0.0) >= AS_FAST * best),
        key=lambda one: one.moved,
    )


def _measure_time(made_by: Candidates, fresh: Sequence[Candidate], at_least: float) -> list[Candidate]:
    """Those of ``fresh`` that passed with their speed: it is measured only of files that may be taken."""
    good = [candidate for candidate in fresh if candidate.passed]
    ratios = dict(
        zip((candidate.path for candidate in good), made_by.times_as_fast([one.path for one in good]), strict=False)
    )
    return [
        candidate.measure_time(ratios[candidate.path], at_least) if candidate.path in ratios else candidate
        for candidate in fresh
    ]


def _describe(one: Candidate) -> str:
    """A line of the log."""
    layers = f"{one.layers[0]} of {one.layers[1]} convolutions and products in INT8"
    speed = "" if one.times_as_fast is None else f", {one.times_as_fast:.2f} times as fast as the float file"
    said = f"passed, logits move by {one.moved:.3f} of their spread" if one.passed else f"refused: {one.why_not}"
    return f"{one.method}, {layers}{speed}: {said}"


def remove(path: Path) -> None:
    """Take away a candidate's folder."""
    shutil.rmtree(path, ignore_errors=True)
