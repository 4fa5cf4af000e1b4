"""The gates: what a smaller file may lose against the FP32 original before it is refused.

Judged on pooled out-of-fold predictions, film by film beside the original's (:mod:`converters.paired`):

* AUC may fall by at most ``auc_loss``;
* sensitivity at the frozen threshold by at most ``sensitivity_loss``; with fewer than ``few_positives`` positive films
  that is finer than a film or two, so then at most ``most_lost`` of them may be lost, whatever is won elsewhere;
* FP32 and FP16 also match PyTorch cell by cell on the golden cases; INT8 does not, and its tolerance is measured;
* the map agrees with Grad-CAM of the original by a mean rank correlation of ``map_correlation`` or more.

Where the interval of a difference crosses the margin the verdict stands but is called inconclusive; with few positive
films it always is, since even none lost among n leaves 3 / n possible (the rule of three, Hanley 1983).  Speed is
measured and recorded; it refuses nothing, because the box chooses on its own device.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from converters import paired
from converters.predictions import Predictions
from converters.recipe import Gate

PARITY: Mapping[str, float] = {"fp32": 1e-4, "fp16": 5e-2}
"""Largest difference from PyTorch in a cell of the map, in units of the map's largest absolute cell or 1."""


class Outcome(StrEnum):
    """What a gate says of an artefact."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"  # passed, but the interval reaches beyond the margin
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One artefact before one gate: the measured difference, its margin, and a sentence."""

    gate: str
    outcome: Outcome
    measured: float
    margin: float
    said: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "measured": round(self.measured, 5), "outcome": self.outcome.value}


def judged(original: Predictions, other: Predictions, threshold_logit: float, gate: Gate) -> list[Verdict]:
    """The task gates of one artefact. ``threshold_logit``: the frozen threshold before calibration.

    Raises :class:`ValueError` when the two did not judge the same films.
    """
    if original.names != other.names or not np.array_equal(original.labels, other.labels):
        raise ValueError("the two models have not judged the same films")
    return [_auc(original, other, gate), _sensitivity(original, other, threshold_logit, gate)]


def parity(precision: str, largest: float) -> Verdict | None:
    """The cell-by-cell gate of FP32 and FP16 files; ``None`` for INT8, which has none."""
    margin = PARITY.get(precision)
    if margin is None:
        return None
    passed = largest <= margin
    said = f"largest difference from the original {largest:.2g}, allowed {margin:g}"
    return Verdict("parity", Outcome.PASSED if passed else Outcome.REFUSED, largest, margin, said)


def verdict_of(gate: str, value: float, low: float, margin: float, said: str) -> Verdict:
    """A paired difference with the lower end of its interval, before its margin."""
    return Verdict(gate, _outcome(value, low, margin), value, margin, said)


def explanation(agreed: float | None, gate: Gate) -> Verdict:
    """The gate of the activation map; ``agreed``: its mean rank correlation with Grad-CAM, ``None`` when all are flat.

    See :mod:`converters.maps`.
    """
    margin = gate.map_correlation
    if agreed is None:
        said = f"no film's map varies, so none can be compared with Grad-CAM; at least {margin:g} wanted"
        return Verdict("explanation", Outcome.REFUSED, 0.0, margin, said)
    said = f"mean rank correlation of its map with Grad-CAM {agreed:.3f}, at least {margin:g} wanted"
    return Verdict("explanation", Outcome.PASSED if agreed >= margin else Outcome.REFUSED, agreed, margin, said)


def worst(verdicts: Sequence[Verdict]) -> Outcome:
    """The outcome of an artefact: refused when any gate refuses it."""
    return gravest({verdict.outcome for verdict in verdicts})


def gravest(found: Collection[Outcome]) -> Outcome:
    """The worst of some outcomes; of none it is refused, since nothing was shown."""
    return next(one for one in (Outcome.REFUSED, Outcome.INCONCLUSIVE, Outcome.PASSED) if one in found or not found)


def _auc(original: Predictions, other: Predictions, gate: Gate) -> Verdict:
    found = paired.delong(original.labels, original.logits, other.logits)
    said = f"AUC changes by {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}), allowed {-gate.auc_loss:+g}"
    return Verdict("auc", _outcome(found.value, found.low, -gate.auc_loss), found.value, -gate.auc_loss, said)


def _sensitivity(original: Predictions, other: Predictions, threshold: float, gate: Gate) -> Verdict:
    before, after = original.logits >= threshold, other.logits >= threshold
    found = paired.sensitivity(original.labels, before, after, original.patients)
    lost, won = paired.lost_and_won(original.labels, before, after)
    interval = f"({found.low:+.4f} to {found.high:+.4f})"
    change = f"sensitivity changes by {found.value:+.4f} {interval}; {lost} lost, {won} won"
    if int(original.labels.sum()) < gate.few_positives:
        outcome = Outcome.INCONCLUSIVE if lost <= gate.most_lost else Outcome.REFUSED
        said = f"{change}, allowed {gate.most_lost} lost of so few"
        return Verdict("sensitivity", outcome, float(-lost), float(-gate.most_lost), said)
    margin = -gate.sensitivity_loss
    said = f"{change}, allowed {margin:+g}"
    return Verdict("sensitivity", _outcome(found.value, found.low, margin), found.value, margin, said)


def _outcome(value: float, low: float, margin: float) -> Outcome:
    if value < margin:
        return Outcome.REFUSED
    return Outcome.PASSED if low >= margin else Outcome.INCONCLUSIVE
