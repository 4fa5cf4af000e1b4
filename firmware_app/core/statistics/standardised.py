"""The operating point on a new machine, from the scores of unlabelled films alone.

A machine's pictures move a network's log odds and stretch them, for films with and without the finding alike.  A limit
at home lies so many spreads from the mean of the scores there; on the machine it is put as many spreads from the mean
of its own.  The scores at home are mixed at the prevalence that the pack assumes at a clinic, so that films of a home
where the finding is common do not pass for a shift.  How far a limit may move is bounded, since few films, and a
prevalence other than the assumed one, move the mean too (docs/decisions/local-calibration.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FILMS: Final = (50, 100, 200)
"""After so many films of a machine its limits are set; after the last of them they stay."""
MOST_MOVED: Final = 1.0
"""How far a limit may move, in log odds."""
MOST_STRETCHED: Final = 2.0
"""The largest ratio of the two spreads that counts; the smallest is its inverse."""
_NEAREST_TO_CERTAIN: Final = 1e-12


@dataclass(frozen=True, slots=True)
class LogOdds:
    """The mean and the standard deviation of the log odds of films."""

    mean: float
    spread: float

    @classmethod
    def of(cls, probabilities: Sequence[float]) -> LogOdds:
        """Those of films with these *probabilities*, at least one."""
        values = [log_odds(one) for one in probabilities]
        mean = math.fsum(values) / len(values)
        return cls(mean, math.sqrt(math.fsum((one - mean) ** 2 for one in values) / len(values)))


def standardised(limit: float, home: LogOdds, here: LogOdds) -> float:
    """*limit*, in log odds, as far from the mean *here*, in spreads, as from that at *home*; within the bounds.

    Limits keep their order.
    """
    stretched = min(max(here.spread / home.spread, 1.0 / MOST_STRETCHED), MOST_STRETCHED)
    moved = here.mean + (limit - home.mean) * stretched
    return min(max(moved, limit - MOST_MOVED), limit + MOST_MOVED)


def standardised_probability(limit: float, home: LogOdds, here: LogOdds) -> float:
    """`standardised` of a limit that is a probability; 0 and 1 stay."""
    if not 0.0 < limit < 1.0:
        return limit
    return 1.0 / (1.0 + math.exp(-standardised(log_odds(limit), home, here)))


def counted(films: int) -> int:
    """How many of the first *films* of a machine its limits rest on: one of `FILMS`, or 0."""
    return max((one for one in FILMS if one <= films), default=0)


def log_odds(probability: float) -> float:
    """ln(p / (1 - p)), kept away from certainty."""
    kept = min(max(probability, _NEAREST_TO_CERTAIN), 1.0 - _NEAREST_TO_CERTAIN)
    return math.log(kept / (1.0 - kept))
