"""The files for an NPU, of one film at a time and fixed shapes: an ONNX file in float, and an OpenVINO IR in INT8.

The IR's activations and weights are quantized symmetrically, so that no zero point is left, for NNCF's target NPU.
Both are asked in OpenVINO on the CPU here; no file of ours has run on an NPU.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.failures import ToolFailed
from converters.formats import onnx_file, openvino_ir
from converters.formats.interface import Answers, Films, FloatNetwork

runtime = "npu"
asked_in = openvino_ir.runtime
static = True
files: Mapping[str, str] = {"fp32": "model.static.onnx", "int8": "model.npu.xml"}
int8_from = files["fp32"]
methods: Sequence[str] = openvino_ir.methods
controlled = False


def write(network: FloatNetwork, folder: Path, precisions: Sequence[str]) -> list[Path]:
    """See :class:`converters.formats.interface.Format`."""
    if network.net is None:
        raise ToolFailed("torch.onnx", "export the network", "an ONNX file that was brought keeps its own batch")
    path = folder / files["fp32"]
    return [onnx_file.export(network.net, network.example, (network.films, network.names), path, static=True)]


def quantize(source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
    """See :class:`converters.formats.interface.Format`.

    ``source`` is the static float file; of a fold, which has none, the one with an open batch.
    """
    found = source if source.is_file() else source.with_name(onnx_file.files["fp32"])
    return openvino_ir.quantize(found, path, films, method, answers, npu=True)


int8_layers = openvino_ir.int8_layers
