"""Two tests of drift: has a model become worse than its card says, and have a clinic's images changed?

**Fall** is a sequential test that may be looked at after every confirmed image.  Two e-processes, one over the images
that people say show the finding and one over the others, each multiply a wealth of 1 by the likelihood ratio of
"sensitivity (specificity) is `MARGIN` below the card's" against "it is the card's".  As long as the model is as good as
its card, the expected wealth never grows, so by Ville's inequality the probability that it *ever* reaches 2 / `ALPHA`
is at most `ALPHA` / 2 in each, and at most `ALPHA` in both together, whenever and however often one looks.  So that a
fall after a long good time is found too, the wealth is a mixture of bets that begin anew every `BLOCK` images, the j-th
with the share 1 / (j (j + 1)): a mixture of such processes is one (Shin, Ramdas & Rinaldo 2022, "E-detectors", have the
idea).  Two things move what is seen, and the ratio allows for both.  Images below the threshold are asked for with a
smaller probability: called images are over-represented among those confirmed, by a known
factor.  And a doctor's own reading is wrong at times: on a share `WRONG` of images at most, which makes a good model
look worse, the more so the rarer the finding is, so it is measured against that.  docs/drift.md says how
often it alarms wrongly and how soon rightly.

**Shift** compares a clinic's newest images with its own first ones, without any truth.  Shares are compared by a
two-proportion test, numbers by the two-sample test of Kolmogorov and Smirnov with its asymptotic distribution.  Each is
asked at `ALARM`, for one look at independent images; how often a watched stream raises a false alarm with all measures
and many looks, and how soon a change is found, stands in docs/drift.md.  The population
stability index says how far, not whether: it has no error rate of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from firmware_app.core.clinic_accuracy import correct_share

ALPHA: Final = 0.01
"""The probability of a false alarm in all the time that a version serves, however long."""
MARGIN: Final = 0.2
BLOCK: Final = 25
WRONG: Final = 0.06
"""As in `core.fitness`: the share of films on which a doctor's own reading is wrong, at most."""
SURE: Final = 1.5
_LEAST: Final = 0.01

Measure = Literal["sensitivity", "specificity"]


@dataclass(frozen=True, slots=True)
class ConfirmedCall:
    """One confirmed film, in the order in which its truth became known.

    `below`: the probability with which a film of its kind is asked for that the model does not call (called ones always
    are); `by_eye`: the truth is a doctor's reading of the film.
    """

    called: bool
    positive: bool
    below: float
    by_eye: bool


@dataclass(frozen=True, slots=True)
class CardAccuracy:
    """What the card says at the least: the lower 95 % bounds."""

    sensitivity: float
    specificity: float


@dataclass(slots=True)
class BettingWealth:
    """The mixture of the bets of one measure."""

    images: int = 0
    _bets: float = 0.0

    def update(self, ratio: float) -> None:
        if self.images % BLOCK == 0:
            j = self.images // BLOCK + 1
            self._bets += 1.0 / (j * (j + 1))
        self._bets *= ratio
        self.images += 1

    @property
    def value(self) -> float:
        """The bets that have begun, and the money of those that have not."""
        begun = (self.images - 1) // BLOCK + 1 if self.images else 0
        return self._bets + 1.0 / (begun + 1)


@dataclass(slots=True)
class FallTest:
    """The test for one finding of one version of a model."""

    promise: CardAccuracy
    sensitivity: BettingWealth = field(default_factory=BettingWealth)
    specificity: BettingWealth = field(default_factory=BettingWealth)
    _positives: float = 1.0
    _weights: float = 4.0
    _squares: float = 4.0

    def update(self, film: ConfirmedCall) -> None:
        """Go on by one film."""
        wrong = WRONG if film.by_eye else 0.0
        share = self._share(film.positive, wrong)
        wealth = self.sensitivity if film.positive else self.specificity
        as_promised, fallen = (
            _call_probability(film.positive, hypothesis, share, wrong, film.below)
            for hypothesis in self._hypotheses(film.positive)
        )
        wealth.update(fallen / as_promised if film.called else (1.0 - fallen) / (1.0 - as_promised))
        weight = 1.0 if film.called else 1.0 / film.below
        self._weights += weight
        self._positives += weight * film.positive
        self._squares += weight * weight

    @property
    def alarm(self) -> Measure | None:
        """The measure that has fallen; it stays fallen only as long as the films say so."""
        if self.sensitivity.value >= 2.0 / ALPHA:
            return "sensitivity"
        return "specificity" if self.specificity.value >= 2.0 / ALPHA else None

    def _share(self, positive: bool, wrong: float) -> float:
        """Of all films, the share with the finding, by the confirmed ones before this: the bound, `SURE` standard
        errors away, at which the promise for a film that people call *positive* (or not) is the smaller one."""
        seen = self._positives / self._weights
        error = SURE * math.sqrt(seen * (1.0 - seen) * self._squares) / self._weights
        return min(1.0 - _LEAST, max(_LEAST, correct_share(seen - error if positive else seen + error, wrong)))

    def _hypotheses(self, positive: bool) -> tuple[CardAccuracy, CardAccuracy]:
        is_promised = self.promise
        if positive:
            less = max(_LEAST, is_promised.sensitivity - MARGIN)
            return is_promised, CardAccuracy(less, is_promised.specificity)
        return is_promised, CardAccuracy(is_promised.sensitivity, max(_LEAST, is_promised.specificity - MARGIN))


def find_alarm(promise: CardAccuracy, images: Iterable[ConfirmedCall]) -> tuple[Measure, int] | None:
    """The measure that has fallen and after how many of *images* that was seen first; None while nothing has."""
    test = FallTest(promise)
    for number, image in enumerate(images, 1):
        test.update(image)
        if (measure := test.alarm) is not None:
            return measure, number
    return None


def _call_probability(positive: bool, model: CardAccuracy, share: float, wrong: float, below: float) -> float:
    """The probability that a confirmed film which people call *positive* (or not) was called by *model*."""
    right = (share if positive else 1.0 - share) * (1.0 - wrong)
    mistaken = (1.0 - share if positive else share) * wrong
    called_right = model.sensitivity if positive else 1.0 - model.specificity
    called_mistaken = 1.0 - model.specificity if positive else model.sensitivity
    called = (right * called_right + mistaken * called_mistaken) / (right + mistaken)
    called = min(1.0 - _LEAST / 10, max(_LEAST / 10, called))
    return called / (called + (1.0 - called) * below)


FIRST_IMAGES: Final = 200
"""Films of a machine that are its first ones at least, and as many the newest that are compared with them."""
MOST_FIRST_IMAGES: Final = 500
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
class WatchedImage:
    """One image as the watch knows it; ``None`` where a number was not taken.

    `numbers` are `score` (the strongest finding's), `distance` (from the training images), and the quality measures
    `blur`, `noise` and `pale` (`imaging.quality_measures`).
    """

    refused: bool
    called: bool
    numbers: dict[str, float | None]


NUMBERS: Final = ("score", "distance", "blur", "noise", "pale")


def compare_samples(
    first: Sequence[WatchedImage], now: Sequence[WatchedImage], home: tuple[int, int] | None = None
) -> tuple[Shift, ...]:
    """Every measure that both samples have enough films for; both hold films.

    *home*: (refused, of so many) of the pack's own test films, its reference; where it is given, the share refused now
    is held against it too.
    """
    called = [[watched_image.called for watched_image in some if not watched_image.refused] for some in (first, now)]
    refused = [[watched_image.refused for watched_image in some] for some in (first, now)]
    found = [compare_shares("refused", *refused)]
    if all(called):
        found.insert(0, compare_shares("called", *called))
    if home is not None:
        found.append(compare_shares("refused_at_home", [number < home[0] for number in range(home[1])], refused[1]))
    for measure in NUMBERS:
        samples = [
            [n for watched_image in some if (n := watched_image.numbers.get(measure)) is not None]
            for some in (first, now)
        ]
        if all(len(sample) >= FIRST_IMAGES // 2 for sample in samples):
            found.append(compare_values(measure, *samples))
    return tuple(found)


def compare_shares(measure: str, first: Sequence[bool], now: Sequence[bool]) -> Shift:
    """A share; both samples hold films."""
    before, after = sum(first) / len(first), sum(now) / len(now)
    pooled = (sum(first) + sum(now)) / (len(first) + len(now))
    spread = math.sqrt(pooled * (1.0 - pooled) * (1.0 / len(first) + 1.0 / len(now)))
    p = 1.0 if spread == 0.0 else math.erfc(abs(after - before) / spread / math.sqrt(2.0))
    psi = _psi([len(first) - sum(first), sum(first)], [len(now) - sum(now), sum(now)])
    return Shift(measure, before, after, p, psi)


def compare_values(measure: str, first: Sequence[float], now: Sequence[float]) -> Shift:
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
