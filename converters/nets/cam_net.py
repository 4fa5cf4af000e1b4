"""The form of every network: a class activation map, a feature vector, and the bias that the host adds."""

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class CamNet(nn.Module, ABC):  # type: ignore[misc]
    """A network with a class activation map.  ``name`` and ``plan`` rebuild it; ``bias`` is (C,)."""

    name: str
    plan: dict[str, Any]
    bias: Tensor
    outputs: tuple[str, ...] = ("map", "features")
    """What its model files give; a foreign network may have no features worth the name."""

    fresh: tuple[str, ...] = ("cam.", "bias")
    """How the names of weights begin that no checkpoint of another network gives: the classifier."""

    outlines = False
    """Whether the map is an outline: then a film's logit is that of its strongest cell, not of the mean."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 1, H, W) in [0, 1] → :attr:`outputs`: map (N, C, h, w) in logits, features (N, F), others."""

    def first_channels(self, count: int = 1) -> Self:
        """A copy with the first channels only: those that the box asks for."""
        alone, state = type(self)(self.name, self.plan, count), self.state_dict()
        alone.load_state_dict({**state, "cam.weight": state["cam.weight"][:count], "bias": state["bias"][:count]})
        return alone.eval()

    @abstractmethod
    def read_plan(self) -> dict[str, Any]:
        """The plan of the layers as they are now: what pruning has left of each."""

    def logits(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, C): the mean (or strongest) cell of the map plus the bias, as the box computes it."""
        cells = self.forward(x)[0].flatten(2)
        return (cells.amax(dim=2) if self.outlines else cells.mean(dim=2)) + self.bias

    @property
    def biases(self) -> NDArray[np.float64]:
        """(C,): what the host adds to the mean of each channel of the map."""
        return np.asarray(self.bias.detach().cpu().double().numpy(), dtype=np.float64)

    def freeze_bias(self) -> None:
        """Learn no other bias from here on: the host adds it."""
        self.bias.requires_grad_(False)

    def copy(self) -> Self:
        """A second network with the same weights."""
        return copy.deepcopy(self)

    @property
    def parameters_count(self) -> int:
        """How many numbers were learnt."""
        return sum(value.numel() for value in self.parameters())


def multiplications(net: nn.Module, example: Tensor) -> int:
    """Multiplications of one forward pass: convolutions and linear layers only, as published FLOP counts have it."""
    total = 0
    hooks = []

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        total += int(output.numel() // output.shape[0] * weight[0].numel())

    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            hooks.append(module.register_forward_hook(count))
    was_training = net.training
    net.eval()
    with torch.no_grad():
        net(example[:1])
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return total
