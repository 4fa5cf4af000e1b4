"""Coverage against risk: of how many films a number is given, and how many of these numbers are wrong.

The films nearest to the threshold are the first that get none (El-Yaniv & Wiener 2010, J. Mach. Learn. Res. 11:1605;
Geifman & El-Yaniv 2017, NeurIPS). What limits of a pack do is one such point (:mod:`.conformal`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from converters.statistics import intervals

SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the curve: ``given`` is the share of films with a number, ``n`` their count, ``wrong`` the share of
    errors."""

    given: float
    n: int
    wrong: float
    wrong_ci: Interval
    missed: float | None
    """Of the films with the finding that get a number, the share that is called negative."""
    false_alarms: float | None
    """Of the films without it that get a number, the share that is called positive."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from most films with a number to fewest."""

    points: tuple[Point, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """Parse what :meth:`as_dict` returns."""
        return cls(tuple(Point(**{**one, "wrong_ci": tuple(one["wrong_ci"])}) for one in entry["points"]))


def point(
    labels: NDArray[np.int64], called: NDArray[np.bool_], patients: Sequence[str], shown: NDArray[np.bool_]
) -> Point | None:
    """The point of the films with a number (``shown``, (N,)); ``None`` where there are none."""
    if not shown.any():
        return None
    people = [patient for patient, inside in zip(patients, shown, strict=True) if inside]
    truth, wrong = labels[shown], called[shown] != (labels[shown] == 1)
    interval = intervals.rate_interval(wrong, people)
    assert interval is not None
    missed, alarms = (float(wrong[truth == label].mean()) if (truth == label).any() else None for label in (1, 0))
    return Point(
        given=float(shown.mean()),
        n=len(wrong),
        wrong=float(wrong.mean()),
        wrong_ci=interval,
        missed=missed,
        false_alarms=alarms,
    )


def curve(labels: NDArray[np.int64], margins: NDArray[np.float64], patients: Sequence[str]) -> Curve:
    """``margins`` (N,): how far each film's log odds lie above the threshold's."""
    order = np.argsort(-np.abs(margins), kind="stable")
    points = []
    for share in SHARES:
        shown = np.zeros(len(labels), dtype=bool)
        shown[order[: round(share * len(order))]] = True
        if (one := point(labels, margins >= 0.0, patients, shown)) is not None:
            points.append(one)
    return Curve(tuple(points))
