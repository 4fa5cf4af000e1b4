"""ResNet-50 (He et al. 2016, the form with the stride in the 3 x 3 convolution), plain PyTorch, random weights.

A common first choice. Only its time is measured, which does not depend on the weights.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

_STAGES: Final = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Inner width, blocks, and the first block's stride."""

_WIDER: Final = 4


class Bottleneck(nn.Module):  # type: ignore[misc]  # the development environment has no torch
    """1 x 1, 3 x 3 and 1 x 1 convolutions, and the input added."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = width * _WIDER
        self.body = nn.Sequential(
            *_convolution(channels, width, 1),
            nn.ReLU(inplace=True),
            *_convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(width, wide, 1),
        )
        same = channels == wide and stride == 1
        self.aside = nn.Identity() if same else nn.Sequential(*_convolution(channels, wide, 1, stride))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.aside(x))


def resnet50(channels: int = 1, classes: int = 1) -> nn.Sequential:
    """(N, channels, H, W) → (N, classes)."""
    layers: list[nn.Module] = [*_convolution(channels, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    held = 64
    for width, blocks, stride in _STAGES:
        for block in range(blocks):
            layers.append(Bottleneck(held, width, stride if block == 0 else 1))
            held = width * _WIDER
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(held, classes))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
