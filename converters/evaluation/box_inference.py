"""Predict labelled films as the box does: the same checks, crop, grey stretch and familiarity limit.

A DICOM file goes through :mod:`firmware_app.imaging.model_frames`, with its padding, its declared ultrasound region,
the frames that the pack reads and the refusal of images that are no films. Pictures and arrays of a data set have no
headers and are taken as published.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters import tasks
from converters.data import recipe_data
from converters.data.datasets import Film, FilmSet
from converters.data.predictions import Predictions
from converters.evaluation.metrics import calibration_of
from converters.evaluation.threshold import odds
from converters.failures import DataUnreadable
from converters.statistics import lesions
from converters.statistics.agreement import Statistic
from converters.tasks.interface import Outputs, Task
from firmware_app.core.errors import LanternError
from firmware_app.imaging import image_file as box_film
from firmware_app.imaging import model_frames
from firmware_app.imaging.errors import ImageUnfit
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.tasks import classify, interface
from firmware_app.packs.tasks.interface import FindingPart, Frame
from firmware_app.packs.typicality import FamiliarityCheck
from firmware_app.reading.errors import IMAGE_UNFAMILIAR, PACK_UNSURE

Tick = Callable[[int, int], None]
"""Called with how many films are done, and of how many."""


def silent(_done: int, _total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, slots=True)
class BoxPredictions:
    """A pack's outputs for the films that the box would read, in their order.

    ``given`` (N,): whether the film gets a number, being familiar to the pack and the pack being sure of it, where the
    pack says anything of either; ``marks``: outlines, where the pack gives them; ``unfit``: the number of films that
    the box would refuse; ``statistics``: the task's own.
    """

    predictions: Predictions
    given: NDArray[np.bool_] | None
    marks: list[lesions.Marks]
    unfit: int
    statistics: tuple[Statistic, ...] = ()


def predict_films(
    session: Session, films: FilmSet, manifest: Manifest, familiar: FamiliarityCheck | None = None, tick: Tick = silent
) -> BoxPredictions:
    """Ask a loaded model file of a pack, with this manifest, about every film.

    The task decides how a film is scored and how outlines are marked. Raises :class:`DataUnreadable` without any film
    that is fit, or when only some have an outline.
    """
    task = tasks.get(manifest.task).configure_for_pack(manifest.section)
    kept: list[Film] = []
    box_scores: list[NDArray[np.float64]] = []
    refusals: list[str | None] = []
    marks: list[lesions.Marks] = []
    for number, film in enumerate(films.films, 1):
        tick(number, len(films.films))
        try:
            frames = tensors(film, manifest)
        except ImageUnfit:
            continue
        scores, refused, first = run_pack(session, frames, task, manifest, familiar)
        kept.append(film)
        box_scores.append(scores)
        refusals.append(refused)
        if (marked := task.marks(manifest.section, first, film)) is not None:
            marks.append(marked)
    if not kept:
        raise DataUnreadable(films.name, f"there are no films{' that a model may see' if films.films else ''}")
    if marks and len(marks) < len(kept) and not task.needs_outlines:
        marks = []
    if marks and len(marks) < len(kept):
        raise DataUnreadable(films.name, f"{len(kept) - len(marks)} of its films have no outline")
    judged, every = FilmSet(films.name, films.positive, tuple(kept)), np.stack(box_scores)
    predictions = Predictions(
        tuple(film.name for film in kept),
        recipe_data.labels_of(judged),
        tuple(film.patient for film in kept),
        every[:, 0],
        tuple(dict(film.traits) for film in kept),
    )
    two = getattr(manifest.output, "members", None)
    may_refuse = familiar is not None or manifest.abstain is not None or two is not None
    return BoxPredictions(
        predictions,
        np.array([refusal is None for refusal in refusals]) if may_refuse else None,
        marks,
        len(films.films) - len(kept),
        task.statistics(manifest.section, every, judged),
    )


def tensors(film: Film, manifest: Manifest) -> NDArray[np.float32]:
    """The frames of a film that the pack reads, (n, C, H, W).

    Raises :class:`~firmware_app.core.errors.ImageUnfit` and :class:`DataUnreadable`.
    """
    if not film.is_dicom:
        return film.tensor(manifest.input)
    rule = manifest.frames
    try:
        with box_film.open_image_file(film.path, is_picture=False) as opened:
            if manifest.input.depth is not None:
                return model_frames.prepare_volume(film.path, opened.frames, manifest.input).tensors
            return model_frames.prepare_frames(opened, manifest.input, rule.rule, rule.budget, film.modality()).tensors
    except ImageUnfit:
        raise
    except (LanternError, OSError) as error:
        raise DataUnreadable(str(film.path), str(error)) from error


def run_pack(
    session: Session, frames: NDArray[np.float32], task: Task, manifest: Manifest, familiar: FamiliarityCheck | None
) -> tuple[NDArray[np.float64], str | None, Outputs]:
    """The task's scores (:meth:`converters.tasks.interface.Task.box_scores`), the code with which the box would refuse
    a number (``None``: it gives one), and the model file's output for the first frame."""
    box_scores: list[NDArray[np.float64]] = []
    away: list[float] = []
    doubts: list[bool] = []
    first: Outputs = {}
    for frame in frames:
        given = session.infer({manifest.input.name: frame[np.newaxis]})
        first = first or given
        box_scores.append(task.box_scores(manifest.section, given, Frame(*frame.shape[-2:])))
        members = getattr(manifest.output, "members", None)
        doubts.append(members is not None and task.answer(manifest.section, given, Frame(*frame.shape[-2:])).unsure)
        if familiar is not None:
            away.append(familiar.model.distance(given[manifest.output.features or ""].reshape(-1)))
    counted = interface.select_familiar(away, familiar.limit) if familiar is not None else tuple(range(len(box_scores)))
    shown, pooled = np.stack([box_scores[place] for place in counted or range(len(box_scores))]), box_scores[0].copy()
    for number, finding in enumerate(manifest.findings[: len(pooled)]):
        pooled[number] = _together(shown[:, number].tolist(), manifest, finding)
    if counted and 2 * sum(doubts[place] for place in counted) >= len(counted):
        return pooled, PACK_UNSURE.code, first
    return pooled, (_refusal(pooled, manifest) if counted else IMAGE_UNFAMILIAR.code), first


def _refusal(scores: NDArray[np.float64], manifest: Manifest) -> str | None:
    """The code of a film that is familiar, if the pack is not sure of it."""
    if manifest.abstain is None:
        return None
    share = classify.calibrate(float(scores[0]), calibration_of(manifest.findings[0]))
    return PACK_UNSURE.code if manifest.abstain.is_unsure(share) else None


def _together(logits: list[float], manifest: Manifest, finding: FindingPart) -> float:
    """Pool the logits of the counted frames into one, as the box pools their probabilities."""
    if len(logits) == 1:
        return logits[0]
    fit = calibration_of(finding)
    share = interface.aggregate_probabilities([classify.calibrate(logit, fit) for logit in logits], manifest.frames)
    return (odds(share) - fit.intercept) / fit.slope
