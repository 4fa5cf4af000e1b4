"""PTQ search for one runtime: two or three ways to choose activation ranges, then more and more layers in float.

A candidate is judged by fidelity first, how far it moves the logits of films it was not calibrated on, because on few
films a damaged model may score better by luck; then by the gates (:mod:`converters.evaluation.gates`).  When no plain
candidate
passes, the layers are ranked by how much it helps to leave each one in float, and the worst stay in float, one more at
a time. Every candidate is kept in the record, with the reason of its refusal.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.gates import GateOutcome, GateResult, worst
from converters.failures import ToolFailed
from firmware_app import progress

MOST_MOVED = 0.13
"""Largest root-mean-square change of the logits, in spreads of the float ones, that is accepted."""

Logits = Callable[[Path], NDArray[Any]]
Judge = Callable[[NDArray[Any]], list[GateResult]]


class Format(Protocol):
    """How one runtime's INT8 files are made, one a fold: ``method`` finds the ranges, ``spared`` layers stay in float.

    ``first`` makes only that of the first fold, for the layers' sensitivity.
    """

    @property
    def methods(self) -> Sequence[str]: ...
    @property
    def layers(self) -> Sequence[str]: ...

    def make(self, folder: Path, method: str, spared: Sequence[str], *, first: bool = False) -> Path: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """INT8 files that were tried, in ``path``; ``moved`` is :func:`moved` of their logits."""

    method: str
    spared: tuple[str, ...]
    moved: float
    verdicts: tuple[GateResult, ...]
    logits: NDArray[Any] = field(repr=False)
    path: Path = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether fidelity and every gate let it through."""
        return self.moved <= MOST_MOVED and worst(self.verdicts) is not GateOutcome.REFUSED

    @property
    def why_not(self) -> str:
        """The refusal in words; empty when it passed."""
        said = [verdict.said for verdict in self.verdicts if verdict.outcome is GateOutcome.REFUSED]
        if self.moved > MOST_MOVED:
            said.insert(0, f"logits move by {self.moved:.3f} of their spread, allowed {MOST_MOVED}")
        return "; ".join(said)

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "method": self.method, "spared": list(self.spared), "moved": round(self.moved, 4),
            "gates": [verdict.as_dict() for verdict in self.verdicts], "refused": self.why_not,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: the chosen candidate or none, all that was tried, and the layers' sensitivity."""

    chosen: Candidate | None
    tried: tuple[Candidate, ...]
    sensitivity: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "chosen": self.chosen.as_dict() if self.chosen else None,
            "tried": [one.as_dict() for one in self.tried],
            "sensitivity": {name: round(value, 4) for name, value in self.sensitivity.items()},
        }  # fmt: skip


def joined(first: dict[str, Any], again: Search) -> dict[str, Any]:
    """The record of a search without result, and of the second one after QAT."""
    more = again.as_dict()
    tried = [*first["tried"], *({**one, "aware": True} for one in more["tried"])]
    return {**first, "chosen": more["chosen"], "tried": tried}


def search(
    made_by: Format, folder: Path, wanted: NDArray[Any], logits: Logits, judge: Judge, most_spared: int,
    sample: Logits,
) -> Search:  # fmt: skip
    """Try candidates, each in a folder of its own below ``folder``, until one passes.

    ``wanted`` are the float logits, ``logits`` a candidate's on the same films, ``judge`` its gates; ``sample`` are a
    candidate's logits on a few films of the first fold, for the layers' sensitivity.  Only the chosen folder is left.
    """
    tried: list[Candidate] = []

    def attempt(method: str, spared: Sequence[str]) -> Candidate:
        path = made_by.make(folder / f"try{len(tried)}", method, spared)
        rounded = logits(path)
        tried.append(Candidate(method, tuple(spared), moved(wanted, rounded), tuple(judge(rounded)), rounded, path))
        one = tried[-1]
        said = f"passed, logits move by {one.moved:.3f} of their spread" if one.passed else f"refused: {one.why_not}"
        print(f"  {folder.name} INT8, {method}, layers in float: {len(spared)}: {said}", file=sys.stderr, flush=True)
        return tried[-1]

    failed: ToolFailed | None = None
    for method in made_by.methods:
        try:
            attempt(method, ())
        except ToolFailed as error:  # one library's; another may know the network
            failed = error
            print(f"{method}: {error}", file=sys.stderr, flush=True)
    if failed is not None and not tried:
        raise failed
    sensitivity: dict[str, float] = {}
    if most_spared and not any(one.passed for one in tried):
        method = min(tried, key=lambda one: one.moved).method
        sensitivity = ranked(made_by, folder, method, sample)
        for count in range(1, min(most_spared, len(sensitivity)) + 1):
            if attempt(method, list(sensitivity)[:count]).passed:
                break
    passed = [one for one in tried if one.passed]
    # A dynamic file follows the float one more closely and runs more slowly: it is the second choice.
    chosen = min(passed, key=lambda one: (one.method == "dynamic", len(one.spared), one.moved)) if passed else None
    for one in tried:
        if one is not chosen:
            remove(one.path)
    return Search(chosen, tuple(tried), sensitivity)


def ranked(made_by: Format, folder: Path, method: str, sample: Logits) -> dict[str, float]:
    """Layer → how much nearer the logits come to each other when it alone stays in float; the most first."""
    whole = made_by.make(folder / "whole", method, (), first=True)
    reference = made_by.make(folder / "none", method, list(made_by.layers), first=True)
    aim, rounded = sample(reference), sample(whole)
    base = moved(aim, rounded)
    gain: dict[str, float] = {}
    with progress.counter("sensitivity of layers: measured") as advance:
        for number, layer in enumerate(made_by.layers, 1):
            path = made_by.make(folder / "layer", method, [layer], first=True)
            gain[layer] = base - moved(aim, sample(path))
            remove(path)
            advance(number, len(made_by.layers))
    remove(whole)
    remove(reference)
    return dict(sorted(gain.items(), key=lambda item: -item[1]))


def moved(wanted: NDArray[Any], rounded: NDArray[Any]) -> float:
    """Root-mean-square change of logits (of films, or of the cells of outlines), in spreads of the wanted ones."""
    return float(np.sqrt(np.mean((rounded - wanted) ** 2)) / max(float(wanted.std()), 1e-9))


def remove(path: Path) -> None:
    """Take away a candidate's folder."""
    shutil.rmtree(path, ignore_errors=True)
