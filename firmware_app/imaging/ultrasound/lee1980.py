"""Reduces speckle and keeps edges: the local-statistics filter of Lee (IEEE PAMI 2(2), 1980, 165-168).

Of the classic speckle filters (Lee 1980, Frost 1982, Kuan 1985, Yu and Acton's SRAD 2002) it is the cheapest: two box
means and no iteration.  A displayed B-mode image is log-compressed, which turns multiplicative speckle into nearly
additive noise, so Lee's equations (8) and (9) apply: where a window varies no more than speckle, a pixel becomes the
window's mean; where it varies more (an edge, a calcification), the pixel keeps its value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

REACH_PX: Final = 2
"""Windows of 5 × 5 pixels, about the size of speckle grains at a model's 224 to 512 pixels."""

_FLAT: Final = 1e-4  # of the largest local variance: below it is only rounding or block edges of the compression


def filtered(frame: NDArray[np.float32], reach: int = REACH_PX, noise: float | None = None) -> NDArray[np.float32]:
    """(H, W) float32, finite → the same shape, windows of ``2 * reach + 1`` pixels.

    *noise* is the variance of the speckle in squared greys; by default the median of the local variances above `_FLAT`,
    because most of the sector is tissue whose only texture is speckle.
    """
    values = frame.astype(np.float64)
    mean = box_mean(values, reach)
    variance = np.maximum(box_mean((values - mean.mean()) ** 2, reach) - (mean - mean.mean()) ** 2, 0.0)
    varied = variance[variance > _FLAT * variance.max()]
    speckle = (float(np.median(varied)) if varied.size else 0.0) if noise is None else noise
    signal = np.maximum(variance - speckle, 0.0)
    weight = np.divide(signal, variance, out=np.zeros_like(signal), where=variance > 0)
    return np.asarray(mean + weight * (values - mean), dtype=np.float32)


def box_mean(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """The mean of every window of ``2 * reach + 1`` pixels square, edges repeated; the same shape."""
    side = 2 * reach + 1
    sums = np.cumsum(np.cumsum(np.pad(np.pad(values, reach, mode="edge"), ((1, 0), (1, 0))), axis=0), axis=1)
    whole = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(whole / side**2, dtype=np.float64)
