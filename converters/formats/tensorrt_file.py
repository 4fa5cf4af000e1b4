"""The INT8 ONNX file for NVIDIA's TensorRT: symmetric, signed, and in the form that its parser reads.

TensorRT has no zero points, wants a weight as float numbers behind a pair of QuantizeLinear and DequantizeLinear, and
refuses a DequantizeLinear of INT32, which ONNX Runtime by default gives to every bias (onnxruntime issue 14229,
onnx-tensorrt issue 850): the bias stays in float here.  The form is checked (:func:`unreadable`); no file of ours has
run on such a device.  A CPU runs it slowly; it is asked in ONNX Runtime for its answers alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from converters.formats import npu_file, onnx_file
from converters.formats.interface import Answers, Films, FloatNetwork

runtime = "tensorrt"
asked_in = onnx_file.runtime
static = True
files: Mapping[str, str] = {"int8": "model.s8s8.onnx"}
int8_from = npu_file.files["fp32"]
methods: Sequence[str] = ("minmax", "percentile")
controlled = False


def write(network: FloatNetwork, folder: Path, precisions: Sequence[str]) -> list[Path]:
    """It has no float file of its own."""
    return []


def quantize(source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
    """See :class:`converters.formats.interface.Format`.

    ``source`` is the static float file; of a fold, which has none, the one with an open batch.
    """
    found = source if source.is_file() else source.with_name(onnx_file.files["fp32"])
    return onnx_file.quantize_static_qdq(found, path, films, method, signed=True)


def unreadable(path: Path) -> list[str]:
    """What TensorRT's parser would refuse of a file, a sentence each: none where its form is right."""
    graph = onnx.load(str(path)).graph
    values = {one.name: one for one in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    found = []
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = values.get(node.input[2]) if len(node.input) > 2 else None
            if zero is not None and np.any(numpy_helper.to_array(zero)):
                found.append(f"{node.name}: a zero point that is not 0")
            given = values.get(node.input[0])
            if node.op_type == "DequantizeLinear" and given is not None:
                kind = "INT32" if given.data_type == TensorProto.INT32 else "constant"
                found.append(f"{node.name}: a DequantizeLinear of {kind} numbers without its QuantizeLinear")
        elif node.op_type in onnx_file.LAYERS and _pairs(node, made_by) == 1:
            found.append(f"{node.name}: only one of its input and weight is quantized")
    return found


def _pairs(node: onnx.NodeProto, made_by: Mapping[str, onnx.NodeProto]) -> int:
    """How many of a layer's two operands come through QuantizeLinear and DequantizeLinear."""
    behind = [made_by[name] for name in node.input[:2] if name in made_by]
    return sum(one.op_type == "DequantizeLinear" for one in behind)


int8_layers = onnx_file.int8_layers
