"""The task ``boxes``: where lesions lie, one box around each.  Judged by the lesions found and the false boxes a film.

A network gives five channels (:mod:`firmware_app.packs.tasks.boxes`): the log odds of a lesion's middle in each cell,
and how far the sides are away.  Boxes come with the films (``boxes.csv``), or are drawn around the pieces of their
outlines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import threshold
from converters.evaluation.gates import GateResult, verdict_of
from converters.evaluation.segmentation import CUTS
from converters.failures import DataUnreadable, GateFailed
from converters.statistics import intervals
from converters.statistics.lesions import LEAST_OVERLAP, Marks
from converters.tasks.interface import Answers, Outputs, Task
from firmware_app.imaging.pixel_operations import label_components
from firmware_app.packs.tasks import boxes
from firmware_app.packs.tasks.interface import Frame, Section

if TYPE_CHECKING:
    from torch import Tensor, nn

    from converters.data.datasets import Film, FilmSet
    from converters.data.predictions import Predictions
    from converters.evaluation.baseline import Baseline
    from converters.nets import CamNet
    from converters.packing.words import FindingWords
    from converters.recipe import Recipe
    from converters.recipe_tables import Changes
    from converters.training.fitting import Objective
    from converters.workflow.recipe_run import RecipeRun
    from firmware_app.imaging.model_input import InputSpec

MAP = "map"
OWN = boxes.OWN_CALIBRATION

Found = tuple[boxes.Corners, ...]


class Boxes(Task):
    """See the module."""

    key = "boxes"
    outputs = (MAP,)
    outlines = True

    def check(self, recipe: Recipe) -> None:
        """Boxes are read with the films."""
        super().check(recipe)
        self.refuse_cut(recipe)
        if recipe.data.reader != "masks":
            raise ValueError('task = "boxes" learns from boxes.csv or outlines: [data] reader is "masks"')
        if recipe.train is not None and recipe.train.loss is not None:
            raise ValueError('[train] loss: task = "boxes" has its own')

    @property
    def shipped(self) -> int:
        """The middle and the four sides."""
        return boxes.CHANNELS

    def targets(self, run: RecipeRun, films: FilmSet) -> tuple[Found, ...]:
        """The boxes of each film, as fractions of its width and height."""
        return tuple(fractions(film) for film in films.films)

    def objective(self, run: RecipeRun, films: FilmSet, targets: Any, net: CamNet) -> Objective:
        """Focal loss of the middles, distance of the sides."""
        assert run.recipe.train is not None
        return BoxLoss(targets, run.recipe.cost.miss, run.recipe.train.change)

    def network(self, given: nn.Module | Path, recipe: Recipe, spec: InputSpec, made: Path) -> CamNet:
        """The first five channels of the network's output."""
        from converters.nets import foreign

        keep = tuple(range(boxes.CHANNELS))
        return foreign.with_map(given, recipe, spec, made, outlines=True, keep=keep)

    def answers(self, outputs: Outputs, biases: NDArray[np.float64]) -> Answers:
        """(N, 5, h, w): the map, with what the host adds to the middles."""
        cells = np.array(outputs[MAP], dtype=np.float32)
        cells[:, 0] += np.float32(biases[0])
        return cells

    def scores(self, answers: Answers) -> NDArray[np.float64]:
        """The score of each film's strongest cell."""
        return np.asarray(answers[:, 0].reshape(len(answers), -1).max(axis=1), dtype=np.float64)

    def truth(self, films: FilmSet, answers: Answers) -> NDArray[Any]:
        """(N,) objects: the boxes of each film."""
        every = np.empty(len(films.films), dtype=object)
        every[:] = [fractions(film) for film in films.films]
        return every

    def operating_point(
        self, recipe: Recipe, original: Predictions, answers: Answers, truth: NDArray[Any] | None, outputs: Outputs
    ) -> dict[str, Any]:
        """The cut with the best F1 of boxes."""
        assert truth is not None
        chances = [float(one) for one in threshold.sigmoid(CUTS)]
        best = max(chances, key=lambda cut: f1(count(answers, truth, cut)))
        if not f1(count(answers, truth, best)):
            raise GateFailed("calibrate", "not one of the boxes of the held-back films is found at any threshold")
        held = int(original.labels.sum())
        return {"threshold": round(best, 4), "rule": f"the best F1 of boxes on {held} held-back films with a lesion"}

    def verdicts(self, baseline: Baseline, answers: Answers) -> list[GateResult]:
        """How much the F1 of boxes changes, in the place of the Dice of outlines."""
        assert baseline.truth is not None
        cut = float(threshold.sigmoid(np.array(baseline.threshold)))
        before, after = (count(array, baseline.truth, cut) for array in (baseline.answers, answers))
        value, margin = f1(after) - f1(before), -baseline.gate.dice_loss
        drawn = intervals.limits(
            f1(after * weights[:, None]) - f1(before * weights[:, None])
            for weights in intervals.resamples(baseline.original.labels, baseline.original.patients)
        )
        low, high = drawn or (float("nan"), float("nan"))
        said = f"F1 of boxes {f1(before):.4f} changes by {value:+.4f} ({low:+.4f} to {high:+.4f}), allowed {margin:+g}"
        return [verdict_of("boxes", value, low, margin, said)]

    def output(self, point: Mapping[str, Any], features: str | None) -> boxes.Output:
        """The map's name."""
        return boxes.Output(map=MAP, features=features)

    def finding(self, point: Mapping[str, Any], words: FindingWords) -> boxes.Finding:
        """Build the finding with the network's own probabilities."""
        return boxes.Finding(
            code=words.code,
            label=words.label,
            threshold=point["threshold"],
            threshold_rule=point["rule"],
            priority=words.priority,
            bias=point["bias"],
            calibration=OWN,
        )

    def logit(self, section: Section, outputs: Outputs, frame: Frame) -> float:
        """The logit of the strongest cell."""
        return float(outputs[section.output.map][0, 0].max()) + float(section.findings[0].bias)

    def marks(self, section: Section, outputs: Outputs, film: Film) -> Marks | None:
        """The box's own boxes against the film's."""
        if film.boxes is None and film.mask is None:
            return None
        spec = section.findings[0]
        found = boxes.decode_boxes(outputs[section.output.map][0], spec.bias, spec.calibration, spec.threshold)
        return match_marks(found, fractions(film))

    def golden_probability(self, recorded: Any, code: str) -> float | None:
        """The probability that golden cases record besides the boxes."""
        return super().golden_probability(recorded.get("findings") if isinstance(recorded, Mapping) else None, code)


task = Boxes()


def fractions(film: Film) -> Found:
    """A film's boxes as fractions of its width and height. Raises :class:`DataUnreadable` for a film without any word
    of them, or with one that does not lie in it."""
    if film.boxes is not None:
        rows, columns = film.read().shape
        made = tuple((x0 / columns, y0 / rows, x1 / columns, y1 / rows) for x0, y0, x1, y1 in film.boxes)
        if any(min(box) < 0.0 or max(box) > 1.0 for box in made):
            raise DataUnreadable(film.name, f"one of its boxes does not lie in its {columns} × {rows} pixels")
        return made
    mask = film.outline()
    if mask is None:
        raise DataUnreadable(film.name, "it has no boxes and no outline")
    numbers, count = label_components(mask)
    rows, columns = mask.shape
    found: list[boxes.Corners] = []
    for number in range(1, count + 1):
        y, x = np.nonzero(numbers == number)
        corners = x.min() / columns, y.min() / rows, (x.max() + 1) / columns, (y.max() + 1) / rows
        found.append((float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3])))
    return tuple(found)


def match_marks(found: list[boxes.ScoredBox], true: Found) -> Marks:
    """The boxes of one film against the true ones, which they hit from the overlap of lesions on."""
    hit = [[boxes.box_overlap(one[:4], box) >= LEAST_OVERLAP for one in found] for box in true]
    best = tuple(max((one[4] for one, on in zip(found, row, strict=True) if on), default=0.0) for row in hit)
    stray = tuple(one[4] for number, one in enumerate(found) if not any(row[number] for row in hit))
    return Marks(best, stray, None)


def count(answers: Answers, truth: NDArray[Any], cut: float) -> NDArray[np.int64]:
    """(N, 3): lesions found, lesions missed and false boxes of each film at ``cut``, a probability."""
    rows = []
    for cells, true in zip(answers, truth, strict=True):
        marks = match_marks(boxes.decode_boxes(cells, 0.0, OWN, cut), true)
        found = sum(score > 0.0 for score in marks.hits)
        rows.append((found, len(marks.hits) - found, len(marks.false)))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def f1(rows: NDArray[np.int64]) -> float:
    """2 found / (2 found + missed + false), over all films; 0 without any lesion or box."""
    found, missed, false = (int(one) for one in rows.sum(axis=0))
    return 2.0 * found / max(1, 2 * found + missed + false)


@dataclass(frozen=True, slots=True)
class BoxLoss:
    """Focal loss of the middles (Lin et al. 2017), and of the cells around each how far its sides are off.

    ``found`` are each film's boxes as fractions, in the order of the films. A missed lesion weighs ``miss`` false
    alarms. Films are changed here and not before, as far as ``change`` says, and their boxes move with them.
    """

    found: tuple[Found, ...]
    miss: float
    change: Changes
    beside: None = None
    changes_films: bool = True

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """See :class:`converters.training.fitting.Objective`."""
        import torch
        from torch.nn import functional

        films, found = self.change_films(films, index)
        cells = net(films)[0].float()
        odds, sides = cells[:, 0] + net.bias[0], cells[:, 1:]
        aims = [aim(lesions, cells.shape[2:]) for lesions in found]
        middles, wanted, inside = (
            torch.from_numpy(np.stack(part)).to(cells.device) for part in zip(*aims, strict=True)
        )
        each = functional.binary_cross_entropy_with_logits(odds, middles, reduction="none")
        focused = (1.0 - torch.exp(-each)) ** 2 * each * torch.where(middles > 0.0, self.miss, 1.0)
        lesions = middles.flatten(1).sum(dim=1).clamp_min(1.0)
        off = (functional.l1_loss(sides, wanted, reduction="none").mean(dim=1) * inside).flatten(1).sum(dim=1)
        return focused.flatten(1).sum(dim=1) / lesions + off / inside.flatten(1).sum(dim=1).clamp_min(1.0)

    def change_films(self, films: Tensor, index: NDArray[np.int64]) -> tuple[Tensor, list[Found]]:
        """(B, C, H, W) films and the boxes of rows ``index``, moved together."""
        import torch

        from converters.training.augment import Affine, regrey

        rng = torch.default_generator
        affine = Affine.draw(len(films), self.change, rng)
        found = affine.boxes([self.found[film] for film in index])
        return regrey(affine.films(films.cpu()), self.change, rng).to(films.device), found


def aim(found: Found, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A film's boxes at the map's grid (h, w): 1 where a middle lies; (4, h, w) distances in cells; 1 where they count.

    They count in the middle's cell and its neighbours, so that a peak one cell off still has its sides.
    """
    high, wide = shape
    middles, sides = np.zeros(shape, np.float32), np.zeros((4, high, wide), np.float32)
    inside = np.zeros(shape, np.float32)
    for left, top, right, bottom in found:
        row = min(int((top + bottom) / 2.0 * high), high - 1)
        column = min(int((left + right) / 2.0 * wide), wide - 1)
        for y in range(max(0, row - 1), min(high, row + 2)):
            for x in range(max(0, column - 1), min(wide, column + 2)):
                if (y, x) != (row, column) and inside[y, x]:
                    continue
                middle = (x + 0.5, y + 0.5)
                sides[:, y, x] = (
                    middle[0] - left * wide,
                    middle[1] - top * high,
                    right * wide - middle[0],
                    bottom * high - middle[1],
                )
                inside[y, x] = 1.0
        middles[row, column] = 1.0
    return middles, sides, inside
