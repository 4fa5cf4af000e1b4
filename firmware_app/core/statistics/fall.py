"""Has a model become worse than its card says?  A sequential test that may be looked at after every confirmed film.

Two e-processes, one over the films that people say show the finding and one over the others.  Each multiplies a wealth
of 1 by the likelihood ratio of "sensitivity (specificity) is `MARGIN` below the card's" against "it is the card's".  As
long as the model is as good as its card, the expected wealth never grows, so by Ville's inequality the probability that
it *ever* reaches 2 / `ALPHA` is at most `ALPHA` / 2 in each, and at most `ALPHA` in both together, whenever and however
often one looks.  So that a fall after a long good time is found too, the wealth is a mixture of bets that begin anew
every `BLOCK` films, the j-th with the share 1 / (j (j + 1)): a mixture of such processes is one (Shin, Ramdas & Rinaldo
2022, "E-detectors", have the idea).

Two things move what is seen, and the ratio allows for both.  Films below the threshold are asked for with a smaller
probability (`cases.asking`): called films are over-represented among those confirmed, by a known factor.
And a doctor's own reading is wrong at times: on a share `WRONG` of films at most, which makes a good model look worse,
the more so the rarer the finding is, so it is measured against that.

``python -m bench.fall`` prints how often it alarms wrongly and how soon rightly (docs/drift.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from firmware_app.core.statistics.confirmed import corrected

ALPHA: Final = 0.01
"""The probability of a false alarm in all the time that a version serves, however long."""
MARGIN: Final = 0.2
BLOCK: Final = 25
WRONG: Final = 0.06
"""As in `core.statistics.floor`: the share of films on which a doctor's own reading is wrong, at most."""
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
class Promise:
    """What the card says at the least: the lower 95 % bounds."""

    sensitivity: float
    specificity: float


@dataclass(slots=True)
class Wealth:
    """The mixture of the bets of one measure."""

    films: int = 0
    _bets: float = 0.0

    def take(self, ratio: float) -> None:
        if self.films % BLOCK == 0:
            j = self.films // BLOCK + 1
            self._bets += 1.0 / (j * (j + 1))
        self._bets *= ratio
        self.films += 1

    @property
    def value(self) -> float:
        """The bets that have begun, and the money of those that have not."""
        begun = (self.films - 1) // BLOCK + 1 if self.films else 0
        return self._bets + 1.0 / (begun + 1)


@dataclass(slots=True)
class Fall:
    """The test for one finding of one version of a model."""

    promise: Promise
    sensitivity: Wealth = field(default_factory=Wealth)
    specificity: Wealth = field(default_factory=Wealth)
    _positives: float = 1.0
    _weights: float = 4.0
    _squares: float = 4.0

    def take(self, film: ConfirmedCall) -> None:
        """Go on by one film."""
        wrong = WRONG if film.by_eye else 0.0
        share = self._share(film.positive, wrong)
        wealth = self.sensitivity if film.positive else self.specificity
        as_promised, fallen = (
            _seen_called(film.positive, one, share, wrong, film.below) for one in self._hypotheses(film.positive)
        )
        wealth.take(fallen / as_promised if film.called else (1.0 - fallen) / (1.0 - as_promised))
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
        return min(1.0 - _LEAST, max(_LEAST, corrected(seen - error if positive else seen + error, wrong)))

    def _hypotheses(self, positive: bool) -> tuple[Promise, Promise]:
        is_promised = self.promise
        if positive:
            less = max(_LEAST, is_promised.sensitivity - MARGIN)
            return is_promised, Promise(less, is_promised.specificity)
        return is_promised, Promise(is_promised.sensitivity, max(_LEAST, is_promised.specificity - MARGIN))


def alarmed(promise: Promise, films: Iterable[ConfirmedCall]) -> tuple[Measure, int] | None:
    """The measure that has fallen and after how many of *films* that was seen first; None while nothing has."""
    test = Fall(promise)
    for number, film in enumerate(films, 1):
        test.take(film)
        if (measure := test.alarm) is not None:
            return measure, number
    return None


def _seen_called(positive: bool, model: Promise, share: float, wrong: float, below: float) -> float:
    """The probability that a confirmed film which people call *positive* (or not) was called by *model*."""
    right = (share if positive else 1.0 - share) * (1.0 - wrong)
    mistaken = (1.0 - share if positive else share) * wrong
    called_right = model.sensitivity if positive else 1.0 - model.specificity
    called_mistaken = 1.0 - model.specificity if positive else model.sensitivity
    called = (right * called_right + mistaken * called_mistaken) / (right + mistaken)
    called = min(1.0 - _LEAST / 10, max(_LEAST / 10, called))
    return called / (called + (1.0 - called) * below)
