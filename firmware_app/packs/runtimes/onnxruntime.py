"""ONNX Runtime on the CPU: the box's default. Reads ``.onnx``, float and quantized (QDQ)."""

from __future__ import annotations

import os
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

key = "onnxruntime"
suffixes = (".onnx",)
distributions = ("onnxruntime",)
PROVIDER = "CPUExecutionProvider"
SEVERITY_ERROR = 3
DEPTH = 64
PRODUCT = bytes.fromhex(
    "080812003a5c0a180a01610a0162120163220d4d61744d756c496e74656765721201675a130a0161120e0a0c080212080a0208010a0208405a13"
    "0a0162120e0a0c080312080a0208400a02081062130a0163120e0a0c080612080a0208010a02081042040a00100a"
)
"""An ONNX model of one MatMulInteger: a (1, DEPTH) uint8 by b (DEPTH, 16) int8 is c (1, 16) int32."""
_AS_REQUESTED = 1


class Config(RuntimeConfig):
    """Settings of ONNX Runtime."""

    spinning: bool = Field(
        True, title="Spinning", description="threads wait actively between operators: quicker, and busier"
    )


class OnnxSession:
    """A model in ONNX Runtime."""

    def __init__(self, path: Path, config: Config) -> None:
        ort = _library()
        options = exact_options()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if config.spinning else "0")
        # One arena for all sessions of the process, which infer one after the other; otherwise each session would keep
        # an arena of its own.  A memory pattern would be one more block per session, outside the arena.
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.enable_mem_pattern = False
        self._pack = path.parent.name
        self._errors = library_errors(ort)
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[PROVIDER])
        except self._errors as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=first_line(error)) from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def infer(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """See :class:`firmware_app.packs.runtimes.interface.Session`."""
        import numpy as np

        try:
            values = self._session.run(self._outputs, dict(inputs))
        except self._errors as error:
            raise InferenceFailed(pack=self._pack, runtime=key, detail=first_line(error)) from error
        outputs = {name: np.asarray(value, np.float32) for name, value in zip(self._outputs, values, strict=True)}
        return check_finite(outputs, self._pack, key)


def _library() -> Any:
    # The wheels contain a telemetry client, which writes an id into the temporary folder on import; this turns it off.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise RuntimeUnavailable(runtime=key, detail=first_line(error)) from error
    return onnxruntime


def exact_options() -> Any:
    """Options of a session whose products of 8 bits are right on this processor."""
    options = _library().SessionOptions()
    options.log_severity_level = SEVERITY_ERROR
    if _overflows():  # its own test for this is true on processors with VNNI too, and takes half of their speed
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


@cache
def _overflows() -> bool:
    """Whether the processor's kernels for unsigned by signed 8 bits add pairs of products in 16 bits, which overflows.

    So it is on x86 without VNNI.  The library can take the kernels for unsigned weights, which add in 32.  Asked of the
    kernels themselves, with the largest numbers there are: no list of processors is needed.
    """
    import numpy as np

    options = _library().SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = SEVERITY_ERROR
    session = _library().InferenceSession(PRODUCT, options, providers=[PROVIDER])
    rows, columns = np.full((1, DEPTH), 255, np.uint8), np.full((DEPTH, 16), 127, np.int8)
    (product,) = session.run(None, {"a": rows, "b": columns})
    return bool((product != 255 * 127 * DEPTH).any())


@cache
def _share_arena() -> None:
    """Register the arena that sessions with `use_env_allocators` share; once per process.

    It grows by what is asked for; by default it doubles, which holds 3 MB more for the shipped packs at equal speed.
    """
    ort = _library()
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg({"arena_extend_strategy": _AS_REQUESTED}))


def library_errors(ort: Any) -> tuple[type[Exception], ...]:
    """The library's exceptions.  They have no common base class, so they are collected from the binding."""
    binding = ort.capi.onnxruntime_pybind11_state
    own = [value for value in vars(binding).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*own, ValueError, RuntimeError)


def probe() -> Probe:
    """Whether ONNX Runtime imports and has its CPU provider."""
    try:
        ort = _library()
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)
    if PROVIDER not in ort.get_available_providers():
        return Probe(False, str(ort.__version__), f"it was built without {PROVIDER}")
    return Probe(True, str(ort.__version__), PROVIDER)


def load(path: Path, config: Config | None = None) -> OnnxSession:
    """Load an ``.onnx`` file; see :class:`firmware_app.packs.runtimes.interface.Runtime`."""
    return OnnxSession(path, config or Config())
