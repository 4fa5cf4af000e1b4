"""MeshNet (Fedorov et al. 2017): outlines in volumes by dilated 3-D convolutions and nothing else.

Every layer keeps the volume's size, so a cell of the map is a voxel of the input; the dilations 1, 2, 4, 8 and back let
it see 65 voxels across with a few thousand weights.  There is no pooling and no skip connection to go wrong.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from converters.nets.cam_net import CamNet

DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)
PLANS: Mapping[str, dict[str, Any]] = {
    "meshnet": {"channels": 16, "dilations": list(DILATIONS)},
    "meshnet-small": {"channels": 8, "dilations": list(DILATIONS)},
}


class MeshNet(CamNet):
    """Layers by their plan, and the map."""

    outlines = True

    def __init__(self, name: str, plan: dict[str, Any], findings: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.name, self.plan = name, plan
        width, inputs = int(plan["channels"]), 1
        layers: list[nn.Module] = []
        for dilation in plan["dilations"]:
            convolution = nn.Conv3d(inputs, width, 3, padding=int(dilation), dilation=int(dilation), bias=False)
            layers += [convolution, nn.BatchNorm3d(width, momentum=0.05), nn.ReLU()]
            inputs = width
        self.trunk = nn.Sequential(*layers)
        self.dropout = nn.Dropout3d(dropout)
        self.cam = nn.Conv3d(width, findings, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(findings))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, D, H, W) in [0, 1] → (map (N, C, D, H, W) in logits, features (N, F))."""
        seen = self.trunk(x)
        return self.cam(self.dropout(seen)), seen.mean(dim=(2, 3, 4))

    def read_plan(self) -> dict[str, Any]:
        """The plan of the layers as they are now."""
        return dict(self.plan)
