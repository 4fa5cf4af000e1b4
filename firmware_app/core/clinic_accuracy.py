"""How a model does at a clinic, by the images whose truth a person or a laboratory has confirmed.

Not every image is confirmed with the same probability: all that the model calls positive are asked for, of the others
only a random sample.  So images are counted in cells: by the probability with which they
were asked for, and by the side of the threshold on which they lie.  Within a cell the confirmed images are a random
sample of all that were read, whose number is known.  With N images in a cell and a share p of its confirmed images
positive, sensitivity = sum of N p over the cells above the threshold / sum of N p over all cells; the others likewise.

Intervals are of the posterior: p of each cell from Beta(positives + 1/2, negatives + 1/2) (Jeffreys), the shares of the
cells from a Dirichlet distribution, with a fixed seed.  They hold also where no missed image was met: that none of 40
was positive says that of 400 up to 25 may be.  docs/decisions/local-calibration.md has the simulation that chose this.

A doctor's own reading may be wrong.  The argument *wrong* says how often at most; then each draw also takes a share of
wrong readings between 0 and that, and removes its effect.  Without it the figures are those against the confirmations
as they are.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from firmware_app.core.accuracy import Auc, WeightedImage, compute_weighted_auc, compute_wilson_interval

DRAWS: Final = 1000
_TAIL: Final = 0.0125
"""Left out at either end of the draws.  With 0.025 the intervals held the truth of 93 to 96 % of simulated clinics."""
_SEED: Final = 18
_MOST_FOR_WIDTH: Final = 20_000
_FEW: Final = 5


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """One film for which the model gave a score: the probability with which its truth was asked for, and the truth.

    `truth` is ``None`` until it is confirmed.  `by_eye`: the truth is a doctor's reading of the film, not an outcome.
    Films asked for with one probability by different ways are of different `way`: the share that is answered differs.
    """

    score: float
    asked: float
    truth: bool | None = None
    by_eye: bool = False
    way: int = 0

    @property
    def sample(self) -> tuple[float, int]:
        """The same for films whose truth is as likely to be known."""
        return self.asked, self.way

    def __post_init__(self) -> None:
        if not 0.0 < self.asked <= 1.0:
            raise ValueError(f"a film is asked for with a probability in (0, 1], not {self.asked}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share between 0 and 1 and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClinicFigures:
    """How a model does at a clinic; ``None`` where the films do not say.

    `positives` and `confirmed` are films as they were counted, not weighted.  `called` of `read` films had a score of
    the threshold or more.
    """

    threshold: float
    read: int
    called: int
    confirmed: int
    positives: int
    by_eye: int
    prevalence: Estimate | None
    auc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    ppv: Estimate | None
    npv: Estimate | None

    @property
    def share_called(self) -> float | None:
        """Of the films read, the share with a score of the threshold or more."""
        return self.called / self.read if self.read else None


@dataclass(slots=True)
class Cell:
    """Films asked for with one probability, on one side of the threshold."""

    above: bool
    read: int = 0
    positives: int = 0
    negatives: int = 0
    by_eye: int = 0

    @property
    def confirmed(self) -> int:
        return self.positives + self.negatives

    @property
    def share(self) -> float:
        """Of its confirmed films, those with the finding."""
        return self.positives / self.confirmed

    @property
    def eye_only_share(self) -> float:
        """Of its confirmed films, those of which only a doctor's reading is known."""
        return self.by_eye / self.confirmed if self.confirmed else 1.0


def group_cells(images: Sequence[ScoredImage], threshold: float) -> list[Cell]:
    """The cells of *images*; one without any confirmed film is taken together with its other side, or left out."""
    found: dict[tuple[tuple[float, int], bool], Cell] = {}
    for image in images:
        above = image.score >= threshold
        cell = found.setdefault((image.sample, above), Cell(above))
        cell.read += 1
        if image.truth is not None:
            cell.positives += image.truth
            cell.negatives += not image.truth
            cell.by_eye += image.by_eye
    return list(found.values())


def estimate_figures(
    images: Sequence[ScoredImage], threshold: float, wrong: float = 0.0, draws: int = DRAWS
) -> ClinicFigures:
    """The figures of *images* when a score of *threshold* or more is called positive.

    *wrong*: of a doctor's own readings at most this share is wrong (below 0.5); their intervals allow for that.
    """
    known = [image for image in images if image.truth is not None]
    kinds = group_cells(images, threshold)
    told = _compute_observed_shares(kinds)
    drawn = _draw_posterior(kinds, wrong, draws) if known else []

    def estimate(of: Callable[[Sequence[float]], float | None]) -> Estimate | None:
        value = of(told) if told is not None else None
        return None if value is None else _estimate(value, [one for one in map(of, drawn) if one is not None])

    return ClinicFigures(
        threshold=threshold,
        read=len(images),
        called=sum(image.score >= threshold for image in images),
        confirmed=len(known),
        positives=sum(image.truth is True for image in known),
        by_eye=sum(image.by_eye for image in known),
        prevalence=estimate(_prevalence),
        auc=_auc(images, wrong),
        sensitivity=estimate(_sensitivity),
        specificity=estimate(_specificity),
        ppv=estimate(_ppv),
        npv=estimate(_npv),
    )


# --- a draw is (positive above, positive below, negative above, negative below), as shares of all films


def _prevalence(draw: Sequence[float]) -> float | None:
    return draw[0] + draw[1]


def _sensitivity(draw: Sequence[float]) -> float | None:
    return _ratio(draw[0], draw[1])


def _specificity(draw: Sequence[float]) -> float | None:
    return _ratio(draw[3], draw[2])


def _ppv(draw: Sequence[float]) -> float | None:
    return _ratio(draw[0], draw[2])


def _npv(draw: Sequence[float]) -> float | None:
    return _ratio(draw[3], draw[1])


def _ratio(one: float, other: float) -> float | None:
    return one / (one + other) if one + other > 0.0 else None


def _compute_observed_shares(kinds: Sequence[Cell]) -> tuple[float, float, float, float] | None:
    """What the confirmed films say as they are; ``None`` where a side has been read and nothing of it is confirmed."""
    if not kinds or any(not cell.confirmed and cell.read for cell in kinds):
        kinds = _merge_cells(kinds)
    if not kinds or any(not cell.confirmed for cell in kinds):
        return None
    whole = sum(cell.read for cell in kinds)
    sums = [0.0, 0.0, 0.0, 0.0]
    for cell in kinds:
        share = cell.read / whole
        sums[0 if cell.above else 1] += share * cell.share
        sums[2 if cell.above else 3] += share * (1.0 - cell.share)
    return sums[0], sums[1], sums[2], sums[3]


def _merge_cells(kinds: Sequence[Cell]) -> list[Cell]:
    """One cell a side, whatever the probabilities."""
    sides = {above: Cell(above) for above in (True, False)}
    for cell in kinds:
        side = sides[cell.above]
        side.read += cell.read
        side.positives += cell.positives
        side.negatives += cell.negatives
        side.by_eye += cell.by_eye
    return [side for side in sides.values() if side.read]


def _draw_posterior(kinds: Sequence[Cell], wrong: float, draws: int) -> list[tuple[float, float, float, float]]:
    """*draws* from the posterior."""
    if any(not cell.confirmed for cell in kinds):
        kinds = _merge_cells(kinds)
    rng = random.Random(_SEED)
    found = []
    for _ in range(draws):
        error = rng.uniform(0.0, wrong) if wrong else 0.0
        sizes = [rng.gammavariate(cell.read + 0.5, 1.0) for cell in kinds]
        whole = sum(sizes)
        sums = [0.0, 0.0, 0.0, 0.0]
        for cell, size in zip(kinds, sizes, strict=True):
            share = rng.betavariate(cell.positives + 0.5, cell.negatives + 0.5)
            share = correct_share(share, error * cell.eye_only_share)
            sums[0 if cell.above else 1] += size / whole * share
            sums[2 if cell.above else 3] += size / whole * (1.0 - share)
        found.append((sums[0], sums[1], sums[2], sums[3]))
    return found


def correct_share(share: float, error: float) -> float:
    """The share of positive films, where *share* are called so and each is called wrongly with probability *error*
    (Rogan & Gladen 1978)."""
    return min(1.0, max(0.0, (share - error) / (1.0 - 2.0 * error)))


def _estimate(value: float, drawn: Sequence[float]) -> Estimate:
    ordered = sorted(drawn)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (_TAIL, 1.0 - _TAIL))
    return Estimate(value, min(value, low), max(value, high))


# --- area under the curve -----------------------------------------------------------------------------------------


def weight_confirmed(images: Sequence[ScoredImage]) -> list[WeightedImage]:
    """The confirmed of *images*, each standing for as many as were asked for with its probability."""
    read, confirmed = Counter(image.sample for image in images), Counter[tuple[float, int]]()
    confirmed.update(image.sample for image in images if image.truth is not None)
    return [
        WeightedImage(image.score, image.truth, read[image.sample] / confirmed[image.sample])
        for image in images
        if image.truth is not None
    ]


def compute_clinic_auc(images: Sequence[ScoredImage]) -> Auc | None:
    """The AUC at the clinic; ``None`` while a class is absent."""
    return compute_weighted_auc(weight_confirmed(images))


def compute_cautious_auc(images: Sequence[ScoredImage]) -> Auc | None:
    """The AUC for an interval: half a missed film is added to each sample of which only a part was asked for.

    Of 50 films of low score perhaps none shows the finding, and yet some of the 500 do for which these stand.
    """
    known = weight_confirmed(images)
    for sample in sorted({image.sample for image in images if image.asked < 1.0}):
        scores = sorted(image.score for image in images if image.sample == sample)
        confirmed = sum(image.sample == sample and image.truth is not None for image in images)
        if confirmed:
            known.append(WeightedImage(scores[len(scores) // 2], True, 0.5 * len(scores) / confirmed))
    return compute_weighted_auc(known)


def compute_blur_factor(images: Sequence[ScoredImage], wrong: float) -> float:
    """The factor by which wrong readings bring an AUC nearer to 1/2 (Menon et al. 2015, corollary 3), at least 0.05.

    Each image that is known by a doctor's eye alone is wrong with probability *wrong*.
    """
    stood = weight_confirmed(images)
    whole = sum(image.weight for image in stood)
    if not wrong or not whole:
        return 1.0
    known = [image for image in images if image.truth is not None]
    error = wrong * sum(image.by_eye for image in known) / len(known)
    seen = sum(image.weight for image in stood if image.positive) / whole
    true = correct_share(seen, error)
    if not 0.0 < seen < 1.0:
        return 1.0
    false_positive, false_negative = error * (1.0 - true) / seen, error * true / (1.0 - seen)
    return max(0.05, 1.0 - false_positive - false_negative)


def _auc(images: Sequence[ScoredImage], wrong: float) -> Estimate | None:
    found, cautious = compute_clinic_auc(images), compute_cautious_auc(images)
    if found is None or cautious is None:
        return None
    low, high = min(cautious.interval[0], found.interval[0]), found.interval[1]
    factor = compute_blur_factor(images, wrong)
    ends = [low, high, 0.5 + (low - 0.5) / factor, 0.5 + (high - 0.5) / factor]
    return Estimate(found.value, max(0.0, min(ends)), min(1.0, max(ends)))


# --- how many more ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImagesNeeded:
    """How many confirmed films more make the interval of the sensitivity no wider than ± `half_width`.

    `images` are films that must be confirmed to meet `positives` more with the finding; ``None`` while none was met.
    """

    half_width: float
    positives: int
    images: int | None


def count_images_needed(found: ClinicFigures, half_width: float) -> ImagesNeeded:
    """What is missing for that width, if films go on coming as they did."""
    now = found.sensitivity
    if now is None or found.positives < _FEW:
        more = max(0, count_positives_needed(half_width) - found.positives)
    else:  # an interval narrows with the square root of the number
        wide = (now.high - now.low) / 2.0
        more = max(0, math.ceil(found.positives * ((wide / half_width) ** 2 - 1.0)))
    share = found.positives / found.confirmed if found.confirmed else 0.0
    return ImagesNeeded(half_width, more, math.ceil(more / share) if share else None)


def count_positives_needed(half_width: float, share: float = 0.9) -> int:
    """How many confirmed positive films make the interval of a sensitivity of *share* as narrow as ± *half_width*."""
    for n in range(1, _MOST_FOR_WIDTH):
        low, high = compute_wilson_interval(share, n)
        if (high - low) / 2.0 <= half_width:
            return n
    return _MOST_FOR_WIDTH
