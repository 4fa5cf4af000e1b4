"""Do the figures of a clinic's own films hold, and is an unfit pack suspended in time? In simulated clinics.

Each clinic has a prevalence (0.05 to 0.5), a pack with a true AUC (0.5 to 0.98), a machine that shifts the scores, a
doctor whose own readings are wrong at a rate of 0 to 0.15, and a share of outcomes that come from a laboratory. Films
are asked for with the box's own probabilities, nine in ten of those asked for are answered, and the figures are made by
the box's own functions. Printed:

- how often the intervals hold the truth after 100, 300 and 1000 confirmed films: the plain ones where every truth is a
  laboratory's, the cautious ones where doctors read (against the disease, not against the doctor), and the plain ones
  there, to show what a doctor's errors do to them;
- which share of unfit packs (AUC 0.5 to 0.6) is suspended within 100 confirmed films, and which share of fit ones (0.75
  and more) is suspended wrongly.

    python -m bench.calibration [--clinics N] [--seed N] [--json] [--quick]

With 240 clinics it takes 110 s of processor time.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any, Final

from firmware_app.cases.model_scores import SamplingShares
from firmware_app.core import fitness
from firmware_app.core.accuracy import wilson_interval
from firmware_app.core.clinic_accuracy import Estimate, ScoredImage, estimate_figures
from firmware_app.core.settings import Config

CLINICS: Final = 240
CONFIRMED: Final = (100, 300, 1000)
UNFIT: Final = (0.5, 0.6)
FIT: Final = ((0.75, 0.8), (0.8, 0.9), (0.9, 0.98))
ANSWERED: Final = 0.9
MOST_WRONG: Final = 0.15
NAMES: Final = ("auc", "sensitivity", "specificity", "ppv", "npv", "prevalence")
_NORMAL: Final = NormalDist()
_STEP: Final = 5  # confirmed films between two tests of the floor; the box tests after each


@dataclass(frozen=True, slots=True)
class Clinic:
    """What is true of one clinic. `apart`: the distance of the two classes in standard deviations of the score."""

    prevalence: float
    auc: float
    threshold: float
    wrong: float
    laboratory: float
    seed: int

    @classmethod
    def drawn(cls, rng: random.Random, auc: tuple[float, float], wrong: float, laboratory: float | None) -> Clinic:
        """A clinic by chance; *wrong* is the highest rate of wrong readings, *laboratory* ``None`` for any share."""
        area = rng.uniform(*auc)
        apart = _apart(area)
        threshold = apart * rng.uniform(0.2, 0.6) + rng.gauss(0.0, 0.35)  # a pack's, on scores that the machine shifts
        share = rng.random() if laboratory is None else laboratory
        return cls(rng.uniform(0.05, 0.5), area, threshold, rng.uniform(0.0, wrong), share, rng.randrange(2**32))

    def truth(self) -> dict[str, float]:
        """The pack's figures at this clinic, against the disease."""
        sensitivity = 1.0 - _NORMAL.cdf(self.threshold - _apart(self.auc))
        specificity = _NORMAL.cdf(self.threshold)
        hits, missed = self.prevalence * sensitivity, self.prevalence * (1.0 - sensitivity)
        clear = (1.0 - self.prevalence) * specificity
        needless = (1.0 - self.prevalence) * (1.0 - specificity)
        values = (self.auc, sensitivity, specificity, hits / (hits + needless), clear / (clear + missed))
        return dict(zip(NAMES, (*values, self.prevalence), strict=True))

    def films(self, confirmed: int, shares: SamplingShares) -> Iterator[list[ScoredImage]]:
        """The films read so far, after each that was confirmed, until *confirmed* are."""
        rng, apart, met = random.Random(self.seed), _apart(self.auc), 0
        films: list[ScoredImage] = []
        while met < confirmed:
            positive = rng.random() < self.prevalence
            score = rng.gauss(apart if positive else 0.0, 1.0)
            asked = 1.0 if score >= self.threshold else shares.below
            if rng.random() >= asked or rng.random() >= ANSWERED:
                films.append(ScoredImage(score, asked))
                continue
            by_eye = rng.random() >= self.laboratory
            said = positive if not by_eye or rng.random() >= self.wrong else not positive
            films.append(ScoredImage(score, asked, said, by_eye))
            met += 1
            yield films


def _apart(auc: float) -> float:
    return math.sqrt(2.0) * _NORMAL.inv_cdf(auc)


@dataclass(frozen=True, slots=True)
class Held:
    """How often the interval of one figure held the truth, over clinics, and its mean width."""

    figure: str
    held: int
    clinics: int
    width: float

    def as_dict(self) -> dict[str, Any]:
        share = self.held / self.clinics
        return {
            "figure": self.figure,
            "held": round(share, 3),
            "ci": _rounded(wilson_interval(share, self.clinics)),
            "clinics": self.clinics,
            "width": round(self.width, 3),
        }


def coverage(
    clinics: int,
    confirmed: int,
    wrong: float,
    laboratory: float | None,
    allowed: float,
    shares: SamplingShares,
    seed: int,
) -> list[Held]:
    """How often each figure's interval holds the truth after *confirmed* films; *allowed*: see `estimate_figures`."""
    rng = random.Random(seed)
    seen: dict[str, list[tuple[bool, float]]] = {name: [] for name in NAMES}
    for _ in range(clinics):
        clinic = Clinic.drawn(rng, (UNFIT[0], FIT[-1][1]), wrong, laboratory)
        films = _last(clinic.films(confirmed, shares))
        found = estimate_figures(films, clinic.threshold, allowed, draws=500)
        for name, true in clinic.truth().items():
            one: Estimate | None = getattr(found, name)
            if one is not None:
                seen[name].append((one.low <= true <= one.high, one.high - one.low))
    return [
        Held(name, sum(held for held, _ in rows), len(rows), fmean(width for _, width in rows))
        for name, rows in seen.items()
        if rows
    ]


def suspended(clinics: int, auc: tuple[float, float], confirmed: int, shares: SamplingShares, seed: int) -> int:
    """In how many of *clinics* a pack with such an AUC is suspended within *confirmed* confirmed films."""
    rng = random.Random(seed)
    return sum(_is_suspended(Clinic.drawn(rng, auc, MOST_WRONG, None), confirmed, shares) for _ in range(clinics))


def _is_suspended(clinic: Clinic, confirmed: int, shares: SamplingShares) -> bool:
    for met, films in enumerate(clinic.films(confirmed, shares), start=1):
        if met % _STEP == 0 and fitness.check_fitness(films, met - _STEP) is not None:
            return True
    return False


def _last(films: Iterator[list[ScoredImage]]) -> list[ScoredImage]:
    return deque(films, maxlen=1).pop()


def _rounded(interval: Sequence[float]) -> list[float]:
    return [round(one, 3) for one in interval]


def measured(clinics: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Every figure, as one object; *say* gets each as a line."""
    settings = Config().calibration
    shares = SamplingShares(settings.before, settings.low)
    held: list[dict[str, Any]] = []
    for name, wrong, laboratory, allowed in (
        ("plain, every truth a laboratory's", 0.0, 1.0, 0.0),
        ("cautious, doctors wrong in 0 to 15 %", MOST_WRONG, None, MOST_WRONG),
        ("plain, doctors wrong in 0 to 15 %", MOST_WRONG, None, 0.0),
    ):
        for confirmed in CONFIRMED:
            rows = [one.as_dict() for one in coverage(clinics, confirmed, wrong, laboratory, allowed, shares, seed)]
            whole = sum(row["held"] * row["clinics"] for row in rows) / sum(row["clinics"] for row in rows)
            held.append({"intervals": name, "confirmed": confirmed, "held": round(whole, 3), "figures": rows})
            each = "  ".join(f"{row['figure']} {row['held']:.3f} (±{row['width'] / 2:.2f})" for row in rows)
            say(f"{name}, {confirmed} confirmed: {whole:.3f} hold\n    {each}")
    stopped = []
    for kind, auc, confirmed in (
        ("unfit", UNFIT, 100),
        *(("fit", one, 100) for one in FIT),
        *(("fit", one, 500) for one in FIT),
    ):
        count = clinics if confirmed == 100 else max(1, clinics // 4)
        gone = suspended(count, auc, confirmed, shares, seed)
        low, high = wilson_interval(gone / count, count)
        stopped.append(
            {
                "pack": kind,
                "auc": list(auc),
                "confirmed": confirmed,
                "suspended": round(gone / count, 3),
                "ci": _rounded((low, high)),
                "clinics": count,
            }
        )
        say(
            f"{kind} (AUC {auc[0]} to {auc[1]}), suspended within {confirmed} confirmed films: {gone / count:.3f} "
            f"({low:.3f} to {high:.3f}), {count} clinics"
        )
    return {"clinics": clinics, "seed": seed, "held": held, "suspended": stopped}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.calibration", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clinics", type=int, default=CLINICS, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=18, metavar="N", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--quick", action="store_true", help="only see whether it works; the figures mean little")
    options = parser.parse_args()
    say = (lambda line: None) if options.json else (lambda line: print(line, flush=True))
    found = measured(12 if options.quick else options.clinics, options.seed, say)
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
