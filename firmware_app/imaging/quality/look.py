"""The small picture on which every measure is computed; its size is close to that of a model's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.model_input import squash, stretch

Small = NDArray[np.float32]

SIDE_PX: Final = 128
THUMBNAIL_PX: Final = 16
_LOW, _HIGH = 0.5, 99.5


@dataclass(frozen=True, slots=True)
class Look:
    """`greys` is (128, 128) float32, the frame resized and stretched between two percentiles to 0 … 1; `levels` is the
    same between the darkest and the brightest grey, so that clipping at either end is visible."""

    greys: Small
    levels: Small

    @classmethod
    def at(cls, frame: NDArray[np.float32]) -> Look:
        """*frame*: (H, W) float32 greys of any range, finite, bright is dense."""
        small = squash(frame, SIDE_PX, SIDE_PX)
        low, high = (float(limit) for limit in np.percentile(small, (_LOW, _HIGH)))
        return cls(stretch(small, low, high), stretch(small, float(small.min()), float(small.max())))

    @property
    def thumbnail(self) -> NDArray[np.float64]:
        """(16, 16), with mean 0 and length 1, so that dot products are Pearson's correlations."""
        block = SIDE_PX // THUMBNAIL_PX
        means = self.greys.reshape(THUMBNAIL_PX, block, THUMBNAIL_PX, block).mean((1, 3), dtype=np.float64)
        means -= means.mean()
        return np.asarray(means / max(float(np.linalg.norm(means)), 1e-9), dtype=np.float64)


def middle(small: Small) -> Small:
    """The middle part, 0.6 of each side: the patient, rarely markers or the empty edge."""
    edge = round(0.2 * SIDE_PX)
    return small[edge:-edge, edge:-edge]
