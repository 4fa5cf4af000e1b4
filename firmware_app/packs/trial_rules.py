"""Whether a version on trial may replace the one that serves: plain rules about images that both have read.

A version loses when, over the images that the serving version gave a number for,

- doctors: it is more often wrong by the doctors' words, in a sign test (McNemar, exact, one-sided, p < `SIGNIFICANCE`)
of the cases in which only one of the two is right;
- agreement: it says the same (found, or not found) for fewer than `LEAST_AGREEMENT` of them.  Giving no number is not
the same; where a doctor says that the version on trial is the one that is right, it counts as if it were;
- time: its median inference takes more than `MOST_TIMES` that of the serving version, and more than `MOST_SECONDS`
longer.

docs/decisions/pack-trial.md says how often a good version loses by them, and a bad one wins.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firmware_app.packs.errors import PACK_TRIAL_DIFFERS, PACK_TRIAL_LOST, PACK_TRIAL_SLOWER, PackError

SIGNIFICANCE: Final = 0.05
LEAST_AGREEMENT: Final = 0.8
MOST_TIMES: Final = 2.0
MOST_SECONDS: Final = 1.0
MOST_ERRORS: Final = 2
"""Images that it may fail on, without a reason that its manifest gives, before it is left."""


@dataclass(frozen=True, slots=True)
class PairedReading:
    """One image that the serving version gave a number for: what each called it.

    `fresh` is None where the version on trial gave no number; `truth` is what a doctor or a laboratory said of the
    case, None where nobody did.  Times are of the inference, None where it was disturbed.
    """

    case: str
    serving: bool
    fresh: bool | None
    truth: bool | None = None
    serving_ms: float | None = None
    fresh_ms: float | None = None

    @property
    def is_same(self) -> bool:
        """Whether the two do not differ, or a doctor holds with the one on trial."""
        return self.fresh is not None and (self.fresh is self.serving or self.fresh is self.truth)


@dataclass(frozen=True, slots=True)
class ComparedVersions:
    """The versions that are compared."""

    pack: str
    version: str
    before: str


def find_loss(who: ComparedVersions, images: Sequence[PairedReading]) -> PackError | None:
    """Why the version on trial loses over *images*; None where it may take over."""
    named = {"pack": who.pack, "version": who.version, "before": who.before}
    worse, better = count_discordant(images)
    if sign_test(worse, better) < SIGNIFICANCE:
        return PACK_TRIAL_LOST(**named, worse=worse, better=better)
    same = sum(image.is_same for image in images)
    if images and same < LEAST_AGREEMENT * len(images):
        return PACK_TRIAL_DIFFERS(**named, same=same, images=len(images))
    old, new = _median([image.serving_ms for image in images]), _median([image.fresh_ms for image in images])
    if new > MOST_TIMES * old and new - old > 1e3 * MOST_SECONDS:
        return PACK_TRIAL_SLOWER(**named, seconds=round(new / 1e3, 1), seconds_before=round(old / 1e3, 1))
    return None


def count_discordant(images: Sequence[PairedReading]) -> tuple[int, int]:
    """In how many cases of known truth only the serving version is right, and only the one on trial.

    A case is called what the strongest of its images is called: found, where any is.
    """
    cases: dict[str, list[PairedReading]] = {}
    for image in images:
        if image.truth is not None and image.fresh is not None:
            cases.setdefault(image.case, []).append(image)
    worse = better = 0
    for some in cases.values():
        serving, fresh = any(paired_reading.serving for paired_reading in some), any(one.fresh for one in some)
        if serving is not fresh:
            worse += serving is some[0].truth
            better += fresh is some[0].truth
    return worse, better


def sign_test(worse: int, better: int) -> float:
    """P of *worse* or more of worse + better fair coins: the exact one-sided McNemar test."""
    n = worse + better
    return sum(math.comb(n, k) for k in range(worse, n + 1)) / 2.0**n


def _median(times: Sequence[float | None]) -> float:
    known = [time for time in times if time is not None]
    return statistics.median(known) if known else 0.0
