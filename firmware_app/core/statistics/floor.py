"""When a model does too badly at a clinic to go on giving numbers there: two rules, asked after each confirmation.

- **Early**: a sequential test of "the AUC is `FIT` or more".  At each of the numbers of confirmed films in `LOOKS`, and
  every `LATER` after that, the model is unfit if the upper bound of its AUC, `EARLY_Z` standard errors up, is below.
- **Floor**: with `FLOOR_POSITIVES` effective confirmed positives, a lower 95 % bound of the AUC below `FLOOR`.

Both take the AUC from `core.statistics.slope` and allow for a share of wrong readings among those by a doctor's eye.
`bench/calibration.py` chose the numbers, and docs/decisions/local-calibration.md says what they cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.core.statistics.confirmed import FilmRead, auc_of
from firmware_app.core.statistics.rates import Z95
from firmware_app.core.statistics.slope import Bounds, bounds

FIT: Final = 0.75
LOOKS: Final = (60, 80, 100)
LATER: Final = 100
EARLY_Z: Final = 1.0
LATE_Z: Final = 2.5
"""The same for the looks after those: there is no end of them, so each may only rarely be wrong."""
FLOOR: Final = 0.65
FLOOR_POSITIVES: Final = 50.0
WRONG: Final = 0.06
"""The share of wrong readings that the early rule allows for.  More would let an unfit model go on, less would suspend
fit ones where the finding is rare."""
FLOOR_WRONG: Final = 0.08
"""The same for the floor, where more films are known and there is less hurry."""


class Rule(StrEnum):
    """The rule by which a model is unfit."""

    EARLY = "early"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a model is unfit: the rule, and the AUC with the bounds that the rule has looked at."""

    rule: Rule
    auc: Bounds


def looks(confirmed: int) -> int:
    """How often the early rule has looked by this number of confirmed films."""
    return sum(look <= confirmed for look in LOOKS) + max(0, confirmed - LOOKS[-1]) // LATER


def unfit(films: Sequence[FilmRead], before: int) -> Unfit | None:
    """Why the model is unfit after the confirmed of *films*; ``None`` while it may go on.

    *before*: how many were confirmed when this was asked last.  The early rule looks at certain numbers of confirmed
    films only, each once; where several were passed together it looks once.
    """
    confirmed = sum(film.truth is not None for film in films)
    if looks(confirmed) > looks(before):
        found = bounds(films, EARLY_Z if before < LOOKS[-1] else LATE_Z, WRONG)
        if found is not None and found.high < FIT:
            return Unfit(Rule.EARLY, found)
    area = auc_of(films)
    if area is not None and area.positives >= FLOOR_POSITIVES:
        found = bounds(films, Z95, FLOOR_WRONG)
        if found is not None and found.low < FLOOR:
            return Unfit(Rule.FLOOR, found)
    return None
