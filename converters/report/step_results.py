"""What the steps noted in the work folder, as the report reads it; any of it may be absent, other keys are passed by.

* ``train.json``, ``distill.json``, ``prune.json``: fold → size, work and AUC, of pruning the layers too
* ``quantize.json``: runtime → ``Search.as_dict()``
* ``gates.json``: ``{"artefacts": [{"runtime", "precision", "outcome", "gates": [GateResult.as_dict() …], "why"}]}``
* ``leave_out.json``: ``{"trait", "sources": [{"value", "n", "positives", "learnt_from", "auc", "auc_ci",
  "sensitivity", "sensitivity_ci", "specificity", "specificity_ci"}]}``
* ``speed.json``: ``{"machine", "rows": [{"runtime", "precision", "name", "milliseconds", "low", "high", "bytes"}]}``
* ``maps.json``: ``{"artefacts": [{"runtime", "precision", "every_cell", "evidence": Agreement}], "covered":
  occlusion.compared(), "pointing": maps.pointing(), "examples": [occlusion.example()]}``
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from converters.evaluation.gates import GateOutcome, GateResult
from converters.statistics.selective import Curve
from firmware_app.packs.evidence import ReferenceAgreement


@dataclass(frozen=True, slots=True)
class Trained:
    """One network of one fold."""

    stage: str
    fold: str
    auc: float | None
    parameters: int | None
    multiplications: int | None

    @classmethod
    def from_dict(cls, stage: str, fold: str, entry: Mapping[str, Any]) -> Self:
        """Parse a step's record of one fold."""
        return cls(stage, fold, entry.get("auc"), entry.get("parameters"), entry.get("multiplications"))


@dataclass(frozen=True, slots=True)
class Pruning:
    """What pruning left: the share of multiplications, and (layer, channels before, after)."""

    kept: float
    layers: tuple[tuple[str, int, int], ...]

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Parse ``Pruned.as_dict``."""
        layers = tuple((one["name"], one["before"], one["after"]) for one in entry.get("layers", ()))
        return cls(float(entry.get("kept", 1.0)), layers)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One INT8 file that was tried; ``refused`` says why not, empty when it passed.

    ``layers``: convolutions and matrix products in INT8, and all of them; ``times_as_fast`` as the float file.
    """

    method: str
    moved: float
    refused: str
    qat: bool = False
    layers: tuple[int, int] | None = None
    times_as_fast: float | None = None

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Parse ``Candidate.as_dict``."""
        layers = entry.get("layers")
        return cls(
            method=entry.get("method", ""),
            moved=float(entry.get("moved", 0.0)),
            refused=entry.get("refused", ""),
            qat=bool(entry.get("qat")),
            layers=(int(layers[0]), int(layers[1])) if layers else None,
            times_as_fast=entry.get("times_as_fast"),
        )


@dataclass(frozen=True, slots=True)
class Quantized:
    """The search for the INT8 file of one runtime."""

    runtime: str
    tried: tuple[Attempt, ...]
    found: bool

    @classmethod
    def from_dict(cls, runtime: str, entry: Mapping[str, Any]) -> Self:
        """Parse ``Search.as_dict``."""
        tried = tuple(Attempt.from_dict(one) for one in entry.get("tried", ()))
        return cls(runtime, tried, entry.get("chosen") is not None)


@dataclass(frozen=True, slots=True)
class FileGates:
    """One artefact before the gates."""

    runtime: str
    precision: str
    outcome: GateOutcome
    gates: tuple[GateResult, ...]
    why: str = ""

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Parse an entry of ``gates.json``."""
        gates = tuple(GateResult.from_dict(one) for one in entry.get("gates", ()))
        return cls(entry["runtime"], entry["precision"], GateOutcome(entry["outcome"]), gates, entry.get("why", ""))


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
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Parse a row of ``speed.json``."""
        middle = float(entry["milliseconds"])
        return cls(
            runtime=entry["runtime"],
            precision=entry["precision"],
            name=entry.get("name", ""),
            milliseconds=middle,
            low=float(entry.get("low", middle)),
            high=float(entry.get("high", middle)),
            bytes=int(entry.get("bytes", 0)),
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """How one artefact's map agrees with Grad-CAM: over every cell, and only where there is evidence (``None``: no)."""

    runtime: str
    precision: str
    n: int
    mean: float
    median: float
    low: float
    least: float
    evidence: float | None
    evidence_n: int

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Parse an entry of ``maps.json`` with at least one counted film."""
        every, evidence = entry["every_cell"], entry["evidence"]
        return cls(
            runtime=entry["runtime"],
            precision=entry["precision"],
            n=every["n"],
            mean=every["mean"],
            median=every["median"],
            low=every["low"],
            least=every["least"],
            evidence=evidence["mean"],
            evidence_n=evidence["n"],
        )


@dataclass(frozen=True, slots=True)
class Unseen:
    """How good a network is on films of a source that it never saw."""

    trait: str
    value: str
    n: int
    positives: int
    learnt_from: int
    auc: float | None
    auc_ci: tuple[float, float] | None
    sensitivity: float | None = None
    sensitivity_ci: tuple[float, float] | None = None
    specificity: float | None = None
    specificity_ci: tuple[float, float] | None = None
    coverage: Curve | None = None

    @classmethod
    def from_dict(cls, trait: str, entry: Mapping[str, Any]) -> Self:
        """Parse an entry of ``leave_out.json``."""

        def ends(name: str) -> tuple[float, float] | None:
            interval = entry.get(f"{name}_ci")
            return (float(interval[0]), float(interval[1])) if interval else None

        return cls(
            trait=trait,
            value=str(entry["value"]),
            n=int(entry["n"]),
            positives=int(entry["positives"]),
            learnt_from=int(entry["learnt_from"]),
            auc=entry.get("auc"),
            auc_ci=ends("auc"),
            sensitivity=entry.get("sensitivity"),
            sensitivity_ci=ends("sensitivity"),
            specificity=entry.get("specificity"),
            specificity_ci=ends("specificity"),
            coverage=Curve.from_dict(entry["coverage"]) if entry.get("coverage") else None,
        )


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything that the steps noted."""

    trained: tuple[Trained, ...] = ()
    pruning: Pruning | None = None
    quantized: tuple[Quantized, ...] = ()
    judged: tuple[FileGates, ...] = ()
    timed: tuple[Timed, ...] = ()
    machine: str = ""
    mapped: tuple[Mapped, ...] = ()
    pointing: Mapping[str, Any] | None = None
    explained: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ()
    unseen: tuple[Unseen, ...] = ()
    reference: ReferenceAgreement | None = None

    @classmethod
    def from_dict(cls, entry: Mapping[str, Mapping[str, Any]]) -> Self:
        """Parse a mapping from steps to their results."""
        left = entry.get("leave_out", {})
        trained = tuple(
            Trained.from_dict(stage, fold, one)
            for stage in ("train", "distill", "prune")
            for fold, one in entry.get(stage, {}).items()
        )
        pruned = entry.get("prune", {})
        shipped = pruned.get("whole") or next(iter(pruned.values()), None)
        speed, maps = entry.get("speed", {}), entry.get("maps", {})
        reference = entry.get("calibrate", {}).get("reference")
        return cls(
            trained=trained,
            pruning=Pruning.from_dict(shipped) if shipped else None,
            quantized=tuple(Quantized.from_dict(runtime, one) for runtime, one in entry.get("quantize", {}).items()),
            judged=tuple(FileGates.from_dict(one) for one in entry.get("gates", {}).get("artefacts", ())),
            timed=tuple(Timed.from_dict(one) for one in speed.get("rows", ())),
            machine=str(speed.get("machine", "")),
            mapped=tuple(Mapped.from_dict(one) for one in maps.get("artefacts", ()) if one["every_cell"]["n"]),
            pointing=maps.get("pointing"),
            explained=tuple(
                (name, maps["covered"][name]) for name in ("occlusion", "lime") if name in maps.get("covered", ())
            ),
            examples=tuple(maps.get("examples", ())),
            unseen=tuple(Unseen.from_dict(left.get("trait", ""), one) for one in left.get("sources", ())),
            reference=ReferenceAgreement.model_validate(reference) if reference else None,
        )

    def refusing(self, later: Mapping[tuple[str, str], Sequence[GateResult]]) -> Self:
        """Return a copy with refused files, by (runtime, precision), that the step ``gate`` had passed."""

        def judge(one: FileGates) -> FileGates:
            against = later.get((one.runtime, one.precision))
            if not against:
                return one
            return replace(one, outcome=GateOutcome.REFUSED, gates=(*one.gates, *against))

        return replace(self, judged=tuple(judge(file_gates) for file_gates in self.judged))

    @classmethod
    def read(cls, work: Path) -> Self:
        """Read the files of a work folder, in the ledger's envelope or bare; what is absent stays empty."""
        entries: dict[str, Any] = {}
        for step in ("train", "distill", "prune", "calibrate", "quantize", "gates", "speed", "maps", "leave_out"):
            path = work / f"{step}.json"
            if path.is_file():
                entry = json.loads(path.read_text(encoding="utf-8"))
                entries[step] = entry.get("results", entry)
        return cls.from_dict(entries)
