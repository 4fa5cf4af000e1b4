"""Has something changed?  A clinic's newest films against its own first ones, without any truth.

Shares are compared by a two-proportion test, numbers by the two-sample test of Kolmogorov and Smirnov with its
asymptotic distribution.  Each is asked at `ALARM`, for one look at independent films; how often a watched stream raises
a false alarm with all measures and many looks, and how soon a change is found, ``python -m bench.drift`` measures
(docs/drift.md).  The population stability index says how far, not whether: it has no error rate of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FIRST: Final = 200
"""Films of a machine that are its first ones at least, and as many the newest that are compared with them."""
MOST_FIRST: Final = 500
"""So many are its first ones when it has made enough: a longer memory raises fewer false alarms."""
ALARM: Final = 0.0002
_BINS: Final = 10
_HALF: Final = 0.5  # of a film in each bin, so that an empty one has a logarithm


@dataclass(frozen=True, slots=True)
class Shift:
    """One measure: what it was in the first films and is now (shares; of numbers the medians), its p value and PSI."""

    measure: str
    first: float
    now: float
    p: float
    psi: float = 0.0

    @property
    def alarms(self) -> bool:
        return self.p < ALARM


@dataclass(frozen=True, slots=True)
class Watched:
    """One image as the watch knows it; ``None`` where a number was not taken.

    `numbers` are `score` (the strongest finding's), `distance` (from the training images), and the quality measures
    `blur`, `noise` and `pale` (`imaging.quality.measures`).
    """

    refused: bool
    called: bool
    numbers: dict[str, float | None]


NUMBERS: Final = ("score", "distance", "blur", "noise", "pale")


def compared(
    first: Sequence[Watched], now: Sequence[Watched], home: tuple[int, int] | None = None
) -> tuple[Shift, ...]:
    """Every measure that both samples have enough films for; both hold films.

    *home*: (refused, of so many) of the pack's own test films, its reference; where it is given, the share refused now
    is held against it too.
    """
    called = [[one.called for one in some if not one.refused] for some in (first, now)]
    refused = [[one.refused for one in some] for some in (first, now)]
    found = [of_shares("refused", *refused)]
    if all(called):
        found.insert(0, of_shares("called", *called))
    if home is not None:
        found.append(of_shares("refused_at_home", [number < home[0] for number in range(home[1])], refused[1]))
    for measure in NUMBERS:
        samples = [[n for one in some if (n := one.numbers.get(measure)) is not None] for some in (first, now)]
        if all(len(one) >= FIRST // 2 for one in samples):
            found.append(of_values(measure, *samples))
    return tuple(found)


def of_shares(measure: str, first: Sequence[bool], now: Sequence[bool]) -> Shift:
    """A share; both samples hold films."""
    before, after = sum(first) / len(first), sum(now) / len(now)
    pooled = (sum(first) + sum(now)) / (len(first) + len(now))
    spread = math.sqrt(pooled * (1.0 - pooled) * (1.0 / len(first) + 1.0 / len(now)))
    p = 1.0 if spread == 0.0 else math.erfc(abs(after - before) / spread / math.sqrt(2.0))
    psi = _psi([len(first) - sum(first), sum(first)], [len(now) - sum(now), sum(now)])
    return Shift(measure, before, after, p, psi)


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
    cuts = [one[len(one) * tenth // _BINS] for tenth in range(1, _BINS)]
    psi = _psi(_counts(one, cuts), _counts(other, cuts))
    return Shift(measure, one[len(one) // 2], other[len(other) // 2], p, psi)


def _counts(ordered: Sequence[float], cuts: Sequence[float]) -> list[int]:
    """How many of *ordered* lie between each two of *cuts*, ends included."""
    below = [bisect_right(ordered, cut) for cut in cuts]
    return [end - start for start, end in zip([0, *below], [*below, len(ordered)], strict=True)]


def _psi(first: Sequence[int], now: Sequence[int]) -> float:
    """Population stability index of two histograms over the same bins: the sum of (q - p) ln(q / p)."""
    shares = [[(count + _HALF) / (sum(some) + _HALF * len(some)) for count in some] for some in (first, now)]
    return math.fsum((q - p) * math.log(q / p) for p, q in zip(*shares, strict=True))
