"""Networks by name that an engineer knows, without torchvision: ResNet and DenseNet, with torchvision's weight names.

A recipe says ``[net] backbone = "resnet18"``; ``weights`` may then be a checkpoint of torchvision's network of that
name.  Another package adds one by an entry point of the group ``lantern.backbones`` that names a :class:`Backbone`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

import torch
from torch import Tensor, nn

GROUP: Final = "lantern.backbones"


@dataclass(frozen=True, slots=True)
class Backbone:
    """``build(outputs, colours)`` makes a module: (N, colours, H, W) → (N, outputs).

    ``features`` and ``classifier`` name the submodules between which nothing but a global mean stands.
    """

    build: Callable[[int, int], nn.Module]
    features: str
    classifier: str


class Residual(nn.Module):  # type: ignore[misc]
    """Two 3 x 3 convolutions beside the identity (He et al. 2016, the basic block)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):  # type: ignore[misc]
    """ResNet of basic blocks (He et al. 2016): ``depths`` blocks in four stages, the first of ``width`` channels."""

    def __init__(self, outputs: int, colours: int, depths: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(colours, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for number, depth in enumerate(depths, 1):
            own = width * 2 ** (number - 1)
            blocks = [
                Residual(inputs if first else own, own, 2 if first and number > 1 else 1)
                for first in (True, *(False,) * (depth - 1))
            ]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = own
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class DenseLayer(nn.Module):  # type: ignore[misc]
    """Norm, ReLU, 1 x 1; norm, ReLU, 3 x 3; concatenated to its input (Huang et al. 2017)."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))
        return torch.cat([x, y], dim=1)


class DenseNet(nn.Module):  # type: ignore[misc]
    """DenseNet-BC (Huang et al. 2017): ``depths`` layers in each block, each layer adds ``growth`` channels."""

    def __init__(self, outputs: int, colours: int, depths: Sequence[int], growth: int = 32, stem: int = 64) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(colours, stem, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(stem))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        channels = stem
        for number, depth in enumerate(depths, 1):
            block = nn.Sequential()
            for layer in range(1, depth + 1):
                block.add_module(f"denselayer{layer}", DenseLayer(channels, growth))
                channels += growth
            self.features.add_module(f"denseblock{number}", block)
            if number < len(depths):
                half = nn.Sequential()
                half.add_module("norm", nn.BatchNorm2d(channels))
                half.add_module("relu", nn.ReLU(inplace=True))
                half.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
                half.add_module("pool", nn.AvgPool2d(2, 2))
                self.features.add_module(f"transition{number}", half)
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.last = nn.ReLU()
        """A module of its own, without weights: the mean is taken of what it gives."""
        self.classifier = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.last(self.features(x)).mean(dim=(2, 3)))


def _resnet(depths: Sequence[int], width: int = 64) -> Backbone:
    return Backbone(partial(ResNet, depths=depths, width=width), "layer4", "fc")


def _densenet(depths: Sequence[int], growth: int = 32, stem: int = 64) -> Backbone:
    return Backbone(partial(DenseNet, depths=depths, growth=growth, stem=stem), "last", "classifier")


OWN: Final[Mapping[str, Backbone]] = {
    "resnet10-small": _resnet((1, 1, 1, 1), 16),
    "resnet18": _resnet((2, 2, 2, 2)),
    "resnet34": _resnet((3, 4, 6, 3)),
    "densenet-small": _densenet((2, 2), 8, 16),
    "densenet121": _densenet((6, 12, 24, 16)),
}
"""Name → network; the small ones have no published weights."""


def get(name: str) -> Backbone:
    """The backbone called ``name``; raises :class:`LookupError` with the names there are."""
    if name in OWN:
        return OWN[name]
    others = {point.name: point.value for point in entry_points(group=GROUP)}
    if name not in others:
        raise LookupError(f"there is no backbone {name}; known are {', '.join((*OWN, *sorted(others)))}")
    module, _, word = others[name].partition(":")
    try:
        found = getattr(import_module(module), word)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"the backbone {name} cannot be imported from {others[name]}: {error}") from error
    if not isinstance(found, Backbone):
        raise LookupError(f"{others[name]} is a {type(found).__name__}, not a converters.nets.backbones.Backbone")
    return found
