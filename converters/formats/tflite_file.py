"""TFLite: from PyTorch by litert-torch; FP16, static INT8 and dynamic INT8 by Google's AI Edge Quantizer.

A static INT8 file has int8 inputs and outputs with a scale and a zero point; the box's runtime module rounds and
unrounds around it.  In a dynamic one only weights are rounded and inputs stay float.
"""

import errno
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from converters.failures import ToolFailed
from converters.formats import first_line, quiet
from converters.outputs import FULL_BYTES, writing

Kind = Literal["static", "dynamic"]


class Named(nn.Module):  # type: ignore[misc]
    """A network whose outputs carry names into the file."""

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)

    def forward(self, **given: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(self.names, self.net(*given.values()), strict=True))


def export(net: nn.Module, example: torch.Tensor, names: tuple[str, Sequence[str]], path: Path) -> Path:
    """Write ``net`` as a float ``.tflite`` file for a batch of one; ``names`` of the input and of the outputs.

    Raises :class:`~converters.failures.ToolFailed`.
    """
    import litert_torch

    logging.getLogger("litert_torch").setLevel(logging.ERROR)
    with writing(path) as part, quiet():
        try:
            plain = Named(net.to(memory_format=torch.contiguous_format), names[1]).eval()
            converted = litert_torch.convert(plain, sample_kwargs={names[0]: example[:1]})
            _room(part, 4 * sum(value.numel() for value in net.state_dict().values()))
            converted.export(str(part))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise ToolFailed("litert-torch", "convert the network", first_line(error)) from error
    return path


def halve(source: Path, path: Path) -> Path:
    """Store the weights of a float file in 16 bits; it computes in 32."""
    from ai_edge_quantizer import qtyping

    def recipe(quantizer: Any) -> None:
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        quantizer.update_quantization_recipe(
            regex=".*", operation_name=qtyping.TFLOperationName.ALL_SUPPORTED, algorithm_key="float_casting",
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT
            ),
        )  # fmt: skip

    return _quantized(source, path, recipe, None)


def quantize(
    source: Path, path: Path, films: NDArray[np.float32], kind: Kind = "static", spared: Sequence[str] = ()
) -> Path:
    """Quantize a float file. ``films``: (N, 1, …) for the ranges of a static file; ``spared``: tensor-name patterns.

    Raises :class:`~converters.failures.ToolFailed`, also where the library rounds none of the network's layers (it
    passes 3-D convolutions by): such a file is INT8 in name only.
    """
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer import recipe as recipes

    def recipe(quantizer: Any) -> None:
        wanted = recipes.static_wi8_ai8() if kind == "static" else recipes.dynamic_wi8_afp32()
        quantizer.load_quantization_recipe(wanted)
        for pattern in spared:
            quantizer.update_quantization_recipe(
                regex=pattern, operation_name=qtyping.TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
            )

    made = _quantized(source, path, recipe, films if kind == "static" else None)
    if not spared and not any(rounded for _, rounded in _weighted(made)):
        made.unlink()
        raise ToolFailed("AI Edge Quantizer", "quantize the file", "it rounds not one of its convolutions or products")
    return made


def weighted_nodes(path: Path) -> list[str]:
    """Patterns that match the output of each convolution and matrix product of a file, in the order of its graph."""
    return [re.escape(name) for name, _ in _weighted(path)]


def _weighted(path: Path) -> list[tuple[str, bool]]:
    """The output of each convolution and matrix product of a file, and whether any of its inputs is in eight bits."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    kinds = {
        schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D, schema.BuiltinOperator.CONV_3D,
        schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.BATCH_MATMUL,
    }  # fmt: skip
    model = tfl_flatbuffer_utils.read_model(str(path))
    graph = model.subgraphs[0]
    return [
        (
            graph.tensors[one.outputs[0]].name.decode(),
            any(graph.tensors[index].type == schema.TensorType.INT8 for index in one.inputs if index >= 0),
        )
        for one in graph.operators
        if model.operatorCodes[one.opcodeIndex].builtinCode in kinds
    ]


def _quantized(source: Path, path: Path, recipe: Any, films: NDArray[np.float32] | None) -> Path:
    from ai_edge_quantizer import quantizer as library

    with writing(path) as part, quiet():
        try:
            quantizer = library.Quantizer(str(source))
            recipe(quantizer)
            ranges = None if films is None else _ranges(source, quantizer.get_quantization_recipe(), films)
            # The library's own way to write maps the file into memory: on a full disk that ends the process (SIGBUS).
            part.write_bytes(bytes(quantizer.quantize(ranges).quantized_model))
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ToolFailed("AI Edge Quantizer", "quantize the file", first_line(error)) from error
    return path


def _ranges(source: Path, recipe: Any, films: NDArray[np.float32]) -> Any:
    """The smallest and largest value of every tensor over all films.

    The library's own way is a moving average, which forgets the widest films: measured on the child pack it moves the
    logits by 0.19 of their spread, the true ranges by 0.04.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    key, signature = next(iter(Interpreter(str(source)).get_signature_list().items()))
    name = signature["inputs"][0]
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe)
    seen = calibrator.Calibrator(str(source), num_threads=2, qsv_update_func=qsv_utils.min_max_update)
    seen.calibrate({key: [{name: film[np.newaxis]} for film in films]}, manager)
    return seen.get_model_qsvs()


def _room(path: Path, size: int) -> None:
    """Raise :class:`OSError` without room for ``size`` and some more: the exporter ends the process on a full disk."""
    if shutil.disk_usage(path.parent).free < 2 * size + FULL_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
