"""ONNX: from PyTorch by its own exporter (opset 18), and to INT8 by ONNX Runtime's static QDQ form.

Two eight-bit kinds. ``u8s8``: activations unsigned, weights signed per channel with 7 of their 8 bits, for CPUs (on
those without VNNI the 8-bit product of U8 and S8 saturates, and the same film would get another answer on an older
box). ``s8s8``: both signed and symmetric, all 8 bits, which TensorRT wants and a CPU runs slowly.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in firmware_app/runtimes/onnxruntime.py; read when it is imported

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import nn

from converters.failures import ToolFailed
from converters.formats import first_line, openvino_ir, quiet
from converters.outputs import writing

OPSET = 18
PERCENTILE = 99.99
METHODS: dict[str, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
}
Kind = Literal["u8s8", "s8s8"]


def export(
    net: nn.Module, example: torch.Tensor, names: tuple[str, Sequence[str]], path: Path, *, static: bool = False
) -> Path:
    """Write ``net`` as ``path``: opset 18, weights inside, the batch dynamic or (``static``) one.

    ``names`` are those of the input and of the outputs.  Raises :class:`~converters.failures.ToolFailed`.
    """
    net = net.to(memory_format=torch.contiguous_format).eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    shapes = None if static else ({0: torch.export.Dim("batch")},)
    seen = example[:1] if static else torch.cat([example, example])[:2]
    with quiet():
        try:
            program = torch.onnx.export(
                net, (seen,), dynamo=True, opset_version=OPSET, external_data=False, verbose=False,
                input_names=[names[0]], output_names=list(names[1]), dynamic_shapes=shapes,
            )  # fmt: skip
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
            raise ToolFailed("torch.onnx", "export the network", first_line(error)) from error
    with writing(path) as part:
        program.save(str(part), external_data=False)
        _strip(part)
    return path


def quantize(
    source: Path, path: Path, films: NDArray[np.float32], method: str, spared: Sequence[str] = (), kind: Kind = "u8s8"
) -> Path:
    """Quantize the float file ``source``. ``films``: (N, 1, …) for calibration; ``spared``: nodes kept in float.

    ``method`` ``nncf`` leaves it to NNCF, which also corrects biases.
    """
    if method == "nncf":
        return _by_nncf(source, path, films, spared)
    logging.getLogger().setLevel(logging.ERROR)
    signed = kind == "s8s8"
    with writing(path) as part, quiet():
        try:
            quantize_static(
                str(source), str(part), _Films(films, input_name(source)), quant_format=QuantFormat.QDQ,
                per_channel=True, reduce_range=not signed, weight_type=QuantType.QInt8,
                activation_type=QuantType.QInt8 if signed else QuantType.QUInt8, nodes_to_exclude=list(spared),
                calibrate_method=METHODS[method],
                extra_options={"CalibPercentile": PERCENTILE, "ActivationSymmetric": signed, "WeightSymmetric": True},
            )  # fmt: skip
        except (RuntimeError, ValueError, KeyError, AttributeError) as error:
            raise ToolFailed("ONNX Runtime", "quantize the file", first_line(error)) from error
    return path


def _by_nncf(source: Path, path: Path, films: NDArray[np.float32], spared: Sequence[str]) -> Path:
    """Quantize by NNCF: unsigned activations where they are never negative, and weights of seven bits.

    The eighth would overflow on processors without VNNI.
    """
    openvino_ir.library()  # without its telemetry, which NNCF shares
    import nncf

    nncf.set_log_level(logging.ERROR)
    name = input_name(source)
    with writing(path) as part, quiet():
        try:
            quantized = nncf.quantize(
                onnx.load(str(source)), nncf.Dataset([{name: film[np.newaxis]} for film in films]),
                subset_size=len(films), preset=nncf.QuantizationPreset.MIXED, fast_bias_correction=True,
                ignored_scope=nncf.IgnoredScope(names=list(spared)) if spared else None,
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
            )  # fmt: skip
        except (RuntimeError, ValueError, KeyError, nncf.ValidationError) as error:
            raise ToolFailed("NNCF", "quantize the file", first_line(error)) from error
        onnx.save(quantized, str(part))
    return path


def weighted_nodes(path: Path) -> list[str]:
    """The names of the convolutions and matrix products of a file, in the order of its graph."""
    kinds = {"Conv", "Gemm", "MatMul", "ConvTranspose"}
    return [node.name for node in onnx.load(str(path)).graph.node if node.op_type in kinds]


def input_name(path: Path) -> str:
    """The name of a file's first input."""
    name: str = onnx.load(str(path), load_external_data=False).graph.input[0].name
    return name


def batch(path: Path) -> int | None:
    """How many films a file takes at once; ``None`` where that is open."""
    first = onnx.load(str(path), load_external_data=False).graph.input[0].type.tensor_type.shape.dim[0]
    return int(first.dim_value) or None


def opset(path: Path) -> int:
    """The version of the standard operators that a file uses."""
    model = onnx.load(str(path), load_external_data=False)
    return int(next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")))


class _Films(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration films one at a time, which a file of static batch needs."""

    def __init__(self, films: NDArray[np.float32], name: str) -> None:
        self.films, self.name, self.next_index = films, name, 0

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next film, or ``None`` after the last (the library's protocol)."""
        if self.next_index >= len(self.films):
            return None
        self.next_index += 1
        return {self.name: self.films[self.next_index - 1 : self.next_index]}


def _strip(path: Path) -> None:
    """Check a file and take out what the exporter notes of the machine and the source it ran on."""
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
