"""The interface of a file format: the names of its files, how they are made, and what can be read from one.

A format is one module with the members of :class:`Format`; :mod:`converters.formats.register` names ours, and an
installed package can bring another (group ``lantern.formats``).  Float files are made from a network; an INT8 file is
made from one of the float files and from calibration films, in one of several ways, each of them a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Films = NDArray[np.float32]
"""(N, 1, H, W), or volumes, in [0, 1]."""

Answers = Callable[[Mapping[str, NDArray[np.float32]]], NDArray[Any]]
"""A model file's outputs by name → what is compared of them (:meth:`converters.tasks.interface.Task.answers`)."""

CONTROLS: Mapping[str, float] = {"accuracy control": 0.75, "strict accuracy control": 0.4}
"""The methods of :attr:`Format.controlled`: to what share of the largest change that is accepted they come down."""


@dataclass(frozen=True, slots=True)
class FloatNetwork:
    """What float files are made of.

    ``net`` gives its outputs in the order of their ``names``; it is ``None`` where the user brought an ONNX file, which
    then stands as ``source`` already.  ``example`` is an input, ``films`` its name.
    """

    net: nn.Module | None
    example: Tensor
    films: str
    names: Sequence[str]
    source: Path


class Format(Protocol):
    """A file format."""

    @property
    def runtime(self) -> str:
        """The runtime that reads it, as manifests and recipes say it."""
        ...

    @property
    def asked_in(self) -> str:
        """The runtime that runs its files here; a substitute where their own hardware is absent."""
        ...

    @property
    def static(self) -> bool:
        """Whether it is made only on ``[export] static``, and neither timed nor measured here."""
        ...

    @property
    def files(self) -> Mapping[str, str]:
        """Precision → file name, in the order in which packs list them."""
        ...

    @property
    def int8_from(self) -> str:
        """The name of the float file from which its INT8 file is made."""
        ...

    @property
    def methods(self) -> Sequence[str]:
        """The ways in which its INT8 file can be made; each is tried."""
        ...

    @property
    def controlled(self) -> bool:
        """Whether :meth:`quantize` also knows the methods :data:`CONTROLS`, the last resort.

        They return operators to float until the answers are near enough.
        """
        ...

    def write(self, network: FloatNetwork, folder: Path, precisions: Sequence[str]) -> list[Path]:
        """Write the float files of these precisions, and those that others are made from; returns all paths."""
        ...

    def quantize(self, source: Path, path: Path, films: Films, method: str, answers: Answers) -> Path:
        """Write the INT8 file ``path`` from the float file ``source``.

        Raises :class:`~converters.failures.ToolFailed`.
        """
        ...

    def int8_layers(self, path: Path) -> tuple[int, int]:
        """How many convolutions and matrix products of a file the runtime computes in INT8 here, and of how many."""
        ...
