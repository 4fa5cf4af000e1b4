"""When a model does too badly at a clinic to go on giving numbers there: two rules, looked at film by film.

- **Early**: a sequential test of "the AUC is `FIT` or more".  At each of the numbers of confirmed films in `LOOKS`, and
  every `LATER` after that, the model is unfit if the upper bound of its AUC, `EARLY_Z` standard errors up, is below.
- **Floor**: with `FLOOR_POSITIVES` effective confirmed positives, a lower 95 % bound of the AUC below `FLOOR`.

Both allow for a share of wrong readings among those by a doctor's eye.  `bench/calibration.py` chose the numbers, and
docs/decisions/local-calibration.md says what they cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from firmware_app.statistics.confirmed import FilmRead, auc_of, blurred, cautious_auc
from firmware_app.statistics.slope import greatest_auc

FIT: Final = 0.75
LOOKS: Final = (40, 60, 80, 100)
LATER: Final = 100
EARLY_Z: Final = 1.2
FLOOR: Final = 0.65
FLOOR_POSITIVES: Final = 50.0
WRONG: Final = 0.04
"""The share of wrong readings that the early rule allows for.  More would let an unfit model go on, less would suspend
fit ones where the finding is rare."""
FLOOR_WRONG: Final = 0.15
"""The same for the floor, where more films are known and there is no hurry."""


class Unfit(StrEnum):
    """The rule by which a model is unfit."""

    EARLY = "early"
    FLOOR = "floor"


def looks(confirmed: int) -> int:
    """How often the early rule has looked by this number of confirmed films."""
    return sum(look <= confirmed for look in LOOKS) + max(0, confirmed - LOOKS[-1]) // LATER


def unfit(films: Sequence[FilmRead], before: int) -> Unfit | None:
    """The rule by which the model is unfit after the confirmed of *films*; ``None`` while it may go on.

    *before*: how many were confirmed when this was asked last.  The early rule looks at certain numbers of confirmed
    films only, each once; where several were passed together it looks once.
    """
    confirmed = sum(film.truth is not None for film in films)
    if looks(confirmed) > looks(before):
        most = greatest_auc(films, EARLY_Z, WRONG)
        if most is not None and most < FIT:
            return Unfit.EARLY
    found, cautious = auc_of(films), cautious_auc(films)
    if found is None or cautious is None:
        return None
    low, factor = min(found.interval[0], cautious.interval[0]), blurred(films, FLOOR_WRONG)
    if found.positives >= FLOOR_POSITIVES and 0.5 + (low - 0.5) / factor < FLOOR:
        return Unfit.FLOOR
    return None
