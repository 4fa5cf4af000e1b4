"""A student of dense 3 x 3 convolutions only, which eight-bit kernels run best.

Depthwise convolutions save multiplications and waste them: on a CPU with 8-bit dot products their kernels wait for
memory.  This plain net has half the multiplications of the cut Lite0, and in INT8 it is several times as quick.  It
has no published weights, so it is only ever a student (:mod:`converters.training.distill`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from converters.nets.cam_net import CamNet


def _plan(widths: tuple[int, ...], depths: tuple[int, ...], features: int) -> dict[str, Any]:
    """Four stages halve the side each (stride 16 in all); a last one keeps it. Repeats add their input."""
    convolutions = [
        {"channels": width, "stride": 2 if repeat == 0 and stage < 4 else 1, "residual": repeat > 0}
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True))
        for repeat in range(depth)
    ]
    return {"convolutions": convolutions, "features": features}


PLANS: Mapping[str, dict[str, Any]] = {
    "plain": _plan((16, 32, 64, 96, 128), (1, 1, 2, 2, 3), 320),
    "plain-small": _plan((16, 24, 48, 64, 96), (1, 1, 1, 2, 2), 192),
}


def _stage_ends(convolutions: list[dict[str, Any]]) -> list[bool]:
    """Whether each convolution ends a stage whose side is an eighth of the film's or less."""
    ends, halvings = [], 0
    for one, after in zip(convolutions, [*convolutions[1:], None], strict=True):
        halvings += int(one["stride"]) == 2
        ends.append(halvings >= 3 and (after is None or not after["residual"]))
    return ends


class Step(nn.Module):  # type: ignore[misc]
    """One convolution, its normalisation and ReLU; ``residual`` adds the input before it."""

    def __init__(self, inputs: int, channels: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=0.05)
        self.activation = nn.ReLU()
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.convolution(x))
        return self.activation(x + y if self.residual else y)


class Plain(CamNet):
    """A trunk by its plan, its features and the map."""

    def __init__(self, name: str, plan: dict[str, Any], findings: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.name, self.plan = name, plan
        steps: list[nn.Module] = []
        channels = 1
        for one in plan["convolutions"]:
            steps.append(Step(channels, int(one["channels"]), int(one["stride"]), bool(one["residual"])))
            channels = int(one["channels"])
        self.trunk = nn.Sequential(*steps)
        self.stage_ends = _stage_ends(plan["convolutions"])
        self.features = nn.Sequential(
            nn.Conv2d(channels, int(plan["features"]), 1, bias=False), nn.BatchNorm2d(int(plan["features"])), nn.ReLU()
        )
        self.dropout = nn.Dropout2d(dropout)
        self.cam = nn.Conv2d(int(plan["features"]), findings, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(findings))
        nn.init.normal_(self.cam.weight, std=0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`converters.nets.CamNet`; the features are the means of every stage from the third on.

        The last layer alone knows what tells the classes apart; what a strange image differs in is often seen earlier.
        """
        means = []
        for step, ends in zip(self.trunk, self.stage_ends, strict=True):
            x = step(x)
            if ends:
                means.append(x.mean(dim=(2, 3)))
        seen = self.features(x)
        return self.cam(self.dropout(seen)), torch.cat([*means, seen.mean(dim=(2, 3))], dim=1)

    def read_plan(self) -> dict[str, Any]:
        """The plan of the layers as they are now: what pruning has left of each."""
        convolutions = [
            {**planned, "channels": step.convolution.out_channels}
            for step, planned in zip(self.trunk, self.plan["convolutions"], strict=True)
        ]
        return {"convolutions": convolutions, "features": self.features[0].out_channels}
