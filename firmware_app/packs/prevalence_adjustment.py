"""Adapts probabilities and thresholds to the clinic's prevalence, where a finding is rarer than in the pack's data.

With logit(p) = ln(p / (1 - p)), a calibrated probability of a population with prevalence *a* becomes that of one with
prevalence *b* by adding logit(b) - logit(a) to its logit (Bayes; Saerens et al. 2002, Neural Computation 14:21).  That
is right where films with the finding look alike in both populations, and so do films without it.

Probability and threshold move together, so no decision changes (docs/decisions/prevalence.md).  Without numpy, so that
the reader and the viewer, which do not load it, may use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from firmware_app.core.records import Finding
from firmware_app.packs.evidence import Measurement
from firmware_app.packs.manifest import Manifest

_COUNTS: Final = ((10, 0.15), (100, 0.015))
"""(n, least share): a share from the least share on is given as "of n films"; a smaller one as "of 1000"."""
_LEAST_COUNT: Final = 1000


@dataclass(frozen=True, slots=True)
class PredictiveValues:
    """Positive and negative predictive value at a prevalence, each with its range.

    The range comes from both ends of the 95 % intervals of sensitivity and specificity; ``None`` without them.
    """

    prevalence: float
    ppv: float
    npv: float
    ppv_range: tuple[float, float] | None
    npv_range: tuple[float, float] | None

    @property
    def found_when_marked(self) -> tuple[int, int]:
        """(n, of): about n of so many marked films show it."""
        return as_counts(self.ppv)

    @property
    def missed_when_not(self) -> tuple[int, int]:
        """(n, of): about n of so many films that were not marked show it all the same."""
        return as_counts(1.0 - self.npv)


def shift_probability(probability: float, given: float, wanted: float) -> float:
    """*probability* at prevalence *given*, carried over to prevalence *wanted*; 0 and 1 stay."""
    if not (0.0 < given < 1.0 and 0.0 < wanted < 1.0):
        raise ValueError(f"prevalences of {given} and {wanted} do not lie between 0 and 1")
    for_it = probability * wanted * (1.0 - given)
    against = (1.0 - probability) * (1.0 - wanted) * given
    return for_it / (for_it + against)


def pack_prevalence(manifest: Manifest) -> float:
    """The prevalence that the pack's probabilities are calibrated for."""
    stated = manifest.calibration_prevalence
    return manifest.training_prevalence if stated is None else stated


def adjust_to_clinic(
    findings: Sequence[Finding], manifest: Manifest, prevalence: Mapping[str, float]
) -> tuple[Finding, ...]:
    """*findings* with probability and threshold at the clinic's prevalence where it is known; decisions stay."""
    given = pack_prevalence(manifest)
    return tuple(
        _move_finding(finding, given, prevalence[finding.code])
        if finding.code in prevalence and 0.0 < given < 1.0
        else finding
        for finding in findings
    )


def _move_finding(finding: Finding, given: float, wanted: float) -> Finding:
    threshold = shift_probability(finding.threshold, given, wanted)
    probability = shift_probability(finding.probability, given, wanted)
    reached = finding.probability >= finding.threshold
    if (probability >= threshold) != reached:  # rounding of the last bit
        probability = threshold if reached else math.nextafter(threshold, 0.0)
    return replace(finding, probability=probability, threshold=threshold)


def find_predictive_values(
    manifest: Manifest, measured: Measurement | None, code: str, prevalence: Mapping[str, float]
) -> PredictiveValues | None:
    """Predictive values of finding *code* at the clinic's prevalence.

    ``None`` where the clinic has not stated its prevalence (values at the pack's own prevalence would hold in its home
    hospital alone), without a measured sensitivity and specificity, and for a pack with several findings.
    *measured* is the row of the runtime and precision that read the film.
    """
    share = prevalence.get(code)
    if share is None or measured is None or [finding.code for finding in manifest.findings] != [code]:
        return None
    sensitivity, specificity = measured.sensitivity, measured.specificity
    if sensitivity is None or specificity is None or not 0.0 < share < 1.0:
        return None
    ppv, npv = compute_predictive_values(sensitivity, specificity, share)
    ppv_range = npv_range = None
    if measured.sensitivity_ci is not None and measured.specificity_ci is not None:
        low = compute_predictive_values(measured.sensitivity_ci[0], measured.specificity_ci[0], share)
        high = compute_predictive_values(measured.sensitivity_ci[1], measured.specificity_ci[1], share)
        ppv_range, npv_range = (low[0], high[0]), (low[1], high[1])
    return PredictiveValues(share, ppv, npv, ppv_range, npv_range)


def compute_predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """(positive, negative) predictive value.  Where no film, or every film, is marked, the undefined one is what the
    prevalence alone gives."""
    hits, false_alarms = sensitivity * prevalence, (1.0 - specificity) * (1.0 - prevalence)
    misses, clear = (1.0 - sensitivity) * prevalence, specificity * (1.0 - prevalence)
    ppv = hits / (hits + false_alarms) if hits + false_alarms > 0.0 else prevalence
    npv = clear / (clear + misses) if clear + misses > 0.0 else 1.0 - prevalence
    return ppv, npv


def as_counts(share: float) -> tuple[int, int]:
    """*share* as "n of 10", or of 100 or 1000 where 10 would be too coarse; n is never 0 and never all."""
    of = next((of for of, least in _COUNTS if least <= share <= 1.0 - least), _LEAST_COUNT)
    return min(of - 1, max(1, round(share * of))), of
