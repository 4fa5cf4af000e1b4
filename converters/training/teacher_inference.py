"""Inference of a frozen teacher: the map and the features of a batch, in the fastest runtime.

Distillation asks its teachers about every film of every epoch, and that is most of its time. OpenVINO answers sooner
than PyTorch does, in bfloat16 where the processor has it; a network that it cannot convert is asked in PyTorch.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from converters.formats import openvino_ir, quiet
from converters.nets import CamNet
from converters.workflow.device import device, in_sixteen_bits
from firmware_app.packs.runtimes.openvino import shared_core

Opinion = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(B, 1, …) films in [0, 1] → maps (B, K, …) and features (B, F), float32, without gradients."""


def prepare_teacher(net: CamNet, example: Tensor) -> Opinion:
    """How to ask ``net``, which is frozen for it. ``example``: (n, 1, …) films."""
    net.eval().requires_grad_(False)
    if device().type != "cpu":
        return _in_pytorch(net.to(device()))
    try:
        return _InOpenVino(net, example)
    except (ImportError, RuntimeError):
        return _in_pytorch(net)


def _in_pytorch(net: CamNet) -> Opinion:
    def ask(films: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad(), in_sixteen_bits():
            maps, features = net(films.to(device()))
        return maps.float(), features.float()

    return ask


class _InOpenVino:
    """Compiled once for each size of film: early epochs see smaller ones."""

    def __init__(self, net: CamNet, example: Tensor) -> None:
        with quiet():
            self._model = openvino_ir.library().convert_model(net, example_input=example.contiguous())
        self._compiled: dict[tuple[int, ...], Callable[..., Any]] = {}

    def __call__(self, films: Tensor) -> tuple[Tensor, Tensor]:
        size = tuple(films.shape[1:])
        if size not in self._compiled:
            model = self._model.clone()
            model.reshape([-1, *size])
            hints = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
            self._compiled[size] = shared_core().compile_model(model, "CPU", hints)
        answer = self._compiled[size](films.contiguous().numpy())
        return torch.from_numpy(answer[0]), torch.from_numpy(answer[1])
