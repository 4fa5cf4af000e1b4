"""LiteRT (TensorFlow Lite) on the CPU: reads ``.tflite`` files; small, and well suited to ARM.

A quantized file takes and gives eight-bit integers with a scale and a zero point. They are converted here, so the rest
of the box only uses float32.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_app.core.errors import RuntimeUnavailable
from firmware_app.packs.errors import InferenceFailed
from firmware_app.packs.runtimes.interface import Probe, RuntimeConfig, Tensors, check_finite, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

key = "litert"
suffixes = (".tflite",)
distributions = ("ai-edge-litert", "tflite-runtime")
rank = 2
ERRORS = (RuntimeError, ValueError, TypeError, KeyError)


class Config(RuntimeConfig):
    """Settings of LiteRT."""


class LiteRtSession:
    """A model in LiteRT, run through its first signature."""

    def __init__(self, path: Path, config: Config) -> None:
        interpreter = _library()
        self._pack = path.parent.name
        if not path.is_file():
            raise InferenceFailed(pack=self._pack, runtime=key, detail=f"{path.name} is absent")
        try:
            self._interpreter = interpreter(str(path), num_threads=config.threads or os.cpu_count() or 1)
            self._interpreter.allocate_tensors()
            signature = next(iter(self._interpreter.get_signature_list()))
            self._run = self._interpreter.get_signature_runner(signature)
            self._inputs = self._run.get_input_details()
            self._outputs = self._run.get_output_details()
        except (*ERRORS, StopIteration) as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=first_line(error)) from error

    def infer(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """See :class:`firmware_app.packs.runtimes.interface.Session`."""
        try:
            given = {name: _quantize(value, self._inputs[name]) for name, value in inputs.items()}
            values = self._run(**given)
        except ERRORS as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=first_line(error)) from error
        outputs = {name: _dequantize(value, self._outputs[name]) for name, value in values.items()}
        return check_finite(outputs, self._pack, key)


def _quantize(value: NDArray[np.float32], tensor: Any) -> NDArray[Any]:
    """``value`` in the type that ``tensor`` wants; raises :class:`ValueError` for another shape (it would resize)."""
    import numpy as np

    if tuple(value.shape) != tuple(int(size) for size in tensor["shape"]):
        raise ValueError(f"the input is {value.shape}, the model takes {tuple(tensor['shape'])}")
    kind, (scale, zero) = tensor["dtype"], tensor["quantization"]
    if not np.issubdtype(kind, np.integer):
        return np.ascontiguousarray(value, dtype=kind)
    limits = np.iinfo(kind)
    rounded: NDArray[Any] = np.clip(np.rint(value / scale) + zero, limits.min, limits.max).astype(kind)
    return rounded


def _dequantize(value: NDArray[Any], tensor: Any) -> NDArray[np.float32]:
    import numpy as np

    scale, zero = tensor["quantization"]
    if np.issubdtype(value.dtype, np.integer):
        return ((value.astype(np.float32) - np.float32(zero)) * np.float32(scale)).astype(np.float32)
    return np.array(value, np.float32)


def _library() -> Any:
    """The class ``Interpreter``, from ai-edge-litert or from its predecessor tflite-runtime."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except (ImportError, OSError) as error:
        try:
            from tflite_runtime.interpreter import Interpreter
        except (ImportError, OSError):
            raise RuntimeUnavailable(runtime=key, detail=first_line(error)) from error
    return Interpreter


def probe() -> Probe:
    """Whether an interpreter imports."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        _library()
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)
    for package in distributions:
        try:
            return Probe(True, version(package), "CPU")
        except PackageNotFoundError:
            continue
    return Probe(True, None, "CPU")


def load(path: Path, config: Config | None = None) -> LiteRtSession:
    """Load a ``.tflite`` file; see :class:`firmware_app.packs.runtimes.interface.Runtime`."""
    return LiteRtSession(path, config or Config())
