"""The gates: what a smaller file may lose against the FP32 original before it is refused.

Judged on pooled out-of-fold predictions, film by film beside the original's (:mod:`converters.statistics.paired`):

* AUC may fall by at most ``auc_loss``, its interval from resamples of whole patients;
* sensitivity at the frozen threshold by at most ``sensitivity_loss``; with fewer than ``few_positives`` positive films
  that margin is less than one or two films, so at most ``most_lost`` of them may be lost, whatever is gained elsewhere;
* FP32 and FP16 also match PyTorch: cell by cell on those films, in units of the map's largest cell, and in the logit
  itself on the golden cases; INT8 does not, and its golden tolerance is measured, up to a ceiling
  (:mod:`converters.golden_cases.cases`);
* the files that ship are made from another network than the folds' files, and are compared with that one
  (:mod:`converters.evaluation.shipped_files`);
* the map agrees with Grad-CAM of the original by a mean rank correlation of ``map_correlation`` or more.

Where the interval of a difference crosses the margin the verdict stands but is called inconclusive; with few positive
films it always is, since even none lost among n leaves 3 / n possible (the rule of three, Hanley 1983).  An INT8 file
must also be as fast as the float one of its runtime, and nearly all of its layers must be computed in INT8 there;
which of the runtimes is the fastest the box finds on its own device.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np

from converters.data.predictions import Predictions
from converters.recipe_tables import Gate
from converters.statistics import paired
from converters.tasks.interface import Outputs

PARITY: Mapping[str, float] = {"fp32": 1e-4, "fp16": 5e-2}
"""Largest difference from PyTorch; see :func:`parity` and :func:`golden_parity`."""


class GateOutcome(StrEnum):
    """The outcome of a gate."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"  # passed, but the interval reaches beyond the margin
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of one gate for one artefact: the measured difference, its margin, and a sentence."""

    gate: str
    outcome: GateOutcome
    measured: float
    margin: float
    said: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "measured": round(self.measured, 5), "outcome": self.outcome.value}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Parse what :meth:`as_dict` returns."""
        outcome = GateOutcome(kept["outcome"])
        return cls(kept["gate"], outcome, float(kept["measured"]), float(kept["margin"]), kept["said"])


def judge(original: Predictions, other: Predictions, threshold_logit: float, gate: Gate) -> list[GateResult]:
    """The task gates of one artefact. ``threshold_logit``: the frozen threshold before calibration.

    Raises :class:`ValueError` when the two did not judge the same films.
    """
    if original.names != other.names or not np.array_equal(original.labels, other.labels):
        raise ValueError("the two models have not judged the same films")
    return [_auc(original, other, gate), sensitivity(original, other, threshold_logit, gate)]


def parity(precision: str, largest: float, absolute: float | None = None) -> GateResult | None:
    """The cell-by-cell gate of FP32 and FP16 files; ``None`` for INT8, which has none.

    ``largest`` is in units of the map's largest cell and is judged; ``absolute``, in logits, is reported beside it.
    """
    margin = PARITY.get(precision)
    if margin is None:
        return None
    passed = largest <= margin
    beside = "" if absolute is None else f" ({absolute:.2g} in logits)"
    said = f"largest difference from the original {largest:.2g} of the map's largest cell{beside}, allowed {margin:g}"
    return GateResult("parity", GateOutcome.PASSED if passed else GateOutcome.REFUSED, largest, margin, said)


def golden_parity(precision: str, apart: float, cells: float, of: str = "logit") -> GateResult | None:
    """The gate of FP32 and FP16 files on the golden cases, as it is: ``apart``, the largest difference of the answers.

    ``cells``, the largest difference of the maps' cells, is reported beside it.
    """
    margin = PARITY.get(precision)
    if margin is None:
        return None
    said = f"on the golden cases, largest difference from the original's {of} {apart:.2g} (of a cell {cells:.2g}), "
    outcome = GateOutcome.PASSED if apart <= margin else GateOutcome.REFUSED
    return GateResult("golden parity", outcome, apart, margin, f"{said}allowed {margin:g}")


def apart(wanted: Outputs, given: Outputs) -> tuple[float, float]:
    """The largest difference of two files' outputs: in units of the wanted one's largest cell or 1, and as it is."""
    largest = (0.0, 0.0)
    for name, cells in wanted.items():
        if not bool(np.isfinite(given[name]).all()):
            return math.inf, math.inf
        absolute = float(np.abs(given[name] - cells).max())
        largest = max(largest[0], absolute / max(1.0, float(np.abs(cells).max()))), max(largest[1], absolute)
    return largest


def gate_speed(ratio: float, at_least: float) -> GateResult:
    """The gate of an INT8 file's speed: ``ratio`` is how many times as fast as the float file it is."""
    outcome = GateOutcome.PASSED if ratio >= at_least else GateOutcome.REFUSED
    said = f"{ratio:.2f} times as fast as the float file of its runtime, at least {at_least:g} wanted"
    return GateResult("speed", outcome, ratio, at_least, said)


def int8_share(layers: tuple[int, int], at_least: float) -> GateResult:
    """The gate of what an INT8 file computes in INT8: of its ``layers`` (so many, of all), counted, not weighed.

    A runtime leaves a layer in float where it cannot fuse it, and says nothing.  Depthwise convolutions are a tenth of
    a network's multiplications, and cost half of its time when they stay in float (docs/decisions/int8-openvino.md).
    """
    rounded, every = layers
    share = rounded / every if every else 0.0
    outcome = GateOutcome.PASSED if share >= at_least else GateOutcome.REFUSED
    said = (
        f"{rounded} of {every} convolutions and products are computed in INT8 ({share:.0%}), at least {at_least:.0%} "
        "wanted"
    )
    return GateResult("int8 share", outcome, share, at_least, said)


def verdict_of(gate: str, value: float, low: float, margin: float, said: str) -> GateResult:
    """The result of a paired difference ``value``, with ``low`` the lower end of its interval."""
    return GateResult(gate, _outcome(value, low, margin), value, margin, said)


def explanation(agreed: float | None, gate: Gate) -> GateResult:
    """The gate of the activation map; ``agreed``: its mean rank correlation with Grad-CAM, ``None`` when all are flat.

    See :mod:`converters.explanation.grad_cam`.
    """
    margin = gate.map_correlation
    if agreed is None:
        said = f"no film's map varies, so none can be compared with Grad-CAM; at least {margin:g} wanted"
        return GateResult("explanation", GateOutcome.REFUSED, 0.0, margin, said)
    said = f"mean rank correlation of its map with Grad-CAM {agreed:.3f}, at least {margin:g} wanted"
    return GateResult(
        "explanation", GateOutcome.PASSED if agreed >= margin else GateOutcome.REFUSED, agreed, margin, said
    )


def worst(verdicts: Sequence[GateResult]) -> GateOutcome:
    """The outcome of an artefact: refused when any gate refuses it."""
    return gravest({verdict.outcome for verdict in verdicts})


def gravest(given: Collection[GateOutcome]) -> GateOutcome:
    """The worst of some outcomes; refused where there is none, because nothing was measured."""
    return next(
        one for one in (GateOutcome.REFUSED, GateOutcome.INCONCLUSIVE, GateOutcome.PASSED) if one in given or not given
    )


def _auc(original: Predictions, other: Predictions, gate: Gate) -> GateResult:
    scores = (original.labels, original.logits, other.logits)
    change, delong = paired.auc(*scores, original.patients), paired.delong(*scores)
    said = (
        f"AUC changes by {change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f}; DeLong, films taken for "
        f"independent: {delong.low:+.4f} to {delong.high:+.4f}), allowed {-gate.auc_loss:+g}"
    )
    return GateResult("auc", _outcome(change.value, change.low, -gate.auc_loss), change.value, -gate.auc_loss, said)


def sensitivity(original: Predictions, other: Predictions, threshold: float, gate: Gate) -> GateResult:
    """The gate of sensitivity: which positive films the other file calls positive at the frozen ``threshold`` (a
    logit)."""
    before, after = original.logits >= threshold, other.logits >= threshold
    measured = paired.sensitivity(original.labels, before, after, original.patients)
    lost, won = paired.count_lost_and_won(original.labels, before, after)
    interval = f"({measured.low:+.4f} to {measured.high:+.4f})"
    change = f"sensitivity changes by {measured.value:+.4f} {interval}; {lost} lost, {won} won"
    if int(original.labels.sum()) < gate.few_positives:
        outcome = GateOutcome.INCONCLUSIVE if lost <= gate.most_lost else GateOutcome.REFUSED
        said = f"{change}, allowed {gate.most_lost} lost of so few"
        return GateResult("sensitivity", outcome, float(-lost), float(-gate.most_lost), said)
    margin = -gate.sensitivity_loss
    said = f"{change}, allowed {margin:+g}"
    return GateResult("sensitivity", _outcome(measured.value, measured.low, margin), measured.value, margin, said)


def _outcome(value: float, low: float, margin: float) -> GateOutcome:
    if not value >= margin:  # NaN is refused too
        return GateOutcome.REFUSED
    return GateOutcome.PASSED if low >= margin else GateOutcome.INCONCLUSIVE
