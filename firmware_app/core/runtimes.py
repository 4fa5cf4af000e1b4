"""The runtimes that are installed (entry points of the group ``lantern.runtimes``), and a box's settings of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from firmware_app.core.errors import RuntimeUnavailable

GROUP: Final = "lantern.runtimes"
DEFAULT: Final = "onnxruntime"
"""A dependency of the box, so it is always installed."""
_LAST: Final = 1000
"""The rank of a runtime that has none."""
_OURS: Final = "firmware_app.packs.runtimes."


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """A box's settings of its runtimes: the threads of an inference (0: all cores), and each runtime's own section."""

    threads: int = 0
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def select(self, key: str) -> dict[str, Any]:
        """The values for the runtime's ``Config``, as JSON holds them."""
        return {"threads": self.threads, **self.sections.get(key, {})}


@cache
def list_runtimes() -> Mapping[str, EntryPoint]:
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


def import_runtime(key: str) -> Any:
    """The runtime module called ``key``; this does not import its library.

    Raises :class:`~firmware_app.core.errors.RuntimeUnavailable` for a name that no entry point has, or a module that
    cannot be imported.
    """
    known = list_runtimes()
    if key not in known:
        raise RuntimeUnavailable(runtime=key, detail=f"the runtimes known here are {', '.join(known)}")
    try:
        return known[key].load()
    except (ImportError, OSError) as error:
        raise RuntimeUnavailable(runtime=key, detail=first_line(error)) from error


def first_line(error: Exception) -> str:
    """The first line of an exception's text, to be quoted in a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _rank(point: EntryPoint) -> int:
    try:
        return int(getattr(point.load(), "rank", _LAST))
    except (ImportError, OSError):
        return _LAST
