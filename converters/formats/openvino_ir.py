"""OpenVINO IR: an ``.xml`` and its ``.bin``, from the ONNX file; FP16 weights, or INT8 through NNCF.

NNCF's "mixed" preset keeps activations unsigned where they are never negative, which ReLU6 networks are.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.failures import ToolFailed
from converters.formats import accuracy_control, first_line, quiet, recentring
from converters.formats.interface import CONTROLS, Answers, Films, FloatNetwork
from converters.formats.signal_stack import preserve_signal_stack
from converters.workflow.atomic import writing
from firmware_app.packs.runtimes.openvino import shared_core

runtime = "openvino"
asked_in = runtime
static = False
files: Mapping[str, str] = {"fp16": "model.fp16.xml", "int8": "model.int8.xml"}
int8_from = "model.fp32.onnx"
methods: Sequence[str] = ("minmax", "percentile")
controlled = True
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
"""As the box asks: without it a CPU with AMX computes float layers in bfloat16."""


def export(source: Path, path: Path, *, half: bool) -> Path:
    """Convert the ONNX file ``source`` to ``path`` (``.xml``); ``half`` stores weights in 16 bits."""
    try:
        model = fold(source)
    except RuntimeError as error:
        raise ToolFailed("OpenVINO", f"read {source.name}", first_line(error)) from error
    return _save(model, path, half=half)


def write(network: FloatNetwork, folder: Path, precisions: Sequence[str]) -> list[Path]:
    """See :class:`converters.formats.interface.Format`: the FP16 pair; in FP32 OpenVINO reads the ONNX file."""
    if "fp16" not in precisions:
        return []
    path = export(network.source, folder / files["fp16"], half=True)
    return [path, path.with_suffix(".bin")]


def quantize(source: Path, path: Path, films: Films, method: str, answers: Answers, *, npu: bool = False) -> Path:
    """See :class:`converters.formats.interface.Format`: from the ONNX file ``source``.

    ``method`` ``percentile`` clips each activation's range at its 99.99th percentile.  ``npu`` makes the file for an
    NPU: of one film at a time, without zero points, and with all 8 bits of a weight, which overflow on a CPU alone.
    """
    library()  # first: without its telemetry
    import nncf

    nncf.set_log_level(logging.ERROR)
    settings = {
        "preset": nncf.QuantizationPreset.PERFORMANCE if npu else nncf.QuantizationPreset.MIXED,
        "target_device": nncf.TargetDevice.NPU if npu else nncf.TargetDevice.ANY,
        "fast_bias_correction": False,
        "advanced_parameters": _parameters(nncf, method, eight_bits=npu),
    }
    with quiet(), preserve_signal_stack():
        try:
            model = fold(source)
            if npu:
                model.reshape([1, *list(model.input().partial_shape)[1:]])
            if method in CONTROLS:
                quantized = accuracy_control.quantize(
                    model, films, answers, method=method, opened=_open_file, feed=lambda film: film, **settings
                )
            else:
                fed = nncf.Dataset([film[np.newaxis] for film in films])
                quantized = nncf.quantize(model, fed, subset_size=len(films), **settings)
            quantized = _recentre(quantized, fold(source), films)
        except (RuntimeError, ValueError, nncf.ValidationError) as error:
            raise ToolFailed("NNCF", "quantize the network", first_line(error)) from error
    return _save(quantized, path, half=True)


def _recentre(quantized: Any, plain: Any, films: Films) -> Any:
    """``quantized`` with :mod:`converters.formats.recentring` behind its maps."""
    operations = library().opset13
    found = recentring.corrections(_open_file(plain), _open_file(quantized), films)
    for result in quantized.get_results():
        source = result.input_value(0)
        if source.get_any_name() not in found:
            continue
        factor, shift = (
            recentring.broadcast(array, len(source.partial_shape)) for array in found[source.get_any_name()]
        )
        names = source.get_names()
        moved = operations.add(operations.multiply(source, factor), shift).output(0)
        result.input(0).replace_source_output(moved)
        source.set_names(set())
        moved.set_names(names)
    quantized.validate_nodes_and_infer_types()
    return quantized


def _open_file(model: Any) -> accuracy_control.Asked:
    """``model``: one of OpenVINO's, compiled or not."""
    compiled = model if hasattr(model, "create_infer_request") else shared_core().compile_model(model, "CPU", EXACT)

    def ask(film: Films) -> dict[str, NDArray[np.float32]]:
        given = compiled(film)
        return {output.get_any_name(): given[output] for output in compiled.outputs}

    return ask


def fold(source: Path) -> Any:
    """The model of an ONNX file or IR with its constant parts computed.

    `Core.read_model` leaves the shapes of depthwise weights to be computed from ``ShapeOf``; NNCF then takes their
    channels wrongly and OpenVINO runs all of them in float (docs/decisions/int8-openvino.md).
    """
    return library().convert_model(str(source)) if source.suffix == ".onnx" else shared_core().read_model(source)


def int8_layers(path: Path) -> tuple[int, int]:
    """How many of the convolutions and matrix products of an IR run in INT8 on this processor, and how many there are.

    From the graph that OpenVINO executes, which is not what the file asks for.
    """
    graph = shared_core().compile_model(shared_core().read_model(path), "CPU").get_runtime_model()
    notes = [node.get_rt_info() for node in graph.get_ops()]
    kinds = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
    layers = [str(note["runtimePrecision"].value).lower() for note in notes if str(note["layerType"].value) in kinds]
    return sum(precision in ("i8", "u8") for precision in layers), len(layers)


def _parameters(nncf: Any, method: str, *, eight_bits: bool) -> Any:
    """The ranges by *method*, and weights of 7 bits: without VNNI two products of 8 bits overflow 16."""
    from nncf.quantization.advanced_parameters import OverflowFix

    ranges = _ranges(nncf, method)
    more = {"activations_range_estimator_params": ranges} if ranges is not None else {}
    overflow = OverflowFix.DISABLE if eight_bits else OverflowFix.ENABLE
    return nncf.AdvancedQuantizationParameters(overflow_fix=overflow, **more)


def _ranges(nncf: Any, method: str) -> Any:
    if method != "percentile":
        return None
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    low = StatisticsCollectorParameters(StatisticsType.QUANTILE, AggregatorType.MEAN, quantile_outlier_prob=1e-4)
    high = StatisticsCollectorParameters(StatisticsType.QUANTILE, AggregatorType.MEAN, quantile_outlier_prob=1e-4)
    return RangeEstimatorParameters(low, high)


def _save(model: Any, path: Path, *, half: bool) -> Path:
    """Write the pair of files; the ``.xml`` takes its name last, so that it is never there without its ``.bin``."""
    with writing(path) as graph, writing(path.with_suffix(".bin")) as weights:
        library().save_model(model, str(graph), compress_to_fp16=half)
        graph.with_suffix(".bin").replace(weights)
    return path


def library() -> Any:
    """OpenVINO without its telemetry, which its tools and NNCF send unasked; a package that is barred is not used."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
