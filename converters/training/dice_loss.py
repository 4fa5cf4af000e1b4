"""The loss of outlines: cross-entropy of every cell, and the Dice of the whole (Milletari et al. 2016).

A missed cell weighs what a missed lesion costs.  A film or volume and its mask are changed together, here and not
before, as far as the recipe's ``[train.change]`` says: films by :mod:`converters.training.augment`; volumes are
mirrored along each axis and their contrast is bent.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters.nets import CamNet
from converters.recipe_tables import Changes
from converters.training.augment import Affine, regrey


@dataclass(frozen=True, slots=True)
class DiceLoss:
    """The objective. ``masks`` (N, H, W) or (N, D, H, W) 0 or 1, at the model's input grid, in the films' order."""

    masks: NDArray[np.uint8]
    miss: float
    change: Changes
    beside: None = None
    changes_films: bool = True

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """See :class:`converters.training.fitting.Objective`."""
        films, truth = self.change_films(films, torch.from_numpy(self.masks[index]).float().to(films.device))
        cells = net(films)[0][:, 0].float() + net.bias[0]
        if cells.shape != truth.shape:
            pool = functional.adaptive_max_pool2d if truth.ndim == 3 else functional.adaptive_max_pool3d
            truth = pool(truth, cells.shape[1:])
        cost = torch.tensor(self.miss, device=films.device)
        each = functional.binary_cross_entropy_with_logits(cells, truth, pos_weight=cost, reduction="none")
        chance, truth = torch.sigmoid(cells).flatten(1), truth.flatten(1)
        overlap = (2.0 * (chance * truth).sum(dim=1) + 1.0) / (chance.sum(dim=1) + truth.sum(dim=1) + 1.0)
        return each.flatten(1).mean(dim=1) + 1.0 - overlap

    def change_films(self, films: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, …) films or volumes and their (B, …) masks, moved together."""
        if truth.ndim == 3:
            rng, there = torch.default_generator, films.device
            affine = Affine.draw(len(films), self.change, rng)
            films, truth = affine.films(films.cpu()), affine.masks(truth.cpu())
            return regrey(films, self.change, rng).to(there), truth.to(there)
        for axis in range(1, truth.ndim):
            if float(torch.rand(())) < self.change.flip:
                films, truth = films.flip(axis + 1), truth.flip(axis)
        return change_greys(films, self.change), truth


def change_greys(films: Tensor, change: Changes) -> Tensor:
    """(B, 1, …) in [0, 1] with another gamma and noise, as far as the recipe says."""
    bend = torch.empty(len(films), *(1,) * (films.ndim - 1)).uniform_(-change.gamma, change.gamma).exp()
    noise = change.noise * float(torch.rand(())) * torch.randn_like(films)
    return (films.clamp_min(1e-6) ** bend.to(films.device) + noise).clamp(0.0, 1.0)
