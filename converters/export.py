"""From a checkpoint to ONNX: the graph's only output is the class activation map."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from converters.failures import GateFailed
from converters.nets.lite0_cam import Lite0Cam
from firmware_app.imaging.model_input import InputSpec
from firmware_app.runtimes import choice

OPSET = 18
OUTPUT = "map"
PARITY = 1e-3
"""Largest difference, in logits of a map cell, that another runtime may show for the float model."""


def export(net: Lite0Cam, spec: InputSpec, path: Path) -> float:
    """Write ``net`` as ``path`` (opset 18, dynamic batch, weights inside) and return the classifier's bias.

    The file is read back by ONNX Runtime and compared with the network on noise; raises
    :class:`~converters.failures.GateFailed` when they differ by more than :data:`PARITY` logits.
    """
    net = net.to(memory_format=torch.contiguous_format).eval()
    example = torch.rand(2, spec.channels, spec.height, spec.width, generator=torch.Generator().manual_seed(0))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net, (example,), dynamo=True, opset_version=OPSET, external_data=False, verbose=False,
            input_names=[spec.name], output_names=[OUTPUT], dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    if program is None:
        raise GateFailed("export", "the exporter returned nothing")
    program.save(str(path), external_data=False)
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    with torch.no_grad():
        wanted = net(example).numpy()
    difference = float(np.abs(run(path, spec, example.numpy()) - wanted).max())
    if difference > PARITY:
        raise GateFailed("export", f"ONNX Runtime differs from the network by {difference:.2g} logits")
    return float(net.bias.detach()[0])


def run(path: Path, spec: InputSpec, films: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 1, H, W) → maps (N, C, h, w), by the box's default runtime."""
    return choice.get(choice.DEFAULT).load(path).infer({spec.name: films})[OUTPUT]
