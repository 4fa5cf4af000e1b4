"""The ways to run a pack, a runtime and a precision each: which there are, and which of them goes first.

Pure functions of manifest, configuration and results, shared by the reader, `lantern doctor` and
`lantern pack measure`, so that all three say the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from firmware_app.packs.runtimes import choice
from firmware_app.packs.shelf import Pack

if TYPE_CHECKING:
    from firmware_app.core.settings import ReaderSection
    from firmware_app.packs.results import TrialResult

_PRECISIONS: Final = ("int8", "fp32", "fp16")
"""In the order in which they are started with before anything was measured: small first, then the original."""
ANY: Final = "any"
CLEARLY: Final = 0.8
"""Another way replaces the one in use only if its inference takes at most this share of the time."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a pack."""

    runtime: str
    precision: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


def possible(pack: Pack, settings: ReaderSection) -> list[Way]:
    """Every way for which the pack has files and no refusal, in the order in which an unmeasured box tries them.

    The wanted precision comes first, then the runtimes in their order (`[reader] runtimes`, else the default first).
    """
    runtimes = settings.runtimes or tuple(choice.installed())
    return [
        Way(runtime, precision)
        for wanted in (True, False)
        for runtime in runtimes
        for precision in _PRECISIONS
        if (settings.precision in (ANY, precision)) is wanted and _has(pack, runtime, precision)
    ]


def ranked(
    ways: Sequence[Way], results: Mapping[Way, TrialResult], settings: ReaderSection, in_use: Way | None = None
) -> list[Way]:
    """*ways* without those that were tried and are not right, the best first.

    The wanted precision first; then the runtimes that `[reader] runtimes` pins, in its order; then the one that the box
    keeps to (`Results.in_use`); then the fastest.  What was not measured keeps its place behind what was.
    """

    def merit(way: Way) -> tuple[bool, int, bool, float]:
        pinned = settings.runtimes.index(way.runtime) if settings.runtimes else 0
        return settings.precision not in (ANY, way.precision), pinned, way != in_use, _milliseconds(results.get(way))

    return sorted((way for way in ways if way not in results or results[way].right), key=merit)


def contender(order: Sequence[Way], results: Mapping[Way, TrialResult], settings: ReaderSection) -> Way | None:
    """Which of *order* is clearly faster than its first, by what was measured; None when that one may stay.

    Two measurements of the same way differ by a tenth from one afternoon to the next, so a small lead is none.
    """
    times = {way: _milliseconds(results.get(way)) for way in order}
    alike = [
        way
        for way in order[1:]
        if ranked([order[0], way], {}, settings, in_use=way)[0] == way  # what the settings want goes before any speed
    ]
    best = min(alike, key=lambda way: times[way], default=None)
    return best if best is not None and times[best] <= CLEARLY * times[order[0]] < math.inf else None


def is_free(settings: ReaderSection) -> bool:
    """Whether the box itself chooses among all ways, so that its choice is worth keeping."""
    return settings.precision == ANY and not settings.runtimes


def _milliseconds(result: TrialResult | None) -> float:
    return math.inf if result is None or result.milliseconds is None else result.milliseconds


def _has(pack: Pack, runtime: str, precision: str) -> bool:
    """Whether there is a file for it.  One of another runtime's does not stand in for one that the gates refused."""
    if not pack.has(runtime, precision):
        return False
    refused = {(one.runtime, one.precision) for one in pack.manifest.refused}
    return (runtime, precision) not in refused or pack.described(runtime, precision).runtime == runtime
