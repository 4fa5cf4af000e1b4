"""OpenVINO on the CPU: reads ``.xml`` files (their ``.bin`` stands beside) and ``.onnx``; usually quickest on Intel.

OpenVINO runs even a float model in bfloat16 on CPUs that have it; ``INFERENCE_PRECISION_HINT=f32`` keeps parity with
the other runtimes and is the default here.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from firmware_app.errors import InferenceFailed, RuntimeUnavailable
from firmware_app.runtimes.interface import Probe, RuntimeConfig, Tensors, finite, one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

key = "openvino"
suffixes = (".xml", ".onnx")
distributions = ("openvino",)
rank = 1
DEVICE = "CPU"


class Config(RuntimeConfig):
    """Settings of OpenVINO."""

    cache_dir: Path | None = Field(
        None,
        title="Cache folder",
        description="where compiled models are kept, for a quicker start; empty: nowhere",
    )
    exact: bool = Field(
        True, title="Exact", description="compute float models in 32 bits even where the CPU prefers bfloat16"
    )


class OpenVinoSession:
    """A model in OpenVINO."""

    def __init__(self, path: Path, config: Config) -> None:
        settings: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        if config.exact:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        if config.threads:
            settings["INFERENCE_NUM_THREADS"] = config.threads
        if config.cache_dir is not None:
            settings["CACHE_DIR"] = str(config.cache_dir)
        self._pack = path.parent.name
        try:
            self._model = core().compile_model(str(path), DEVICE, settings)
            self._request = self._model.create_infer_request()
        except RuntimeError as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=one_line(error)) from error

    def infer(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """See :class:`firmware_app.runtimes.interface.Session`."""
        import numpy as np

        try:
            values = self._request.infer(dict(inputs))
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=one_line(error)) from error
        outputs = {port.get_any_name(): np.array(values[port], np.float32) for port in self._model.outputs}
        return finite(outputs, self._pack, key)


def _library() -> Any:
    # Its wheels bring a package that writes an id into the home folder and reports each import to its maker: nothing
    # leaves a box.  A package that is barred so (importlib's own way) counts as absent, and OpenVINO goes without.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise RuntimeUnavailable(runtime=key, detail=one_line(error)) from error
    return openvino


@cache
def core() -> Any:
    """The one `openvino.Core` of this process, which stays.

    The CPU plug-in of each core gives its thread a signal stack large enough for AMX and unmaps it when the core goes.
    Of two cores that do not go in reverse order the later one puts back the earlier one's stack, which is gone by then:
    the next signal that the process handles ends it, without a word (`SigAltStackSetup` in OpenVINO's intel_cpu).
    """
    return _library().Core()


def probe() -> Probe:
    """Whether OpenVINO imports and finds its CPU plug-in."""
    try:
        openvino = _library()
        devices = core().available_devices
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)
    except RuntimeError as error:
        return Probe(False, None, one_line(error))
    version = str(openvino.__version__).split("-")[0]
    if DEVICE not in devices:
        return Probe(False, version, f"it finds no {DEVICE} device")
    return Probe(True, version, DEVICE)


def load(path: Path, config: Config | None = None) -> OpenVinoSession:
    """Load an ``.xml`` or ``.onnx`` file; see :class:`firmware_app.runtimes.interface.Runtime`."""
    return OpenVinoSession(path, config or Config())
