"""Has something changed?  A clinic's newest films against its own first ones, without any truth.

Shares are compared by a two-proportion test, distances by the two-sample test of Kolmogorov and Smirnov with its
asymptotic distribution.  Each is asked at `ALARM`: that is its rate of false alarms for one look at independent films.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FIRST: Final = 200
"""Films of a machine that are its first ones, and as many the newest that are compared with them."""
ALARM: Final = 0.001


@dataclass(frozen=True, slots=True)
class Shift:
    """One measure: what it was in the first films and is now (shares; of distances the medians), and its p value."""

    measure: str
    first: float
    now: float
    p: float

    @property
    def alarms(self) -> bool:
        return self.p < ALARM


def of_shares(measure: str, first: Sequence[bool], now: Sequence[bool]) -> Shift:
    """A share; both samples hold films."""
    before, after = sum(first) / len(first), sum(now) / len(now)
    pooled = (sum(first) + sum(now)) / (len(first) + len(now))
    spread = math.sqrt(pooled * (1.0 - pooled) * (1.0 / len(first) + 1.0 / len(now)))
    p = 1.0 if spread == 0.0 else math.erfc(abs(after - before) / spread / math.sqrt(2.0))
    return Shift(measure, before, after, p)


def of_values(measure: str, first: Sequence[float], now: Sequence[float]) -> Shift:
    """A number of each film; both samples hold films."""
    one, other = sorted(first), sorted(now)
    i = j = 0
    apart = 0.0
    while i < len(one) and j < len(other):
        value = min(one[i], other[j])
        while i < len(one) and one[i] <= value:
            i += 1
        while j < len(other) and other[j] <= value:
            j += 1
        apart = max(apart, abs(i / len(one) - j / len(other)))
    scaled = apart * math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    terms = (2.0 * (-1.0) ** (k - 1) * math.exp(-2.0 * (k * scaled) ** 2) for k in range(1, 101))
    p = min(1.0, max(0.0, sum(terms))) if scaled > 0.2 else 1.0  # the series does not converge near 0, where p is 1
    return Shift(measure, one[len(one) // 2], other[len(other) // 2], p)
