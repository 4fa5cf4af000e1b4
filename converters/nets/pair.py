"""Two unlike networks as one: both read a film, their answers are pooled, and where they disagree can be seen.

    map       (N, 3, h, w)     pooled, then each member's own
    features  (N, F1 + F2)     side by side

A member's evidence is calibrated (Platt 1999), so the mean of its channel is the log odds of its own probability.  The
pooled channel is the weighted mean of both (a logarithmic opinion pool, Genest & Zidek 1986): being linear, it is an
activation map like any other, whose mean with the bias is the pooled log odds.

The members are trained one by one; calibration and weights are fitted to films that they had not seen
(:mod:`converters.training.pairing`) and become part of the model file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from converters.nets import single
from converters.nets.cam_net import CamNet

NAME = "pair"
PLANS: Mapping[str, dict[str, Any]] = {NAME: {"members": []}}


class Pair(CamNet):
    """See the module."""

    def __init__(self, name: str, plan: dict[str, Any], findings: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        self.name, self.plan = name, plan
        self.members = nn.ModuleList(
            single.choose_network(single.KNOWN, one["name"], one["plan"], 1, dropout) for one in plan["members"]
        )
        self.mixing = nn.Conv2d(2, 3, 1).requires_grad_(False)
        self.register_buffer("weights", torch.full((2,), 0.5))
        self.register_buffer("bias", torch.zeros(3))

    @classmethod
    def join(cls, members: Sequence[CamNet]) -> Self:
        """Two trained networks, uncalibrated and of equal weight, in evaluation mode."""
        plan = {"members": [{"name": member.name, "plan": member.read_plan()} for member in members]}
        pair = cls(NAME, plan)
        for mine, given in zip(pair.members, members, strict=True):
            mine.load_state_dict(given.first_channels(1).state_dict())
        pair.mix(np.ones(2), np.zeros(2), np.full(2, 0.5))
        return pair.eval()

    def mix(self, slopes: NDArray[np.float64], intercepts: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Calibrate the members' own logits with ``slopes`` and ``intercepts``, and pool them with ``weights``, (2,)
        each; what was set before is forgotten."""
        odds = slopes * np.array([float(member.bias.detach()[0]) for member in self.members]) + intercepts
        rows = np.stack([weights * slopes, np.array([slopes[0], 0.0]), np.array([0.0, slopes[1]])])
        with torch.no_grad():
            self.mixing.weight.copy_(torch.from_numpy(rows)[:, :, None, None])
            self.mixing.bias.copy_(torch.from_numpy(np.array([0.0, *odds])))  # a member's cells have its bias in them
            self.weights.copy_(torch.from_numpy(weights))
            self.bias.copy_(torch.from_numpy(np.array([float(weights @ odds), 0.0, 0.0])))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`converters.nets.CamNet`."""
        maps, features = zip(*(member(x) for member in self.members), strict=True)
        finest = max((one.shape[2:] for one in maps), key=lambda shape: shape[0])
        laid = [one if one.shape[2:] == finest else functional.interpolate(one, finest, mode="nearest") for one in maps]
        return self.mixing(torch.cat(laid, dim=1)), torch.cat(features, dim=1)

    def first_channels(self, count: int = 1) -> Self:
        """Itself, in evaluation mode: the box asks for all of them."""
        return self.eval()

    def read_plan(self) -> dict[str, Any]:
        """The members' names and plans."""
        return self.plan
