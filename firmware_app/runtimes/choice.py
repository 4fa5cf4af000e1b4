"""The runtimes that are installed, by the entry points of the group ``lantern.runtimes``, and which work on this box.

A runtime is a module (`runtimes.interface`), so any installed package can add one.  Where two packages name the same
runtime, Lantern's own module is used.
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
"""A dependency of the box, so it is always installed."""
_LAST: Final = 1000
"""The rank of a runtime that has none."""
_OURS: Final = "firmware_app.runtimes."


@dataclass(frozen=True, slots=True)
class Settings:
    """A box's settings of its runtimes: the threads of an inference (0: all cores), and each runtime's own section."""

    threads: int = 0
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, key: str) -> dict[str, Any]:
        """The values for the runtime's ``Config``, as JSON holds them."""
        return {"threads": self.threads, **self.sections.get(key, {})}


@cache
def installed() -> Mapping[str, EntryPoint]:
    """Key → entry point: the default first, then Lantern's others by rank, then those of other packages.

    Equal ranks, and all runtimes of other packages, are ordered by name: asking another package's module for a rank
    means importing it, which may crash this process.
    """

    def order(point: EntryPoint) -> tuple[bool, bool, int, str]:
        ours = point.value.startswith(_OURS)
        return not ours, point.name != DEFAULT, _rank(point) if ours else _LAST, point.name

    points: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=order):
        points.setdefault(point.name, point)
    return points


def _rank(point: EntryPoint) -> int:
    try:
        return int(getattr(point.load(), "rank", _LAST))
    except (ImportError, OSError):
        return _LAST


def get(key: str) -> Runtime:
    """The runtime module called ``key``; this does not import its library.

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
    """The suffixes of the files that the runtime reads; none where it is not installed or cannot be imported."""
    try:
        return get(key).suffixes
    except RuntimeUnavailable:
        return ()


def installed_version(key: str) -> str | None:
    """The version of the runtime's library, or of the package that contains the runtime; ``None`` without either.

    An installed library may still fail to import, or crash: `probe()` in a child process tells.
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
    """Whether the runtime works on this box.  Imports its library, which takes seconds and memory that stays in use."""
    try:
        return get(key).probe()
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)


def available() -> tuple[str, ...]:
    """The runtimes that work on this box, the default first."""
    return tuple(key for key in installed() if probe(key).available)
