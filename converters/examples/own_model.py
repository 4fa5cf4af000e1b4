"""A network as anybody may bring one: a function that makes it, and one that asks it about a film as in training."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


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


@cache
def load_trained() -> nn.Module:
    """The network with its weights."""
    net = network()
    net.load_state_dict(torch.load(Path(__file__).with_name("own_model.pt"), weights_only=True))
    return net.eval()


def score(path: str) -> float:
    """What ``function`` of [reference] in own-model.toml names: a film's path → a number, higher for the finding."""
    with Image.open(path) as film:
        seen = film.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.array(seen)) / 255.0
    with torch.no_grad():
        clear, disc = load_trained()(((x - MEAN) / STD).permute(2, 0, 1)[None])[0]
    return float(disc - clear)
