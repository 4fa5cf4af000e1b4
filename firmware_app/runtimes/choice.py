"""The runtimes that are installed, by the entry points of the group ``lantern.runtimes``, and which work on this box.

A runtime is a module (`runtimes.interface`), so any installed package can bring one.  Where two packages name the same
runtime, the module of this program is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any, Final, cast

from firmware_app.errors import RuntimeUnavailable
from firmware_app.runtimes.interface import Probe, Runtime, one_line

GROUP: Final = "lantern.runtimes"
DEFAULT: Final = "onnxruntime"
"""It comes with the box's own dependencies, so it is there wherever the box is."""
_LAST: Final = 1000
"""The rank of a runtime that names none."""
_OURS: Final = "firmware_app.runtimes."


@dataclass(frozen=True, slots=True)
class Settings:
    """How a box sets its runtimes: the threads of an inference (0: all cores), and each runtime's own section."""

    threads: int = 0
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, key: str) -> dict[str, Any]:
        """What the runtime's ``Config`` is made of, as JSON holds it."""
        return {"threads": self.threads, **self.sections.get(key, {})}


@cache
def installed() -> Mapping[str, EntryPoint]:
    """Key → its entry point: the default first, then the others of this program by rank, then those of other packages.

    Runtimes of one rank, and those of other packages, come by name: a stranger's module may kill whoever imports it.
    """

    def order(point: EntryPoint) -> tuple[bool, bool, int, str]:
        ours = point.value.startswith(_OURS)
        return not ours, point.name != DEFAULT, _rank(point) if ours else _LAST, point.name

    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=order):
        found.setdefault(point.name, point)
    return found


def _rank(point: EntryPoint) -> int:
    try:
        return int(getattr(point.load(), "rank", _LAST))
    except (ImportError, OSError):
        return _LAST


def get(key: str) -> Runtime:
    """The runtime module called ``key``; its library is not imported yet.

    Raises :class:`~firmware_app.errors.RuntimeUnavailable` for a name that no entry point has, or a module that
    cannot be imported.
    """
    known = installed()
    if key not in known:
        raise RuntimeUnavailable(runtime=key, detail=f"the runtimes known here are {', '.join(known)}")
    try:
        return cast(Runtime, known[key].load())
    except (ImportError, OSError) as error:
        raise RuntimeUnavailable(runtime=key, detail=one_line(error)) from error


def suffixes(key: str) -> tuple[str, ...]:
    """How the files end that the runtime reads; none where it is not installed or cannot be imported."""
    try:
        return get(key).suffixes
    except RuntimeUnavailable:
        return ()


def installed_version(key: str) -> str | None:
    """The version of the runtime's library, or of the package that brings the runtime; ``None`` without either.

    A library that is there may still fail to import: only `probe()` tells, in a process that may die of it.
    """
    point = installed().get(key)
    if point is None:
        return None
    try:
        libraries = getattr(get(key), "distributions", None)
    except RuntimeUnavailable:
        libraries = None
    if libraries is None:
        return point.dist.version if point.dist else None
    for distribution in libraries:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def probe(key: str) -> Probe:
    """What the runtime says of itself on this box.  Imports its library: seconds, and memory that stays."""
    try:
        return get(key).probe()
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)


def available() -> tuple[str, ...]:
    """The runtimes that work on this box, the default first."""
    return tuple(key for key in installed() if probe(key).available)
