"""TFLite: from PyTorch by litert-torch; FP16, static INT8 and dynamic INT8 by Google's AI Edge Quantizer.

A static INT8 file has int8 inputs and outputs with a scale and a zero point; the box's runtime module rounds and
unrounds around it.  In a dynamic one only weights are rounded and inputs stay float.
"""

import errno
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from converters.failures import ToolFailed
from converters.formats import accuracy_control, first_line, quiet, recentring
from converters.formats.interface import CONTROLS, Answers, Films, FloatNetwork
from converters.workflow.atomic import FULL_BYTES, writing
from firmware_app.packs.runtimes import litert

runtime = "litert"
asked_in = runtime
static = False
files: Mapping[str, str] = {"fp32": "model.fp32.tflite", "fp16": "model.fp16.tflite", "int8": "model.int8.tflite"}
int8_from = files["fp32"]
LAYERS = "layers"
FLOAT_ENDS = f"{LAYERS}, ends in float"
methods: Sequence[str] = ("static", LAYERS, FLOAT_ENDS, "dynamic")
controlled = True

ROUNDED = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "CONV_2D_TRANSPOSE",
    "FULLY_CONNECTED",
    "BATCH_MATMUL",
    "ADD",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "RESHAPE",
    "TRANSPOSE",
    "PAD",
    "CONCATENATION",
    "SLICE",
    "RELU",
)
"""The operators of the method :data:`LAYERS`, as the library calls them."""

COUNTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "FULLY_CONNECTED", "BATCH_MATMUL"})
"""The convolutions and matrix products."""

MOVING = frozenset({"TRANSPOSE", "RESHAPE", "QUANTIZE", "DEQUANTIZE"})
"""Operators that only move values or write them in another form, and may stand between a layer and an output."""


class NamedOutputs(nn.Module):  # type: ignore[misc]
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
            plain = NamedOutputs(net.to(memory_format=torch.contiguous_format), names[1]).eval()
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
            regex=".*",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key="float_casting",
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT
            ),
        )

    return _quantize(source, path, recipe, None)


def write(network: FloatNetwork, folder: Path, precisions: Sequence[str]) -> list[Path]:
    """See :class:`converters.formats.interface.Format`: FP32 always, for the others are made from it."""
    if network.net is None:
        raise ToolFailed("litert-torch", "convert the network", "it reads PyTorch modules, and this is an ONNX file")
    whole = export(network.net, network.example, (network.films, network.names), folder / files["fp32"])
    return [whole, *([halve(whole, folder / files["fp16"])] if "fp16" in precisions else [])]


def quantize(source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
    """See :class:`converters.formats.interface.Format`.

    ``static`` rounds all that can be, ``layers`` convolutions, products and what joins them alone: exponentials, sums
    and logarithms stay in float, and in ``layers, ends in float`` the first and the last layers too
    (docs/decisions/int8-onnxruntime.md).  ``dynamic`` rounds weights, and activations as they come.
    The library passes 3-D convolutions by.
    """
    if method in CONTROLS:
        return _control_accuracy(source, path, films, method, answers)
    if method == FLOAT_ENDS:
        return _recentre(source, _quantize_layers(source, path, films, LAYERS, end_layers(source)), films)
    return _quantize_layers(source, path, films, method)


def _quantize_layers(
    source: Path, path: Path, films: Films, method: str, spared: Sequence[str] = (), ranges: Any = None
) -> Path:
    """``spared``: the outputs of layers that stay in float; ``ranges``: those of ``films``, where they are known."""
    from ai_edge_quantizer import qtyping

    def recipe(quantizer: Any) -> None:
        _recipe(quantizer, method)
        for name in spared:
            every = qtyping.TFLOperationName.ALL_SUPPORTED
            quantizer.update_quantization_recipe(re.escape(name), every, algorithm_key="no_quantize")

    return _quantize(source, path, recipe, None if method == "dynamic" else films, ranges)


def _recipe(quantizer: Any, method: str) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer import recipe as recipes

    if method != LAYERS:
        quantizer.load_quantization_recipe(
            recipes.static_wi8_ai8() if method == "static" else recipes.dynamic_wi8_afp32()
        )
        return
    for name in ROUNDED:
        one = qtyping.TFLOperationName(name)
        quantizer.add_static_config(".*", one, activation_num_bits=8, weight_num_bits=8)


def _recentre(source: Path, path: Path, films: Films) -> Path:
    """Add :mod:`converters.formats.recentring` to the last layers of ``path``, which are in float."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    found = recentring.corrections(_open_file(source), _open_file(path), films)
    every, graph, model = _operators(path)
    for output in model.signatureDefs[0].outputs:
        if (name := output.name.decode()) not in found:
            continue
        factor, summand = found[name]
        kind, last = _maker(every, output.tensorIndex)
        constants = [graph.tensors[index] for index in last.inputs[1:3]]
        if kind != "CONV_2D" or any(constant.type != schema.TensorType.FLOAT32 for constant in constants):
            continue
        weights, biases = (model.buffers[constant.buffer] for constant in constants)
        scaled = np.frombuffer(weights.data, np.float32).reshape(len(factor), -1) * factor[:, np.newaxis]
        shifted = np.frombuffer(biases.data, np.float32) * factor + summand
        weights.data, biases.data = (np.frombuffer(array.tobytes(), np.uint8) for array in (scaled, shifted))
    with writing(path) as part:
        part.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    return path


def _maker(every: Sequence[tuple[str, Any]], tensor: int) -> tuple[str, Any]:
    """The kind of operator, and the operator, that computed a tensor which only moved since."""
    for kind, one in reversed(every):
        if tensor in one.outputs:
            if kind not in MOVING:
                return kind, one
            tensor = one.inputs[0]
    raise ToolFailed("AI Edge Quantizer", "find the layers of an output", "nothing computes it")


def _open_file(path: Path) -> accuracy_control.Asked:
    session, name = litert.load(path), _input(path)
    return lambda film: session.infer({name: film})


def _control_accuracy(source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
    """The method ``layers`` under accuracy control, which the library has not: layers stay in float, worst first.

    A layer is as bad as the answers come nearer to the float ones when it alone stays in float.
    """
    from ai_edge_quantizer import quantizer as library

    with quiet():
        whole = library.Quantizer(str(source))
        _recipe(whole, LAYERS)
        ranges = _ranges(source, whole.get_quantization_recipe(), films)
    seen = films[: accuracy_control.RANKED]

    def ask(file: Path) -> NDArray[Any]:
        session = litert.load(file)
        name = _input(file)
        return np.concatenate([answers(session.infer({name: film[np.newaxis]})) for film in seen])

    wanted = ask(source)

    def away(spared: Sequence[str]) -> float:
        return accuracy_control.move(
            wanted, ask(_quantize_layers(source, path, films, method=LAYERS, spared=spared, ranges=ranges))
        )

    names = [name for name, _ in _layers(source)]
    ranked = sorted(names, key=lambda name: away([name]))
    for count in range(1, len(ranked)):
        if away(ranked[:count]) <= CONTROLS[method] * accuracy_control.MOST_MOVED:
            break
    return path


def int8_layers(path: Path) -> tuple[int, int]:
    """See :class:`converters.formats.interface.Format`: those with an input in eight bits, a weight or another."""
    rounded = [one for _, one in _layers(path)]
    return sum(rounded), len(rounded)


def end_layers(path: Path) -> list[str]:
    """The tensors of the first layers, of the output layers, and of the layers that only move data."""
    every, graph, _ = _operators(path)
    ahead, behind, found = set(graph.inputs), set(graph.outputs), []
    for kind, one in every:  # in the order in which they are computed
        if ahead & set(one.inputs):
            if kind in COUNTED:
                found.append(one.outputs[0])
            else:
                ahead |= set(one.outputs)
    for kind, one in reversed(every):
        if behind & set(one.outputs):
            if kind in COUNTED or kind in MOVING:
                found.append(one.outputs[0])
            if kind in MOVING:
                behind |= set(one.inputs)
    return [graph.tensors[index].name.decode() for index in dict.fromkeys(found)]


def _layers(path: Path) -> list[tuple[str, bool]]:
    """The output of each convolution and matrix product, and whether any of its inputs is in eight bits."""
    from ai_edge_litert import schema_py_generated as schema

    every, graph, _ = _operators(path)
    tensors = graph.tensors
    return [
        (
            tensors[one.outputs[0]].name.decode(),
            any(tensors[index].type == schema.TensorType.INT8 for index in one.inputs if index >= 0),
        )
        for kind, one in every
        if kind in COUNTED
    ]


def _operators(path: Path) -> tuple[list[tuple[str, Any]], Any, Any]:
    """Each operator of the file, behind the name of its kind, in the order of computing; the graph; the model."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = flatbuffer_utils.read_model(path)
    (graph, *_) = model.subgraphs
    codes = [names.get(operatorcode.builtinCode, "") for operatorcode in model.operatorCodes]
    return [(codes[operator.opcodeIndex], operator) for operator in graph.operators], graph, model


def _input(path: Path) -> str:
    """The name of a file's first input."""
    from ai_edge_litert.interpreter import Interpreter

    name: str = next(iter(Interpreter(str(path)).get_signature_list().values()))["inputs"][0]
    return name


def _quantize(source: Path, path: Path, recipe: Any, films: Films | None, ranges: Any = None) -> Path:
    from ai_edge_quantizer import quantizer as library

    with writing(path) as part, quiet():
        try:
            quantizer = library.Quantizer(str(source))
            recipe(quantizer)
            if films is not None and ranges is None:
                ranges = _ranges(source, quantizer.get_quantization_recipe(), films)
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
