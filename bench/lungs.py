"""Cut chest films to the lungs: each is moved and zoomed onto an atlas, by correlation at 32 px."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters.data.preprocessing import inputs

ATLAS_PX: Final = 32
ZOOMS, MOVES = (0.85, 1.0, 1.15), (-0.12, 0.0, 0.12)
MIDDLE: Final = 0.88
"""The share of the atlas's sides that holds both lungs."""
AT_ONCE: Final = 256


def cut(films: NDArray[np.uint8], atlas: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """(N, H, W) → (N, size, size): films moved onto ``atlas``, (H, W) in [0, 1], and cut to where both lungs lie in
    it."""
    parts = range(0, len(films), AT_ONCE)
    return np.concatenate([_cut(films[one : one + AT_ONCE], atlas, size) for one in parts])


def _cut(films: NDArray[np.uint8], atlas: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    seen, wanted = torch.from_numpy(inputs(films)), _standardized(torch.from_numpy(atlas[None, None]))
    best, chosen = torch.full((len(films),), -2.0), torch.zeros(len(films), 2, 3)
    small = functional.interpolate(seen, 2 * ATLAS_PX, mode="bilinear", antialias=True, align_corners=False)
    for zoom in ZOOMS:
        for down in MOVES:
            for across in MOVES:
                matrix = torch.tensor([[zoom, 0.0, across], [0.0, zoom, down]]).expand(len(films), 2, 3)
                correlation = (_standardized(_moved(small, matrix, 2 * ATLAS_PX)) * wanted).mean(dim=(1, 2, 3))
                better = correlation > best
                best, chosen[better] = torch.maximum(best, correlation), matrix[better]
    chosen[:, 0, 0] *= MIDDLE
    chosen[:, 1, 1] *= MIDDLE
    return np.asarray((_moved(seen, chosen, size)[:, 0] * 255.0).round().to(torch.uint8).numpy())


def _moved(films: Tensor, matrix: Tensor, size: int) -> Tensor:
    grid = functional.affine_grid(matrix, [len(films), 1, size, size], align_corners=False)
    return functional.grid_sample(films, grid, padding_mode="border", align_corners=False)


def _standardized(films: Tensor) -> Tensor:
    """(N, 1, H, W) at :data:`ATLAS_PX`, mean 0 and deviation 1: the mean product of two is their correlation."""
    small = functional.interpolate(films, ATLAS_PX, mode="bilinear", antialias=True, align_corners=False)
    small = small - small.mean(dim=(1, 2, 3), keepdim=True)
    return small / small.std(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)
