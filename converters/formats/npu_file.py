"""A float ONNX file of batch 1 and fixed shapes, as compilers for an NPU want it; it is asked in ONNX Runtime here."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.failures import ToolFailed
from converters.formats import onnx_file
from converters.formats.interface import Answers, Films, FloatNetwork

runtime = "npu"
asked_in = onnx_file.runtime
static = True
files: Mapping[str, str] = {"fp32": "model.static.onnx"}
int8_from = files["fp32"]
methods: Sequence[str] = ()
controlled = False


def write(network: FloatNetwork, folder: Path, precisions: Sequence[str]) -> list[Path]:
    """See :class:`converters.formats.interface.Format`."""
    if network.net is None:
        raise ToolFailed("torch.onnx", "export the network", "an ONNX file that was brought keeps its own batch")
    path = folder / files["fp32"]
    return [onnx_file.export(network.net, network.example, (network.films, network.names), path, static=True)]


def quantize(source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
    """There is no INT8 file of it."""
    raise ToolFailed("ONNX Runtime", "quantize the file", f"{runtime} has no INT8 file")


int8_layers = onnx_file.int8_layers
