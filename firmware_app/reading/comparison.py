"""Compares two ways to run a pack in alternating measurements, so that a temporary slowdown affects both.

Each turn is a trial of its own, in a process of its own, so that the two never share threads or caches.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import Final

from firmware_app.packs.results import TrialResult
from firmware_app.packs.ways import Way

TURNS: Final = 5
"""Of each; the median of them counts."""


@dataclass(slots=True)
class Comparison:
    """Between the way *in_use* and a *contender*."""

    pack: str
    in_use: Way
    contender: Way
    _taken: list[TrialResult] = field(default_factory=list)

    def next(self) -> Way:
        """Whose turn it is."""
        return self.contender if len(self._taken) % 2 else self.in_use

    def add(self, result: TrialResult) -> None:
        """What the turn of `next` has shown; a turn that was cut off is taken again."""
        self._taken.append(result)

    @property
    def is_over(self) -> bool:
        return len(self._taken) == 2 * TURNS

    @property
    def results(self) -> tuple[TrialResult, TrialResult]:
        """One for each, with the median of its turns."""
        return self._of(self.in_use), self._of(self.contender)

    def _of(self, way: Way) -> TrialResult:
        own = [one for one in self._taken if Way(one.runtime, one.precision) == way]
        return replace(own[-1], milliseconds=statistics.median(one.milliseconds or 0.0 for one in own))
