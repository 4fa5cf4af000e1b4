"""The task ``lesions``: where each lesion lies and where it ends, and whether the film as a whole shows the finding.

One network gives outlines, boxes, small lesions and the evidence for the film's finding
(:mod:`converters.nets.pyramid`, :mod:`firmware_app.packs.tasks.lesions`).  The first finding is that of the film, whose
class is the recipe's ``positive``; the second is the lesion itself, whatever its kind.  Films without a lesion have an
empty outline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from converters.evaluation import segmentation, threshold
from converters.evaluation.gates import GateResult, verdict_of
from converters.failures import DataUnreadable, GateFailed, RecipeInvalid
from converters.recipe_tables import Table
from converters.statistics import intervals
from converters.statistics.agreement import Statistic
from converters.statistics.lesions import LEAST_OVERLAP, LesionResults, Marks, dice, measure_lesions
from converters.tasks.classify import draw
from converters.tasks.interface import Answers, EvaluatedFilms, Outputs, Task
from firmware_app.imaging.model_input import resize
from firmware_app.imaging.pixel_operations import label_components
from firmware_app.packs.tasks import boxes, classify, lesions
from firmware_app.packs.tasks.interface import FindingPart, Frame, Section
from firmware_app.packs.tasks.lesions import OF_LESIONS, OF_PICTURE, Candidate

if TYPE_CHECKING:
    from torch import nn

    from converters.data.datasets import Film, FilmSet
    from converters.data.predictions import Predictions
    from converters.evaluation.baseline import Baseline
    from converters.nets import CamNet
    from converters.packing.words import FindingWords
    from converters.recipe import Recipe
    from converters.training.fitting import Objective
    from converters.workflow.recipe_run import RecipeRun
    from firmware_app.imaging.model_input import InputSpec

OUTPUTS: Final = ("map", "outline", "boxes", "points")
NETS: Final = {False: "pyramid", True: "pyramid-organ"}
WITH_LESION: Final = "images with a lesion"
FINE: Final = 2
"""How many cells of the outline and the points lie along one of the boxes."""


class Settings(Table):
    """The recipe's table ``[lesions]``.

    ``organ`` names the polygon of the organ in which lesions lie; without it they may lie anywhere.  The detection
    threshold is the lowest with ``false_per_image`` false marks on held-back films.  ``miss``: how many false cells
    weigh as one missed.  ``picture_weight`` is that of the film's finding beside the outlines.
    """

    organ: str | None = None
    false_per_image: float = Field(0.2, gt=0.0)
    miss: float = Field(2.0, gt=0.0)
    picture_weight: float = Field(0.5, ge=0.0)


@dataclass(frozen=True)
class Parts:
    """The answers of one film: the logit that it shows any lesion, and the logits of the detectors."""

    shown: float
    cells: NDArray[np.float32]
    points: NDArray[np.float32]
    outline: NDArray[np.float32]

    @cached_property
    def chances(self) -> NDArray[np.float64]:
        """(L, H, W) probabilities of the outline."""
        return lesions.outline_probabilities(self.outline, len(self.outline))

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The detections, as the box makes them."""
        shown = classify.calibrate(self.shown, boxes.OWN_CALIBRATION)
        return lesions.find_detections(self.cells, self.points, self.chances, shown)


class Lesions(Task):
    """See the module."""

    key = "lesions"
    outputs = OUTPUTS
    Settings = Settings
    marks_away = True

    def __init__(self, organ: str | None = None) -> None:
        self.organ = organ

    def configure(self, recipe: Recipe) -> Task:
        """Configure for the recipe's organ."""
        return Lesions(recipe.settings.organ) if isinstance(recipe.settings, Settings) else self

    def configure_for_pack(self, section: Section) -> Task:
        """Configure for the manifest's organ."""
        return Lesions(section.output.organ or None)

    def check(self, recipe: Recipe) -> None:
        """One network of its own, trained plainly on films that are read whole."""
        self.refuse_cut(recipe)
        if recipe.data.reader != "masks":
            raise ValueError(f'task = "{self.key}" learns from outlines: [data] reader is "masks"')
        if recipe.input.depth is not None:
            raise ValueError(f'task = "{self.key}" reads films, no volumes')
        if recipe.distill or recipe.prune or recipe.net.teacher or recipe.train is None or recipe.train.change.paste:
            raise ValueError(f'task = "{self.key}" trains [net] student alone: no teacher, [distill], [prune] or paste')
        if recipe.train.loss is not None:
            raise ValueError(f'[train] loss: task = "{self.key}" has its own')
        settings = recipe.settings
        wanted = NETS[isinstance(settings, Settings) and settings.organ is not None]
        if recipe.net.student != wanted:
            raise ValueError(f'[net] student is "{wanted}", {"with" if wanted == NETS[True] else "without"} an organ')

    @property
    def shipped(self) -> int:
        """The film's finding, and whether it shows any lesion."""
        return 2

    def subclass(self, film: Film) -> str:
        """The data set's own word: benign and normal are both negative."""
        return film.said

    # --- training -----------------------------------------------------------------------------------------------------

    def targets(self, run: RecipeRun, films: FilmSet) -> Any:
        """:class:`converters.training.lesion_loss.LesionTargets`."""
        from converters.training import targets
        from converters.training.lesion_loss import LesionTargets

        masks = masks_of(films, run.spec.shape, self.organ)
        known = np.array([self.organ is not None and bool(mask[-1].any()) for mask in masks], dtype=np.bool_)
        return LesionTargets(masks.astype(np.uint8), targets.weigh_by_cost(films, run.recipe), known)

    def objective(self, run: RecipeRun, films: FilmSet, targets: Any, net: CamNet) -> Objective:
        """See :mod:`converters.training.lesion_loss`."""
        from converters.training.lesion_loss import LesionLoss

        plan, settings = run.recipe.train, run.recipe.settings
        assert plan is not None
        assert isinstance(settings, Settings)
        return LesionLoss(targets, settings.miss, settings.picture_weight, plan.label_smoothing, plan.change)

    def network(self, given: nn.Module | Path, recipe: Recipe, spec: InputSpec, made: Path) -> CamNet:
        """Refused: only our own networks have the four outputs."""
        raise RecipeInvalid(recipe.pack, f'task = "{self.key}" takes no network from elsewhere')

    # --- what the gates compare ---------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs, biases: NDArray[np.float64]) -> Answers:
        """(N, D): the two logits of the film, boxes, points and outline, one behind the other; see :meth:`parts`."""
        maps, outline, cells, points = (np.asarray(outputs[name], dtype=np.float32) for name in OUTPUTS)
        logits = maps[:, :2].reshape(len(maps), 2, -1).mean(axis=2, dtype=np.float64) + biases[:2]
        return np.concatenate(
            [logits.astype(np.float32), *(array.reshape(len(array), -1) for array in (cells, points, outline))], axis=1
        )

    def parts(self, row: NDArray[np.float32]) -> Parts:
        """One row of :meth:`answers`, in its parts; films are square."""
        count = 2 if self.organ else 1
        coarse = round(((len(row) - 2) / (boxes.CHANNELS + FINE**2 * (3 + count))) ** 0.5)
        fine, first = FINE * coarse, 2 + boxes.CHANNELS * coarse**2
        second = first + 3 * fine**2
        return Parts(
            float(row[1]),
            row[2:first].reshape(-1, coarse, coarse),
            row[first:second].reshape(-1, fine, fine),
            row[second:].reshape(count, fine, fine),
        )

    def scores(self, answers: Answers) -> NDArray[np.float64]:
        """The logit of the film's finding."""
        return np.asarray(answers[:, 0], dtype=np.float64)

    def truth(self, films: FilmSet, answers: Answers) -> NDArray[np.bool_]:
        """(N, L, H, W) masks at the grid of the outline."""
        return masks_of(films, self.parts(answers[0]).outline.shape[1:], self.organ)

    def operating_point(
        self, recipe: Recipe, original: Predictions, answers: Answers, truth: NDArray[Any] | None, outputs: Outputs
    ) -> dict[str, Any]:
        """The finding's calibration by the recipe's rule, the outline's cut, and the detection threshold."""
        assert truth is not None
        assert isinstance(recipe.settings, Settings)
        films, allowed = [self.parts(row) for row in answers], recipe.settings.false_per_image
        share, detect = cuts(films, truth, allowed)
        rule = f"the lowest with at most {allowed:g} false marks an image on {len(films)} held-back images"
        point = {
            **threshold.calibrate(recipe, original.labels, original.logits),
            **draw(outputs["map"], original.labels),
        }
        each = self._each(films, original, outputs, detect, point)
        return {**point, "cut": share, "lesion": {"threshold": detect, "rule": rule}, "each": each}

    def measure_external_lesions(self, recipe: Recipe, home: EvaluatedFilms, away: EvaluatedFilms) -> LesionResults:
        """At the outline's cut and the detection threshold of ``home``, each film of ``away`` at its own size."""
        assert isinstance(recipe.settings, Settings)
        answers = self.answers(home.outputs, home.biases)
        rows = [self.parts(row) for row in answers]
        share, detect = cuts(rows, self.truth(home.films, answers), recipe.settings.false_per_image)
        marks = []
        for film, row in zip(away.films.films, self.answers(away.outputs, away.biases), strict=True):
            truth = film.outline()
            assert truth is not None  # masks_of refuses such a film
            organ = film.outline(self.organ) if self.organ else None
            marks.append(mark(self.parts(row), truth, share, detect, organ))
        return measure_lesions(marks, [film.patient for film in away.films.films])

    def _each(
        self, films: Sequence[Parts], original: Predictions, outputs: Outputs, detect: float, point: Mapping[str, Any]
    ) -> dict[str, float] | None:
        """Platt's calibration of the finding of one lesion, from the evidence in its box; a lesion has the label of its
        film.  ``None`` where too little tells them apart."""
        given, labels = [], []
        for number, (one, logit) in enumerate(zip(films, original.logits, strict=True)):
            evidence = outputs["map"][number]
            bias = float(logit) - float(evidence[0].mean(dtype=np.float64))
            for candidate in one.candidates:
                if candidate.score >= detect:
                    given.append(lesions.mean_evidence(candidate, evidence, 0) + bias)
                    labels.append(int(original.labels[number]))
        known = np.array(labels, dtype=np.int64)
        if len(known) < 2 or known.all() or not known.any():
            return None
        slope, intercept = intervals.platt(known, np.array(given))
        return {"slope": round(slope, 6), "intercept": round(intercept, 6)} if slope > 0.0 else None

    def verdicts(self, baseline: Baseline, answers: Answers) -> list[GateResult]:
        """How much the Dice of what is marked changes, and the share of lesions found."""
        assert baseline.truth is not None
        cut, detect = baseline.point["cut"], baseline.point["lesion"]["threshold"]
        before, after = (
            [mark(self.parts(row), true[0], cut, detect) for row, true in zip(rows, baseline.truth, strict=True)]
            for rows in (baseline.answers, answers)
        )
        held = np.array([bool(marks.hits) for marks in before], dtype=np.int64)
        patients, margin = baseline.original.patients, baseline.gate.dice_loss
        dices = [np.array([film.dice for film in films], dtype=np.float64) for films in (before, after)]
        found = [np.array([sum(hit > 0.0 for hit in film.hits) for film in films]) for films in (before, after)]
        count = np.array([len(marks.hits) for marks in before])
        lost = float((found[1] - found[0]).sum() / count.sum())
        drawn_ = [
            float(weights @ (found[1] - found[0]) / (weights @ count))
            for weights in intervals.resamples(held, patients)
            if weights @ count
        ]
        low, high = (float(value) for value in np.percentile(drawn_, (2.5, 97.5)))
        said = (
            f"lesions found {found[0].sum()} of {count.sum()}, changes by {lost:+.4f} ({low:+.4f} to {high:+.4f}), "
            f"allowed {-margin:+g}"
        )
        return [
            segmentation.dice_gate(dices[0], dices[1], held, patients, margin),
            verdict_of("lesions", lost, low, -margin, said),
        ]

    # --- the pack -----------------------------------------------------------------------------------------------------

    def output(self, point: Mapping[str, Any], features: str | None) -> lesions.Output:
        """The four names and the cut."""
        return lesions.Output(
            **{name: name for name in OUTPUTS},
            features=features,
            full_scale=point["full_scale"],
            cut=point["cut"],
            organ=self.organ or "",
        )

    def finding(self, point: Mapping[str, Any], words: FindingWords) -> lesions.Finding:
        """The finding of the whole film."""
        each = point["each"]
        return lesions.Finding(
            code=words.code,
            label=words.label,
            threshold=point["threshold"],
            threshold_rule=point["rule"],
            priority=words.priority,
            of=OF_PICTURE,
            bias=point["bias"],
            calibration=classify.Calibration(kind="platt", slope=point["slope"], intercept=point["intercept"]),
            each=None if each is None else classify.Calibration(kind="platt", **each),
        )

    def findings(self, point: Mapping[str, Any], words: Sequence[FindingWords]) -> tuple[FindingPart, ...]:
        """The finding of the whole film, then those of the lesions."""
        if len(words) != 2:
            raise ValueError("the words tell two findings: that of the film, then the lesion")
        lesion = lesions.Finding(
            code=words[1].code,
            label=words[1].label,
            threshold=point["lesion"]["threshold"],
            threshold_rule=point["lesion"]["rule"],
            priority=words[1].priority,
            of=OF_LESIONS,
            channel=1,
            bias=point["biases"][1],
            calibration=boxes.OWN_CALIBRATION,
        )
        return (self.finding(point, words[0]), lesion)

    # --- evaluation and the card --------------------------------------------------------------------------------------

    def logit(self, section: Section, outputs: Outputs, frame: Frame) -> float:
        """The film's finding, before calibration."""
        return classify.finding_logit(outputs[section.output.map][0], section.findings[0])

    def box_scores(self, section: Section, outputs: Outputs, frame: Frame) -> NDArray[np.float64]:
        """The film's finding, and the strongest lesion's log odds."""
        lesion = self.answer(section, outputs, frame).findings[1].probability
        return np.array([self.logit(section, outputs, frame), threshold.odds(lesion)])

    def statistics(self, section: Section, box_scores: NDArray[np.float64], films: FilmSet) -> tuple[Statistic, ...]:
        """The AUC of the film's finding among films with a lesion alone, where they are outlined."""
        outlines = [film.outline() for film in films.films]
        held = np.array([outline is not None and bool(outline.any()) for outline in outlines])
        labels = np.array([film.label for film in films.films], dtype=np.int64)[held]
        if not len(labels) or labels.all() or not labels.any():
            return ()
        patients = tuple(film.patient for film, here in zip(films.films, held, strict=True) if here)
        area = intervals.auc(labels, box_scores[held, 0])
        return (Statistic("auc", WITH_LESION, area, intervals.auc_interval(labels, box_scores[held, 0], patients)),)

    def marks(self, section: Section, outputs: Outputs, film: Film) -> Marks | None:
        """What the box marks, against the film's outlines at its own size."""
        truth = film.outline()
        if truth is None:
            return None
        output = section.output
        shown = classify.finding_logit(outputs[output.map][0], section.findings[1])
        parts = Parts(shown, outputs[output.boxes][0], outputs[output.points][0], outputs[output.outline][0])
        organ = film.outline(self.organ) if self.organ else None
        return mark(parts, truth, output.cut, section.findings[1].threshold, organ)

    def decision(self, section: Section) -> str:
        """The formula of the film's finding, and what marks a lesion."""
        finding, lesion = section.findings
        return (
            f"logit = mean(map) + {finding.bias:.6f}; probability = sigmoid({finding.calibration.slope:g} · logit "
            f"{finding.calibration.intercept:+g}) (Platt, fitted on held-back images); positive from "
            f"**{finding.threshold:g}**: {finding.threshold_rule}. `{lesion.code}` ({lesion.label.en}, "
            f"{lesion.label.zh}): marked from the score **{lesion.threshold:g}**, {lesion.threshold_rule}; the score "
            "is no calibrated probability. An outline holds the cells from "
            f"{section.output.cut:g}: the best mean Dice on held-back images with a lesion."
        )

    def picture(self, section: Section) -> str:
        """Outlines, and the heat map's scale."""
        return (
            "Lesions are drawn with their outline; the heat map is drawn at full strength from "
            f"{section.output.full_scale:g} logits a cell."
        )

    def golden_probability(self, recorded: Any, code: str) -> float | None:
        """The probability that golden cases record besides the lesions."""
        return super().golden_probability(recorded.get("findings") if isinstance(recorded, Mapping) else None, code)


task = Lesions()


def masks_of(films: FilmSet, shape: tuple[int, ...], organ: str | None) -> NDArray[np.bool_]:
    """(N, L, H, W): lesions and, with an organ, its outline, empty where a film has none.

    Raises :class:`DataUnreadable` for a film of which nobody says where its lesions are.
    """
    made = []
    for film in films.films:
        lesion = film.outline()
        if lesion is None:
            raise DataUnreadable(film.name, "it has no outline")
        parts = [lesion] if organ is None else [lesion, film.outline(organ)]
        made.append(
            np.stack(
                [
                    np.zeros(shape, dtype=np.bool_) if part is None else resize(part.astype(np.float32), shape) > 0.5
                    for part in parts
                ]
            )
        )
    return np.stack(made)


def mark(
    parts: Parts, truth: NDArray[np.bool_], cut: float, detect: float, organ: NDArray[np.bool_] | None = None
) -> Marks:
    """The detections from the score ``detect`` on, with what the outline has in their boxes, against ``truth`` (H, W).

    A detection without any cell of the outline counts as its box.
    """
    shape, chances = truth.shape, parts.chances
    shown = [candidate for candidate in parts.candidates if candidate.score >= detect]
    outline = chances[0] if chances.shape[1:] == shape else resize(chances[0].astype(np.float32), shape).astype(float)
    masks = [lesions.find_covered_cells(one, outline, cut) for one in shown]
    numbers, count = label_components(truth)
    hit: NDArray[np.bool_] = np.zeros((count, len(shown)), dtype=np.bool_)
    for lesion in range(count):
        true = numbers == lesion + 1
        for place, mask in enumerate(masks):
            both = int((true & mask).sum())
            hit[lesion, place] = both >= LEAST_OVERLAP * (int(true.sum()) + int(mask.sum()) - both)
    scores = np.array([one.score for one in shown])
    best = tuple(float(scores[row].max()) if row.any() else 0.0 for row in hit)
    stray = tuple(float(score) for score, on in zip(scores, np.atleast_1d(hit.any(axis=0)), strict=True) if not on)
    union = np.any(masks, axis=0) if masks else np.zeros(shape, dtype=np.bool_)
    of_organ = None
    if organ is not None and organ.any() and len(chances) > 1:
        of_organ = dice(resize(chances[1].astype(np.float32), shape) >= 0.5, organ)
    return Marks(best, stray, dice(union, truth), of_organ)


def cuts(films: Sequence[Parts], truth: NDArray[np.bool_], false_per_image: float) -> tuple[float, float]:
    """The probability from which a cell is of a lesion, and the score from which a detection is marked.

    Raises :class:`~converters.failures.GateFailed` where no lesion is found there.
    """
    cut = segmentation.best_cut(np.stack([film.outline[0] for film in films]), truth[:, 0])
    share = round(float(threshold.sigmoid(np.array(cut))), 4)
    marks = [mark(one, true[0], share, 0.0) for one, true in zip(films, truth, strict=True)]
    return share, detection_threshold(marks, false_per_image)


def detection_threshold(marks: Sequence[Marks], false_per_image: float) -> float:
    """The lowest score with at most so many false marks an image.

    Raises :class:`~converters.failures.GateFailed` where no lesion is found there.
    """
    stray = np.sort([score for one in marks for score in one.false])[::-1]
    allowed = int(false_per_image * len(marks) + 1e-9)
    cut = float(stray[allowed]) if allowed < len(stray) else lesions.LEAST_SCORE
    if not any(score > cut for one in marks for score in one.hits):
        raise GateFailed("calibrate", f"no lesion is found with {false_per_image:g} false marks an image")
    return min(1.0, float(np.ceil(cut * 1e4 + 1e-6) / 1e4))
