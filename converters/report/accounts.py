"""What the steps noted in the work folder, as the report reads it; any of it may be absent, other keys are passed by.

* ``train.json``, ``distill.json``, ``prune.json``: fold → size, work and AUC, of pruning the layers too
* ``quantize.json``: runtime → ``Search.as_dict()``
* ``gates.json``: ``{"artefacts": [{"runtime", "precision", "outcome", "gates": [Verdict.as_dict() …], "why"}]}``
* ``speed.json``: ``{"machine", "rows": [{"runtime", "precision", "name", "milliseconds", "low", "high", "bytes"}]}``
* ``occlusion.json``: ``occlusion.compared()``, and ``"examples"``: a list of ``occlusion.example()``
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from converters.gates import Outcome


@dataclass(frozen=True, slots=True)
class Trained:
    """One network of one fold."""

    stage: str
    fold: str
    auc: float | None
    parameters: int | None
    multiplications: int | None

    @classmethod
    def from_dict(cls, stage: str, fold: str, told: Mapping[str, Any]) -> Self:
        """From a step's account of one fold."""
        return cls(stage, fold, told.get("auc"), told.get("parameters"), told.get("multiplications"))


@dataclass(frozen=True, slots=True)
class Pruning:
    """What pruning left: the share of multiplications, and (layer, channels before, after)."""

    kept: float
    layers: tuple[tuple[str, int, int], ...]

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """From ``Pruned.as_dict``."""
        layers = tuple((one["name"], one["before"], one["after"]) for one in told.get("layers", ()))
        return cls(float(told.get("kept", 1.0)), layers)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One INT8 file that was tried; ``refused`` says why not, empty when it passed."""

    method: str
    spared: tuple[str, ...]
    moved: float
    refused: str


@dataclass(frozen=True, slots=True)
class Quantized:
    """The search for the INT8 file of one runtime."""

    runtime: str
    tried: tuple[Attempt, ...]
    sensitivity: tuple[tuple[str, float], ...]
    found: bool

    @classmethod
    def from_dict(cls, runtime: str, told: Mapping[str, Any]) -> Self:
        """From ``Search.as_dict``."""
        tried = tuple(
            Attempt(one.get("method", ""), tuple(one.get("spared", ())), float(one.get("moved", 0.0)),
                    one.get("refused", ""))
            for one in told.get("tried", ())
        )  # fmt: skip
        return cls(runtime, tried, tuple(told.get("sensitivity", {}).items()), told.get("chosen") is not None)


@dataclass(frozen=True, slots=True)
class Said:
    """One verdict of one gate."""

    gate: str
    outcome: Outcome
    measured: float
    margin: float
    said: str

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """From ``Verdict.as_dict``."""
        return cls(told["gate"], Outcome(told["outcome"]), float(told["measured"]), float(told["margin"]), told["said"])


@dataclass(frozen=True, slots=True)
class Judged:
    """One artefact before the gates."""

    runtime: str
    precision: str
    outcome: Outcome
    gates: tuple[Said, ...]
    why: str = ""

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """From an entry of ``gates.json``."""
        gates = tuple(Said.from_dict(one) for one in told.get("gates", ()))
        return cls(told["runtime"], told["precision"], Outcome(told["outcome"]), gates, told.get("why", ""))


@dataclass(frozen=True, slots=True)
class Timed:
    """How long one artefact takes for one film: median milliseconds with the 5th and 95th percentile, and its size."""

    runtime: str
    precision: str
    name: str
    milliseconds: float
    low: float
    high: float
    bytes: int

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """From a row of ``speed.json``."""
        middle = float(told["milliseconds"])
        return cls(
            told["runtime"], told["precision"], told.get("name", ""), middle, float(told.get("low", middle)),
            float(told.get("high", middle)), int(told.get("bytes", 0)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything that the steps noted."""

    trained: tuple[Trained, ...] = ()
    pruning: Pruning | None = None
    quantized: tuple[Quantized, ...] = ()
    judged: tuple[Judged, ...] = ()
    timed: tuple[Timed, ...] = ()
    machine: str = ""
    explained: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_dict(cls, told: Mapping[str, Mapping[str, Any]]) -> Self:
        """From step → its results."""
        trained = tuple(
            Trained.from_dict(stage, fold, one)
            for stage in ("train", "distill", "prune")
            for fold, one in told.get(stage, {}).items()
        )
        pruned = told.get("prune", {})
        shipped = pruned.get("whole") or next(iter(pruned.values()), None)
        speed = told.get("speed", {})
        return cls(
            trained,
            Pruning.from_dict(shipped) if shipped else None,
            tuple(Quantized.from_dict(runtime, one) for runtime, one in told.get("quantize", {}).items()),
            tuple(Judged.from_dict(one) for one in told.get("gates", {}).get("artefacts", ())),
            tuple(Timed.from_dict(one) for one in speed.get("rows", ())),
            str(speed.get("machine", "")),
            tuple(pair for pair in told.get("occlusion", {}).items() if pair[0] != "examples"),
            tuple(told.get("occlusion", {}).get("examples", ())),
        )

    @classmethod
    def read(cls, work: Path) -> Self:
        """From the files in a work folder, in the ledger's envelope or bare; what is absent stays empty."""
        told: dict[str, Any] = {}
        for step in ("train", "distill", "prune", "quantize", "gates", "speed", "occlusion"):
            path = work / f"{step}.json"
            if path.is_file():
                entry = json.loads(path.read_text(encoding="utf-8"))
                told[step] = entry.get("results", entry)
        return cls.from_dict(told)
