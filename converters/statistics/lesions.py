"""Masks and lesions: Dice of two masks, and how many lesions are found at how many false marks a film (FROC).

A *lesion* is a connected component of the outline mask (8 neighbours in a plane, 26 in a volume).  A *mark* is one of
the predicted mask; its score is its largest probability.  A lesion is hit by a mark that covers it with an
intersection over union of at least 0.1: the threshold at which Jaeger et al. 2020 (Retina U-Net, PMLR 116:171, section
4.3) match boxes in volumes, since a clinic needs to know roughly where; that masks are matched at it too is our own
choice.  FROC: Bunch et al. 1978; a mark on a lesion that another mark has hit already is neither a hit nor a false one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.statistics.intervals import Rate, limits, resamples
from firmware_app.imaging.pixel_operations import label_components

LEAST_OVERLAP = 0.1
FROC_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False marks a film at which the FROC is read, as LUNA16 does (Setio et al. 2017)."""

Mask = NDArray[np.bool_]


def dice(one: Mask, other: Mask) -> float:
    """2 |A ∩ B| / (|A| + |B|) (Dice 1945); 1 for two empty masks."""
    size = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / size if size else 1.0


@dataclass(frozen=True, slots=True)
class Marks:
    """One film: the score of each lesion's best mark (0: not hit), and of each mark that hits no lesion."""

    hits: tuple[float, ...]
    false: tuple[float, ...]
    dice: float | None
    """Of masks; boxes have none."""
    organ: float | None = None
    """The Dice of the organ's outline, of a film that has one."""


def mark(probability: NDArray[np.float32], truth: Mask, threshold: float) -> Marks:
    """The marks of one film or volume: components of ``probability`` ≥ ``threshold`` against those of ``truth``."""
    mask, true = probability >= threshold, truth.astype(bool)
    marks, n_marks = label_components(mask)
    lesions, n_lesions = label_components(true)
    together = np.zeros((n_lesions + 1, n_marks + 1), dtype=np.int64)
    np.add.at(together, (lesions.ravel(), marks.ravel()), 1)
    size_lesion, size_mark = together.sum(axis=1), together.sum(axis=0)
    overlap = together[1:, 1:] / (size_lesion[1:, np.newaxis] + size_mark[np.newaxis, 1:] - together[1:, 1:])
    hit = overlap >= LEAST_OVERLAP
    peaks = np.zeros(n_marks + 1)
    np.maximum.at(peaks, marks.ravel(), probability.ravel().astype(np.float64))
    scores = peaks[1:]
    best = tuple(float(scores[row].max()) if row.any() else 0.0 for row in hit)
    stray = tuple(float(score) for score, on_lesion in zip(scores, hit.any(axis=0), strict=True) if not on_lesion)
    return Marks(best, stray, dice(mask, true))


@dataclass(frozen=True, slots=True)
class LesionResults:
    """Lesions over many films at the operating threshold, with 95 % intervals (patients resampled)."""

    dice: float | None
    dice_ci: tuple[float, float] | None
    lesions: Rate
    lesions_ci: tuple[float, float] | None
    false_per_film: float
    froc: tuple[tuple[float, float | None], ...]
    clean: Rate
    """Of films without a lesion, those without a mark."""
    clean_ci: tuple[float, float] | None
    organ: float | None = None
    organ_ci: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "dice": self.dice,
            "dice_ci": self.dice_ci,
            "lesions": self.lesions.n,
            "lesion_sensitivity": self.lesions.value,
            "lesion_sensitivity_ci": self.lesions_ci,
            "false_positives_per_image": self.false_per_film,
            "froc": [list(point) for point in self.froc],
            "without_mark": self.clean.value,
            "without_mark_ci": self.clean_ci,
            "without_lesion": self.clean.n,
            "organ_dice": self.organ,
            "organ_dice_ci": self.organ_ci,
        }


def measure_lesions(films: Sequence[Marks], patients: Sequence[str], seed: int = 0) -> LesionResults:
    """Pool films.  Dice is the mean over films that hold a lesion.  Raises :class:`ValueError` without any film."""
    if not films:
        raise ValueError("there are no films")
    with_lesion = np.array([bool(film.hits) for film in films])
    outlined = all(film.dice is not None for film in films)
    score = np.array([film.dice or 0.0 for film in films])
    hits = np.array([sum(value > 0.0 for value in film.hits) for film in films])
    lesions = np.array([len(film.hits) for film in films])
    free, clean = ~with_lesion, np.array([not film.hits and not film.false for film in films])
    held = np.array([film.organ is not None for film in films])
    organ = np.array([film.organ or 0.0 for film in films])
    dices, rates, kept, organs = [], [], [], []
    for weights in resamples(with_lesion.astype(np.int64), patients, seed):
        counted = weights * with_lesion
        dices.append(float(counted @ score / counted.sum()) if counted.sum() and outlined else None)
        rates.append(float(weights @ hits / (weights @ lesions)) if weights @ lesions else None)
        kept.append(float(weights @ clean / (weights @ free)) if weights @ free else None)
        organs.append(float(weights @ organ / (weights @ held)) if weights @ held else None)
    return LesionResults(
        dice=float(score[with_lesion].mean()) if with_lesion.any() and outlined else None,
        dice_ci=limits(dices),
        lesions=Rate(int(hits.sum()), int(lesions.sum())),
        lesions_ci=limits(rates),
        false_per_film=sum(len(film.false) for film in films) / len(films),
        froc=froc(films),
        clean=Rate(int(clean.sum()), int(free.sum())),
        clean_ci=limits(kept),
        organ=float(organ[held].mean()) if held.any() else None,
        organ_ci=limits(organs),
    )


def froc(films: Sequence[Marks], rates: Sequence[float] = FROC_RATES) -> tuple[tuple[float, float | None], ...]:
    """(false marks a film, share of lesions hit) at each of ``rates``: the best score cut that keeps within it."""
    best = np.array([value for film in films for value in film.hits])
    stray = [value for film in films for value in film.false]
    points: list[tuple[float, float | None]] = []
    for rate in rates:
        cut = cut_at(stray, len(films), rate)
        points.append((rate, float((best > cut).mean()) if len(best) else None))
    return tuple(points)


def cut_at(stray: Sequence[float], films: int, rate: float) -> float:
    """The score above which at most ``rate`` of the false marks a film are left; 0 where that holds for all."""
    ordered = sorted(stray, reverse=True)
    allowed = int(rate * films + 1e-9)
    return ordered[allowed] if allowed < len(ordered) else 0.0  # the next stray stays out
