"""From the class activation map to findings, the same arithmetic for every runtime and precision.

The graph gives only the map. Its mean is taken here, on the host, in 64 bits: in INT8 a pooled output and the map would
disagree by several logits.

    logit = mean(map[channel]) + bias;   probability = 1 / (1 + exp(-(slope · logit + intercept)))
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firmware_app.packs.manifest import Calibration, FindingSpec
from firmware_app.records import Finding

LARGEST_EXPONENT = 700.0


def logit(activation: NDArray[np.float32], spec: FindingSpec) -> float:
    """``activation``: (C, h, w) → the finding's logit; raises :class:`ValueError` for a channel it does not have."""
    if activation.ndim != 3 or spec.channel >= activation.shape[0]:
        raise ValueError(f"a map of shape {activation.shape} has no channel {spec.channel}")
    return float(activation[spec.channel].mean(dtype=np.float64)) + spec.bias


def probability(value: float, calibration: Calibration) -> float:
    """The calibrated probability of a logit, in [0, 1]; raises :class:`ValueError` for one that is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"a logit of {value} has no probability")
    exponent = -(calibration.slope * value + calibration.intercept)
    return 1.0 / (1.0 + math.exp(min(max(exponent, -LARGEST_EXPONENT), LARGEST_EXPONENT)))


def findings(activation: NDArray[np.float32], specs: Sequence[FindingSpec]) -> tuple[Finding, ...]:
    """``activation``: (C, h, w), one film's map → one finding per spec, in their order."""
    return tuple(
        Finding(
            code=spec.code,
            label=spec.label.by_language(),
            probability=probability(logit(activation, spec), spec.calibration),
            threshold=spec.threshold,
        )
        for spec in specs
    )
