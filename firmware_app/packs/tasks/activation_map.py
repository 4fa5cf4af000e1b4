"""Where the model saw its evidence: the class activation map (Zhou et al. 2016) as a picture of strengths.

The scale is fixed per pack (``output.full_scale`` of the manifest), never stretched to the film at hand, so a map of
weak evidence looks weak. Only evidence *for* the finding is drawn.
"""

import numpy as np
from numpy.typing import NDArray


def draw_activation_map(activation: NDArray[np.float32], channel: int, full_scale: float) -> NDArray[np.float32]:
    """``activation``: (C, h, w) in logits → (h, w) float32 in [0, 1]: ``clip(cell / full_scale, 0, 1)``.

    The film was squashed as a whole, so cell (i, j) covers the same fraction of its height and width. A map of a single
    cell says nothing of where: nothing is drawn. Raises :class:`ValueError` for a channel that the map does not have or
    a scale that is not positive.
    """
    if activation.ndim != 3 or not 0 <= channel < activation.shape[0]:
        raise ValueError(f"a map of shape {activation.shape} has no channel {channel}")
    if not full_scale > 0.0:
        raise ValueError(f"a full scale of {full_scale} logits is not positive")
    if activation.shape[1:] == (1, 1):
        return np.zeros((1, 1), dtype=np.float32)
    return np.asarray(np.clip(activation[channel] / np.float32(full_scale), 0.0, 1.0), dtype=np.float32)
