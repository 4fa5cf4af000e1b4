"""OpenVINO on the CPU: reads ``.xml`` files (with the ``.bin`` beside) and ``.onnx``; usually fastest on Intel CPUs.

OpenVINO runs even a float model in bfloat16 on CPUs that have it; ``INFERENCE_PRECISION_HINT=f32`` keeps parity with
the other runtimes and is the default here.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from firmware_app.core.errors import RuntimeUnavailable
from firmware_app.packs.errors import InferenceFailed
from firmware_app.packs.runtimes.interface import Probe, RuntimeConfig, Tensors, check_finite, first_line

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
        None, title="Cache folder", description="where compiled models are kept, for a quicker start; empty: nowhere"
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
            self._model = shared_core().compile_model(str(path), DEVICE, settings)
            self._request = self._model.create_infer_request()
        except RuntimeError as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=first_line(error)) from error

    def infer(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """See :class:`firmware_app.packs.runtimes.interface.Session`."""
        import numpy as np

        try:
            values = self._request.infer(dict(inputs))
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=first_line(error)) from error
        outputs = {port.get_any_name(): np.array(values[port], np.float32) for port in self._model.outputs}
        return check_finite(outputs, self._pack, key)


def _library() -> Any:
    # The wheels come with a package that writes an id into the home folder and reports each import to its maker, which
    # no box may do.  None in sys.modules makes importing it fail, and OpenVINO works without it.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise RuntimeUnavailable(runtime=key, detail=first_line(error)) from error
    return openvino


@cache
def shared_core() -> Any:
    """The only `openvino.Core` of this process, never destroyed.

    The CPU plug-in of a core installs a signal stack large enough for AMX, and when the core is destroyed it unmaps
    that stack and restores the previous one.  With two cores that are not destroyed in reverse order, the restored
    stack is already unmapped, and the next signal kills the process silently (`SigAltStackSetup` in intel_cpu).
    """
    return _library().Core()


def probe() -> Probe:
    """Whether OpenVINO imports and finds its CPU plug-in."""
    try:
        openvino = _library()
        devices = shared_core().available_devices
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)
    except RuntimeError as error:
        return Probe(False, None, first_line(error))
    version = str(openvino.__version__).split("-")[0]
    if DEVICE not in devices:
        return Probe(False, version, f"it finds no {DEVICE} device")
    return Probe(True, version, DEVICE)


def load(path: Path, config: Config | None = None) -> OpenVinoSession:
    """Load an ``.xml`` or ``.onnx`` file; see :class:`firmware_app.packs.runtimes.interface.Runtime`."""
    return OpenVinoSession(path, config or Config())
