"""A labelled film on the way that the box takes: fit for a model at all, cut, stretched, and familiar to the pack.

A DICOM file goes through :mod:`firmware_app.imaging.for_model`, with its padding, its told ultrasound region, the
frames that the pack reads and the refusal of what can be no film.  Pictures and arrays of a data set say nothing of
themselves, and are taken as published.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.data import material
from converters.data.datasets import Film, FilmSet
from converters.data.predictions import Predictions
from converters.evaluation.outlines import strongest
from converters.failures import DataUnreadable
from converters.statistics import lesions
from firmware_app.errors import ImageUnfit, LanternError
from firmware_app.imaging import film as box_film
from firmware_app.imaging import for_model
from firmware_app.imaging.model_input import fitted, to_model_input
from firmware_app.packs.familiar import Familiar
from firmware_app.packs.manifest import Manifest
from firmware_app.runtimes.interface import Session
from firmware_app.tasks import classify, clips
from firmware_app.tasks.classify import FindingSpec

Tick = Callable[[int, int], None]
"""Called with how many films are done, and of how many."""


def silent(_done: int, _total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a pack said of films: of those that are fit for a model, in their order.

    ``familiar`` (N,): whether the box would give the number, where the pack says what its films look like; ``marks``
    where it outlines; ``unfit``: how many films no model may see.
    """

    predictions: Predictions
    familiar: NDArray[np.bool_] | None
    marks: list[lesions.Marks]
    unfit: int


def said(
    session: Session, films: FilmSet, told: Manifest, familiar: Familiar | None = None, tick: Tick = silent
) -> Said:
    """Ask a loaded model file of a pack, whose manifest is ``told``, about every film.

    A file that outlines lesions is scored by its strongest cell, and on films with outlines also by its marks. Raises
    :class:`DataUnreadable` without any film that is fit, or when only some have an outline.
    """
    kept: list[Film] = []
    logits: list[float] = []
    near: list[bool] = []
    marks: list[lesions.Marks] = []
    for number, film in enumerate(films.films, 1):
        tick(number, len(films.films))
        try:
            frames = tensors(film, told)
        except ImageUnfit:
            continue
        logit, known, activation = _asked(session, frames, told, familiar)
        kept.append(film)
        logits.append(logit)
        near.append(known)
        truth = film.outlined() if str(told.task) == "segment" else None
        if truth is not None:
            marks.append(_marked(activation, truth, told.section.findings[0]))
    if not kept:
        raise DataUnreadable(films.name, f"there are no films{' that a model may see' if films.films else ''}")
    if marks and len(marks) < len(logits):
        raise DataUnreadable(films.name, f"{len(logits) - len(marks)} of its films have no outline")
    predictions = Predictions(
        tuple(film.name for film in kept), material.labels_of(FilmSet(films.name, films.positive, tuple(kept))),
        tuple(film.patient for film in kept), np.array(logits), tuple(dict(film.traits) for film in kept),
    )  # fmt: skip
    return Said(predictions, None if familiar is None else np.array(near), marks, len(films.films) - len(kept))


def tensors(film: Film, told: Manifest) -> NDArray[np.float32]:
    """The frames of a film that the pack reads, (n, C, H, W).

    Raises :class:`~firmware_app.errors.ImageUnfit` and :class:`DataUnreadable`.
    """
    if not film.is_dicom:
        return to_model_input(film.read(), told.input)
    rule = told.frames
    try:
        with box_film.opened(film.path, is_picture=False) as opened:
            return for_model.taken(opened, told.input, rule.rule, rule.budget, film.modality()).tensors
    except ImageUnfit:
        raise
    except (LanternError, OSError) as error:
        raise DataUnreadable(str(film.path), str(error)) from error


def _asked(
    session: Session, frames: NDArray[np.float32], told: Manifest, familiar: Familiar | None
) -> tuple[float, bool, NDArray[np.float32]]:
    """The logit, whether the box would tell it, and the activation map of the first frame."""
    finding = told.section.findings[0]
    outlined = str(told.task) == "segment"
    logits: list[float] = []
    away: list[float] = []
    maps: list[NDArray[np.float32]] = []
    for frame in frames:
        given = session.infer({told.input.name: frame[np.newaxis]})
        maps.append(given[told.section.output.map][0])
        logits.append(strongest(maps[-1], finding) if outlined else classify.logit(maps[-1], finding))
        if familiar is not None:
            away.append(familiar.model.distance(given[told.output.features or ""].reshape(-1)))
    counted = clips.familiar(away, familiar.limit) if familiar is not None else tuple(range(len(logits)))
    shown = [logits[at] for at in counted or range(len(logits))]
    return _together(shown, told, finding), bool(counted), maps[0]


def _together(logits: list[float], told: Manifest, finding: FindingSpec) -> float:
    """One logit of those of the frames that count, as the box makes one probability of theirs."""
    if len(logits) == 1:
        return logits[0]
    share = clips.aggregate([classify.probability(one, finding.calibration) for one in logits], told.frames)
    share = min(max(share, 1e-12), 1.0 - 1e-12)
    return (math.log(share / (1.0 - share)) - finding.calibration.intercept) / finding.calibration.slope


def _marked(activation: NDArray[np.float32], truth: NDArray[np.bool_], finding: FindingSpec) -> lesions.Marks:
    cells, fit = activation[finding.channel] + finding.bias, finding.calibration
    return lesions.marked(shown_on(cells, truth.shape, fit.slope, fit.intercept), truth, finding.threshold)


def shown_on(cells: NDArray[np.float32], shape: tuple[int, ...], slope: float, intercept: float) -> NDArray[np.float32]:
    """(h, w) logits → calibrated probabilities at the film's own (H, W), as a mask of it is judged."""
    chances = 1.0 / (1.0 + np.exp(-np.clip(slope * cells + intercept, -60.0, 60.0)))
    return fitted(chances.astype(np.float32), shape)
