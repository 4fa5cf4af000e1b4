"""Losses by name, for ``[train] loss``: (B, C) outputs and (B, C) targets → (B,), one number a film.

Which kinds of target each is for stands in :mod:`converters.tasks.kinds`, which needs no PyTorch.  Another package adds
one by an entry point of the group ``lantern.losses`` that names such a function.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters.nets import CamNet
from converters.recipe_tables import Changes, Train
from converters.tasks import kinds
from converters.training.dice_loss import change_greys
from converters.workflow.device import in_sixteen_bits

Function = Callable[[Tensor, Tensor], Tensor]
FOCUS: Final = 2.0
"""The exponent of the focal loss (Lin et al. 2017)."""


def bce(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each channel, their mean."""
    return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(dim=1)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the softmax."""
    return -(targets * outputs.log_softmax(dim=1)).sum(dim=1)


def focal(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy that counts less where the network is already right (Lin et al. 2017)."""
    each = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return ((1.0 - torch.exp(-each)) ** FOCUS * each).mean(dim=1)


def huber(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the square of small errors, the size of large ones, in deviations of the number (Huber 1964)."""
    return functional.huber_loss(outputs, targets, reduction="none").mean(dim=1)


def l1(outputs: Tensor, targets: Tensor) -> Tensor:
    """The size of the error."""
    return (outputs - targets).abs().mean(dim=1)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """The square of the error."""
    return (outputs - targets).square().mean(dim=1)


OWN: Final[Mapping[str, Function]] = {
    "bce": bce,
    "focal": focal,
    "cross-entropy": cross_entropy,
    "huber": huber,
    "l1": l1,
    "mse": mse,
}


def get(name: str) -> Function:
    """The loss called ``name``, which is known (:func:`converters.tasks.kinds.check_loss`); raises :class:`LookupError`
    where another package's cannot be imported."""
    if name in OWN:
        return OWN[name]
    place = kinds.other_losses()[name]
    module, _, word = place.partition(":")
    try:
        found: Function = getattr(import_module(module), word)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"the loss {name} cannot be imported from {place}: {error}") from error
    return found


@dataclass(frozen=True, slots=True)
class Values:
    """The objective of numbers: ``loss`` of the map's means against ``targets`` (N, C), in the order of the films."""

    loss: Function
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    plan: Train
    volumes: bool = False
    beside: None = None

    @property
    def changes_films(self) -> bool:
        """Volumes are varied here: the films' own variations are of pictures."""
        return self.volumes

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """See :class:`converters.training.fitting.Objective`."""
        if self.volumes:
            films = vary(films, self.plan.change)
        with in_sixteen_bits():
            maps = net(films)[0]
        outputs = maps.float().flatten(2).mean(dim=2) + net.bias
        targets = torch.from_numpy(self.targets[index]).to(outputs.device)
        return self.loss(outputs, targets) * torch.from_numpy(self.weights[index]).to(outputs.device)


def vary(films: Tensor, change: Changes) -> Tensor:
    """(B, 1, D, H, W) volumes, mirrored along each axis and bent as far as the recipe says."""
    for axis in (2, 3, 4):
        if float(torch.rand(())) < change.flip:
            films = films.flip(axis)
    return change_greys(films, change)
