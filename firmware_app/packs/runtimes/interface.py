"""The interface of a runtime: tensors in, tensors out, and a probe whether it works on this box.

A runtime is one module with ``key``, ``suffixes``, ``Config``, ``probe()`` and ``load()``. It imports its library (and
numpy) inside functions, never at the top of the module: processes that run no model import the module to check the
settings, and so do machines without the library. Two more names are optional:

- ``distributions``: the packages that contain the library, the newest first. The version of the first that is installed
  counts as the runtime's; without this name it is the version of the package that contains the module.
- ``rank``, an integer, in Lantern's own modules: a box without measurements tries the lowest rank first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from firmware_app.core.runtimes import first_line as first_line
from firmware_app.packs.errors import InferenceFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Tensors: TypeAlias = "Mapping[str, NDArray[np.float32]]"


class RuntimeConfig(BaseModel):
    """The settings that every runtime has: its own section ``[runtimes.<key>]`` of lantern.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    threads: int = Field(
        0, ge=0, le=256, title="Threads", description="of one inference, 0: all cores; unset: as in [reader]"
    )


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a runtime works here. ``detail`` is a short reason when it does not, or what it runs on when it does."""

    available: bool
    version: str | None
    detail: str


class Session(Protocol):
    """A loaded model. Not safe for use by several threads at once."""

    def infer(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run the model: name → tensor, all float32. Raises :class:`~firmware_app.core.errors.InferenceFailed`."""
        ...


class Runtime(Protocol):
    """A runtime module."""

    @property
    def key(self) -> str:
        """Its name in configuration, in readings and on cards."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of the files that it reads, for example ``.onnx``."""
        ...

    @property
    def Config(self) -> type[RuntimeConfig]:  # noqa: N802 - a class, held by a module
        """Its settings."""
        ...

    def probe(self) -> Probe:
        """Import the library and say whether it works; never raises for a library that is absent or broken."""
        ...

    def load(self, path: Path, config: Any = None) -> Session:
        """Make a session of a model file.

        Raises :class:`~firmware_app.core.errors.RuntimeUnavailable` without the library, and
        :class:`~firmware_app.core.errors.InferenceFailed` for a file that it cannot run.
        """
        ...


def check_finite(outputs: dict[str, NDArray[np.float32]], pack: str, runtime: str) -> dict[str, NDArray[np.float32]]:
    """``outputs`` themselves; raises :class:`~firmware_app.core.errors.InferenceFailed` when one holds NaN or
    infinity."""
    import numpy as np

    for name, value in outputs.items():
        if not bool(np.isfinite(value).all()):
            raise InferenceFailed(pack=pack, runtime=runtime, detail=f"the output {name} is not finite")
    return outputs
