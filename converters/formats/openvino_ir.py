"""OpenVINO IR: an ``.xml`` and its ``.bin``, from the ONNX file; FP16 weights, or INT8 through NNCF.

NNCF's "mixed" preset keeps activations unsigned where they are never negative, which ReLU6 networks are.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.failures import ToolFailed
from converters.formats import first_line, quiet
from converters.outputs import writing
from firmware_app.runtimes.openvino import core


def export(source: Path, path: Path, *, half: bool) -> Path:
    """Convert the ONNX file ``source`` to ``path`` (``.xml``); ``half`` stores weights in 16 bits."""
    try:
        model = folded(source)
    except RuntimeError as error:
        raise ToolFailed("OpenVINO", f"read {source.name}", first_line(error)) from error
    return _save(model, path, half=half)


def quantize(
    source: Path, path: Path, films: NDArray[np.float32], method: str = "minmax", spared: Sequence[str] = ()
) -> Path:
    """Quantize the ONNX file ``source`` into an INT8 IR. ``films``: (N, 1, …); ``spared``: layers kept in float.

    ``method`` ``percentile`` clips each activation's range at its 99.99th percentile.
    """
    library()  # first: without its telemetry
    import nncf

    nncf.set_log_level(logging.ERROR)
    with quiet():
        try:
            model = folded(source)
            known = {node.get_friendly_name() for node in model.get_ops()}
            quantized = nncf.quantize(
                model, nncf.Dataset([film[np.newaxis] for film in films]), subset_size=len(films),
                preset=nncf.QuantizationPreset.MIXED, fast_bias_correction=False,
                ignored_scope=nncf.IgnoredScope(names=[name for name in spared if name in known]) if spared else None,
                advanced_parameters=_parameters(nncf, method),
            )  # fmt: skip
        except (RuntimeError, ValueError, nncf.ValidationError) as error:
            raise ToolFailed("NNCF", "quantize the network", first_line(error)) from error
    return _save(quantized, path, half=True)


def weighted_nodes(path: Path) -> list[str]:
    """The names of the convolutions and matrix products of an IR or ONNX file, in the order of its graph."""
    model = folded(path)
    kinds = {"Convolution", "GroupConvolution", "MatMul"}
    return [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() in kinds]


def folded(source: Path) -> Any:
    """The model of an ONNX file or IR with its constant parts computed.

    `Core.read_model` leaves the shapes of depthwise weights to be computed from ``ShapeOf``; NNCF then takes their
    channels wrongly and OpenVINO runs all of them in float (docs/decisions/int8-openvino.md).
    """
    return library().convert_model(str(source)) if source.suffix == ".onnx" else core().read_model(source)


def int8_layers(path: Path) -> tuple[int, int]:
    """How many of the convolutions and matrix products of an IR run in INT8 on this processor, and how many there are.

    From the graph that OpenVINO executes, which is not what the file asks for.
    """
    graph = core().compile_model(core().read_model(path), "CPU").get_runtime_model()
    notes = [node.get_rt_info() for node in graph.get_ops()]
    kinds = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
    layers = [str(note["runtimePrecision"].value).lower() for note in notes if str(note["layerType"].value) in kinds]
    return sum(precision in ("i8", "u8") for precision in layers), len(layers)


def _parameters(nncf: Any, method: str) -> Any:
    """The ranges by *method*, and weights of 7 bits: without VNNI two products of 8 bits overflow 16."""
    from nncf.quantization.advanced_parameters import OverflowFix

    ranges = _ranges(nncf, method)
    more = {"activations_range_estimator_params": ranges} if ranges is not None else {}
    return nncf.AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE, **more)


def _ranges(nncf: Any, method: str) -> Any:
    if method == "minmax":
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
