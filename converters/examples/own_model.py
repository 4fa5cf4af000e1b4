"""A network as anybody may bring one: a function without arguments that gives a ``torch.nn.Module``."""

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Three colours in, two classes out, as networks for photographs are made."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
            convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 2) logits."""
        return self.head(torch.flatten(self.pool(self.body(x)), 1))


def network() -> nn.Module:
    """What ``build`` in own-model.toml names."""
    return Network()
