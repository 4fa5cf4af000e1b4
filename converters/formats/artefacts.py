"""The model files of one network: which there are, how each is made from the network, and how one is asked.

A file is known by its runtime and precision. ``model.fp32.onnx`` is always made: OpenVINO reads it too, and every
eight-bit ONNX or OpenVINO file begins from it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.data.films import inputs
from converters.failures import ToolFailed
from converters.formats import onnx_file, openvino_ir, tflite_file
from converters.nets import CamNet
from converters.outputs import writing
from converters.recipe import Recipe
from firmware_app.imaging.model_input import InputSpec
from firmware_app.runtimes import choice

Key = tuple[str, str]
"""(runtime, precision)."""

SOURCE: Key = ("onnxruntime", "fp32")
NAMES: dict[Key, str] = {
    SOURCE: "model.fp32.onnx",
    ("onnxruntime", "int8"): "model.int8.onnx",
    ("openvino", "fp16"): "model.fp16.xml",
    ("openvino", "int8"): "model.int8.xml",
    ("litert", "fp32"): "model.fp32.tflite",
    ("litert", "fp16"): "model.fp16.tflite",
    ("litert", "int8"): "model.int8.tflite",
}
"""Every file there can be; OpenVINO reads the float file of ONNX Runtime."""

METHODS = {"litert": ("static", "dynamic"), "onnxruntime": ("minmax", "percentile", "nncf")}

STATIC = "model.static.onnx"
TENSORRT = "model.s8s8.onnx"
EXTRAS: dict[Key, str] = {("npu", "fp32"): STATIC, ("tensorrt", "int8"): TENSORRT}
"""Files for machines that are not here, with ``[export] static``; they are judged in ONNX Runtime."""


def wanted(recipe: Recipe) -> list[Key]:
    """The files that a recipe asks for, the source first."""
    runtimes = recipe.export.runtimes
    asked = [key for key in NAMES if (not runtimes or key[0] in runtimes) and key[1] in recipe.export.precisions]
    return [SOURCE, *(key for key in asked if key != SOURCE)]


def float_file(runtime: str) -> Key:
    """The float file that a runtime reads."""
    own = [key for key in NAMES if key[1] == SOURCE[1] and NAMES[key].endswith(choice.suffixes(runtime))]
    return own[0] if own else SOURCE


def extras(recipe: Recipe) -> list[Key]:
    """The files for other machines that a recipe asks for."""
    if not recipe.export.static:
        return []
    return [key for key in EXTRAS if key[1] == "fp32" or ("onnxruntime", key[1]) in wanted(recipe)]


def name_of(key: Key) -> str:
    """What a file is called."""
    return {**NAMES, **EXTRAS}[key]


def asked_in(runtime: str) -> str:
    """The runtime in which a file is asked here."""
    return "onnxruntime" if runtime in {machine for machine, _ in EXTRAS} else runtime


def export(
    net: CamNet, spec: InputSpec, folder: Path, keys: Sequence[Key], *, static: bool = False,
    refused: dict[Key, str] | None = None,
) -> list[Path]:  # fmt: skip
    """Write every float file of ``keys`` into ``folder``; returns all paths that were written.

    A library that cannot make its file raises :class:`~converters.failures.ToolFailed`, or, where ``refused`` is given,
    leaves its reason there for every file that would follow from it. Without ``model.fp32.onnx`` there is no pack.
    """
    net = net.copy().eval()
    example = noise(spec)
    names = (spec.name, net.outputs)
    shown = Named(net)
    finished = getattr(net, "finished", None)
    source = folder / NAMES[SOURCE]
    if finished is not None:
        with writing(source) as part:
            copyfile(finished, part)
    else:
        onnx_file.export(shown, example, names, source)
    made = [source]

    def attempt(lost: Sequence[Key], make: Callable[[], list[Path]]) -> None:
        try:
            made.extend(make())
        except ToolFailed as error:
            if refused is None:
                raise
            refused.update({key: str(error) for key in lost if key in keys})

    def litert() -> list[Path]:
        if finished is not None:
            why = "it reads PyTorch modules, and this is an ONNX file"
            raise ToolFailed("litert-torch", "convert the network", why)
        whole = tflite_file.export(shown, example, names, folder / NAMES["litert", "fp32"])
        half = ("litert", "fp16") in keys
        return [whole, *([tflite_file.halve(whole, folder / NAMES["litert", "fp16"])] if half else [])]

    if static:
        made.append(onnx_file.export(shown, example, names, folder / STATIC, static=True))
    if ("openvino", "fp16") in keys:
        path = folder / NAMES["openvino", "fp16"]
        attempt([("openvino", "fp16")], lambda: files_of(openvino_ir.export(source, path, half=True)))
    if any(runtime == "litert" for runtime, _ in keys):
        attempt([key for key in NAMES if key[0] == "litert"], litert)
    return made


class Named(torch.nn.Module):  # type: ignore[misc]
    """A network with the outputs alone that have a name: features that say nothing need no place in its files."""

    def __init__(self, net: CamNet) -> None:
        super().__init__()
        self.net, self.count = net, len(net.outputs)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.net(x)[: self.count])


def files_of(path: Path) -> list[Path]:
    """A model file and what must stand beside it."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def noise(spec: InputSpec, count: int = 2) -> torch.Tensor:
    """Noise films of the model's size, always the same."""
    size = (count, spec.channels, *spec.shape)
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


class Rounded:
    """The INT8 files of one runtime, one a fold: a :class:`converters.quantizing.quantize.Format`.

    ``floats`` are the folders of the folds' float files, ``films`` the calibration films of each, (N, 1, H, W).
    """

    def __init__(self, runtime: str, floats: Sequence[Path], films: Sequence[NDArray[np.float32]]) -> None:
        self.runtime, self.floats, self.films = runtime, floats, films
        source = floats[0] / NAMES[float_file(runtime)]
        tools: dict[str, Any] = {"openvino": openvino_ir, "litert": tflite_file}
        self.layers: Sequence[str] = tools.get(runtime, onnx_file).weighted_nodes(source)

    @property
    def methods(self) -> Sequence[str]:
        """How ranges are found, or (TFLite) whether activations are rounded at all."""
        return METHODS.get(self.runtime, ("minmax", "percentile"))

    def make(self, folder: Path, method: str, spared: Sequence[str], *, first: bool = False) -> Path:
        """See :class:`converters.quantizing.quantize.Format`; the file of each fold stands in a folder of its name."""
        for source, films in list(zip(self.floats, self.films, strict=True))[: 1 if first else None]:
            rounded(self.runtime, source, folder / source.name, films, method, spared)
        return folder


def rounded(
    runtime: str, floats: Path, folder: Path, films: NDArray[np.float32], method: str, spared: Sequence[str]
) -> list[Path]:
    """Make one runtime's INT8 file from the float files in ``floats``; returns its files."""
    path = folder / name_of((runtime, "int8"))
    if runtime == "litert":
        kind: tflite_file.Kind = "static" if method == "static" else "dynamic"
        tflite_file.quantize(floats / NAMES["litert", "fp32"], path, films, kind, spared)
    elif runtime == "openvino":
        openvino_ir.quantize(floats / NAMES[SOURCE], path, films, method, spared)
    elif runtime == "tensorrt":
        static = floats / STATIC
        source = static if static.is_file() else floats / NAMES[SOURCE]
        onnx_file.quantize(source, path, films, method, spared, kind="s8s8")
    else:
        onnx_file.quantize(floats / NAMES[SOURCE], path, films, method, spared)
    return files_of(path)


def outputs(
    path: Path, runtime: str, spec: InputSpec, films: NDArray[np.uint8], names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """(N, H, W) uint8 → what a file gives, (N, …) of each name, film by film, by the box's own runtime module."""
    session = choice.get(runtime).load(path)
    answers = [session.infer({spec.name: inputs(film[np.newaxis])}) for film in films]
    return {name: np.concatenate([one[name] for one in answers]) for name in names}
