"""ONNX: from PyTorch by its own exporter (opset 18), and to INT8 in the QDQ form, by ONNX Runtime or, under
accuracy control, by NNCF.

INT8 for CPUs is ``u8s8``: activations unsigned with one range a tensor, weights signed with one a channel, all 8 bits.
Without VNNI the kernels for it add pairs of products in 16 bits, which overflows; ONNX Runtime then makes U8U8 of it,
which does not, where a session asks for that (:mod:`firmware_app.packs.runtimes.onnxruntime`).  With a range for each
*channel* of an activation, which NNCF takes by default for depthwise convolutions, these are not fused and run in
float.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in firmware_app/packs/runtimes/onnxruntime.py; read when it is imported

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from torch import nn

from converters.failures import ToolFailed
from converters.formats import accuracy_control, first_line, openvino_ir, quiet, recentring
from converters.formats.interface import CONTROLS, Answers, Films, FloatNetwork
from converters.workflow.atomic import writing
from firmware_app.packs.runtimes.onnxruntime import exact_options, library_errors

OPSET = 18
PERCENTILE = 99.99
FILMS_AT_ONCE = 16
"""ONNX Runtime keeps every activation of the films that it ranges at once: 250 films of 224 px took 14 GB."""
FLOAT_ENDS = "minmax, ends in float"
"""The first and the last layers stay in float: rounding costs most there, and they are few."""

RANGES: dict[str, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    FLOAT_ENDS: CalibrationMethod.MinMax,
}

runtime = "onnxruntime"
asked_in = runtime
static = False
files: Mapping[str, str] = {"fp32": "model.fp32.onnx", "int8": "model.int8.onnx"}
int8_from = files["fp32"]
methods: Sequence[str] = tuple(RANGES)
controlled = True

LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
IN_INT8 = {
    "QLinearConv",
    "ConvInteger",
    "QLinearMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "QGemm",
}
"""Operators of an optimised graph: convolutions and matrix products in float, and those in eight bits."""


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
                net,
                (seen,),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                verbose=False,
                input_names=[names[0]],
                output_names=list(names[1]),
                dynamic_shapes=shapes,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
            raise ToolFailed("torch.onnx", "export the network", first_line(error)) from error
    with writing(path) as part:
        program.save(str(part), external_data=False)
        _strip(part)
    return path


def write(network: FloatNetwork, folder: Path, precisions: Sequence[str]) -> list[Path]:
    """See :class:`converters.formats.interface.Format`: every other file begins from ``network.source``."""
    if network.net is None:
        return [network.source]
    return [export(network.net, network.example, (network.films, network.names), network.source)]


def quantize(source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
    """See :class:`converters.formats.interface.Format`: by ONNX Runtime, under accuracy control by NNCF."""
    if method in CONTROLS:
        _control_accuracy(source, path, films, method, answers)
    else:
        quantize_static_qdq(source, path, films, method)
    return _recentre(source, path, films)


def _recentre(source: Path, path: Path, films: Films) -> Path:
    """Add :mod:`converters.formats.recentring` after the maps of ``path``."""
    model = onnx.load(str(path))
    try:
        found = recentring.corrections(_open_file(onnx.load(str(source))), _open_file(model), films)
    except library_errors(onnxruntime) as error:
        raise ToolFailed("ONNX Runtime", "run the quantized file", first_line(error)) from error
    for output in model.graph.output:
        name, dimensions = output.name, len(output.type.tensor_type.shape.dim)
        if name not in found:
            continue
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [f"{name}.rounded" if one == name else one for one in names]
        for end, values in zip(("factor", "summand"), found[name], strict=True):
            held = onnx.numpy_helper.from_array(recentring.broadcast(values, dimensions), f"{name}.{end}")
            model.graph.initializer.append(held)
        model.graph.node.extend(
            [
                onnx.helper.make_node("Mul", [f"{name}.rounded", f"{name}.factor"], [f"{name}.scaled"]),
                onnx.helper.make_node("Add", [f"{name}.scaled", f"{name}.summand"], [name]),
            ]
        )
    with writing(path) as part:
        onnx.save(model, str(part))
    return path


def quantize_static_qdq(source: Path, path: Path, films: Films, method: str, *, signed: bool = False) -> Path:
    """Quantize with ONNX Runtime; ``signed``: symmetric signed activations, QDQ pairs on the weights, float biases."""
    logging.getLogger().setLevel(logging.ERROR)
    at_once = max(count for count in range(1, FILMS_AT_ONCE + 1) if len(films) % count == 0)
    for_tensorrt = {"ActivationSymmetric": True, "AddQDQPairToWeight": True, "QuantizeBias": False} if signed else {}
    in_float = end_layers(onnx.load(str(source))) if method == FLOAT_ENDS else []
    with writing(path) as part, quiet():
        try:
            quantize_static(
                str(source),
                str(part),
                _Films(films, input_name(source)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=False,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
                calibrate_method=RANGES[method],
                nodes_to_exclude=in_float,
                extra_options={
                    "CalibPercentile": PERCENTILE,
                    "CalibStridedMinMax": at_once,
                    "WeightSymmetric": True,
                    **for_tensorrt,
                },
            )
        except (RuntimeError, ValueError, KeyError, AttributeError) as error:
            raise ToolFailed("ONNX Runtime", "quantize the file", first_line(error)) from error
    return path


def end_layers(model: onnx.ModelProto) -> list[str]:
    """The names of the layers that the input reaches first, and of those that give an output as it is."""
    graph = model.graph
    outputs = {output.name for output in graph.output}
    last = [node.name for node in graph.node if node.op_type in LAYERS and outputs & set(node.output)]
    first, near = [], {graph.input[0].name}
    for node in graph.node:  # in the order in which they are computed, as ONNX demands
        if near.isdisjoint(node.input):
            continue
        if node.op_type in LAYERS:
            first.append(node.name)
        else:
            near.update(node.output)
    return first + last


def _control_accuracy(source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
    """Quantize with NNCF, with one range per activation."""
    openvino_ir.library()  # without its telemetry, which NNCF shares
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters

    name = input_name(source)
    parameters = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix.DISABLE, activations_quantization_params=QuantizationParameters(per_channel=False)
    )
    with writing(path) as part, quiet():
        try:
            quantized = accuracy_control.quantize(
                onnx.load(str(source)),
                films,
                answers,
                method=method,
                opened=_open_file,
                feed=lambda film: {name: film},
                preset=nncf.QuantizationPreset.MIXED,
                fast_bias_correction=True,
                advanced_parameters=parameters,
            )
        except (RuntimeError, ValueError, KeyError, nncf.ValidationError) as error:
            raise ToolFailed("NNCF", "quantize the file", first_line(error)) from error
        onnx.save(quantized, str(part))
    return path


def _open_file(model: onnx.ModelProto) -> accuracy_control.Asked:
    session = InferenceSession(model.SerializeToString(), exact_options(), providers=["CPUExecutionProvider"])
    names, name = [output.name for output in session.get_outputs()], session.get_inputs()[0].name
    return lambda film: dict(zip(names, session.run(names, {name: film}), strict=True))


def int8_layers(path: Path) -> tuple[int, int]:
    """See :class:`converters.formats.interface.Format`: counted in the graph that ONNX Runtime has optimised."""
    with TemporaryDirectory() as folder:
        options = SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    rounded = sum(kind in IN_INT8 for kind in kinds)
    return rounded, rounded + sum(kind.removeprefix("Fused") in LAYERS for kind in kinds)


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
        self.films, self.name, self.next_index, self.end = films, name, 0, len(films)

    def __len__(self) -> int:
        return len(self.films)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give the films from ``start_index`` to before ``end_index`` next (the library's protocol)."""
        self.next_index, self.end = start_index, end_index

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next film, or ``None`` after the last (the library's protocol)."""
        if self.next_index >= self.end:
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
