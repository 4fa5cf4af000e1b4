"""A light pyramid for lesions: outlines, boxes, small lesions as points, and evidence for a film-wide finding.

The trunk is EfficientNet-Lite0 up to stage 6 (Tan & Le 2019), which begins from ImageNet's weights.  Its two deepest
levels pass channel and spatial attention (CBAM, Woo et al. 2018, with piecewise linear gates, which quantize well);
then the levels are added from the deepest up (FPN, Lin et al. 2017) to strides 16, 8 and 4.

    map      (N, C, H/16, W/16)  evidence of each film-wide finding: the film's logit is the mean plus a bias
    outline  (N, L, H/4, W/4)    log odds that a cell lies in a lesion and, with L = 2, in the organ
    boxes    (N, 5, H/8, W/8)    see :mod:`firmware_app.packs.tasks.boxes`
    points   (N, 3, H/4, W/4)    log odds of a small lesion's middle, logarithms of its long and short axis in cells

While it learns it also outlines at strides 8 and 16 (deep supervision, Lee et al. 2015): :meth:`Pyramid.learning`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from converters.nets.cam_net import CamNet
from converters.nets.depthwise import DepthwiseConv2d
from converters.nets.lite import STAGES, InvertedResidual, conv_norm, normalise, plan_of

LEVELS = (2, 4, 10, 14)
"""After how many blocks strides 4, 8, 16 and 32 end: the last block of stages 2, 3, 5 and 6, counted from 0."""
REDUCED = 8
RARE = -3.0
"""The log odds with which heads begin: few cells lie in a lesion."""


def _plan(lesion_channels: int) -> dict[str, Any]:
    trunk = plan_of(STAGES[:6], 1)
    return {"stem": trunk["stem"], "blocks": trunk["blocks"], "width": 64, "outlines": lesion_channels}


PLANS: Mapping[str, dict[str, Any]] = {"pyramid": _plan(1), "pyramid-organ": _plan(2)}


class Separable(nn.Sequential):  # type: ignore[misc]
    """A 3 x 3 filter of each channel, then a 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            normalise(DepthwiseConv2d(inputs, 3, 1, 1)), nn.ReLU6(), conv_norm(inputs, outputs, 1), nn.ReLU6()
        )


class Attention(nn.Module):  # type: ignore[misc]
    """A weight in [0, 1] for each channel, then one for each place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // REDUCED, 1)
        self.excite = nn.Conv2d(channels // REDUCED, channels, 1)
        self.place = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        channel = self.excite(functional.relu(self.squeeze(x.mean(dim=(2, 3), keepdim=True))))
        x = x * gate(channel)
        return x * gate(self.place(x))


def gate(x: Tensor) -> Tensor:
    """The piecewise linear sigmoid (Howard et al. 2019)."""
    return functional.relu6(x + 3.0) / 6.0


class Head(nn.Sequential):  # type: ignore[misc]
    """A separable layer and the convolution that answers."""

    def __init__(self, width: int, answers: int, begin: float = 0.0) -> None:
        super().__init__(Separable(width, width), nn.Conv2d(width, answers, 1))
        nn.init.normal_(self[1].weight, std=0.01)
        nn.init.zeros_(self[1].bias)
        nn.init.constant_(self[1].bias[:1], begin)


@dataclass(frozen=True, slots=True)
class Learning:
    """What the loss sees: the outputs, and the outlines at strides 8 and 16."""

    map: Tensor
    outline: Tensor
    boxes: Tensor
    points: Tensor
    deeper: tuple[Tensor, ...]


class Pyramid(CamNet):
    """See the module."""

    outputs = ("map", "features", "outline", "boxes", "points")
    fresh = ("attention", "lateral", "fused", "evidence", "cam", "bias", "outline", "boxes", "points", "deeper")

    def __init__(self, name: str, plan: dict[str, Any], findings: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.name, self.plan = name, plan
        width = int(plan["width"])
        self.stem = conv_norm(1, int(plan["stem"]), 3, stride=2)
        self.activation = nn.ReLU6()
        blocks: list[nn.Module] = []
        channels = int(plan["stem"])
        for block in plan["blocks"]:
            blocks.append(InvertedResidual(channels, block))
            channels = int(block["channels"])
        self.blocks = nn.Sequential(*blocks)
        deep = [int(plan["blocks"][level]["channels"]) for level in LEVELS]
        self.attention = nn.ModuleList(Attention(one) for one in deep[2:])
        self.lateral = nn.ModuleList(conv_norm(one, width, 1) for one in deep)
        self.fused = nn.ModuleList(Separable(width, width) for _ in deep[:3])
        self.dropout = nn.Dropout2d(dropout)
        self.evidence = Separable(width, 2 * width)
        self.cam = nn.Conv2d(2 * width, findings, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(findings))
        nn.init.normal_(self.cam.weight, std=0.01)
        self.outline = Head(width, int(plan["outlines"]), RARE)
        self.boxes = Head(width, 5, RARE)
        self.points = Head(width, 3, RARE)
        self.deeper = nn.ModuleList(nn.Conv2d(width, int(plan["outlines"]), 1) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 1, H, W) in [0, 1] → :attr:`outputs`."""
        levels = self._levels(x)
        seen = self.evidence(levels[2])
        return (
            self.cam(seen),
            seen.mean(dim=(2, 3)),
            self.outline(levels[0]),
            self.boxes(levels[1]),
            self.points(levels[0]),
        )

    def learning(self, x: Tensor) -> Learning:
        """(N, 1, H, W) → what the loss of lesions compares; only :mod:`converters.training` asks for it."""
        levels = self._levels(x)
        return Learning(
            self.cam(self.dropout(self.evidence(levels[2]))),
            self.outline(levels[0]),
            self.boxes(levels[1]),
            self.points(levels[0]),
            tuple(head(level) for head, level in zip(self.deeper, levels[1:], strict=True)),
        )

    def _levels(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fused levels of strides 4, 8 and 16."""
        x = self.activation(self.stem(x))
        taken = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in LEVELS:
                taken.append(x)
        taken[2:] = [attend(one) for attend, one in zip(self.attention, taken[2:], strict=True)]
        sides = [lateral(one) for lateral, one in zip(self.lateral, taken, strict=True)]
        above, fused = sides[3], list[Tensor]()
        for level in (2, 1, 0):
            above = self.fused[level](sides[level] + functional.interpolate(above, scale_factor=2.0, mode="nearest"))
            fused.insert(0, above)
        return fused[0], fused[1], fused[2]

    def read_plan(self) -> dict[str, Any]:
        """The plan itself: it is not narrowed."""
        return self.plan
