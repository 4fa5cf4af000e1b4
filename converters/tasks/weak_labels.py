"""From image labels to candidate boxes: the cut above which a place of the activation map is marked.

No outline is needed, nor looked at.  On a held-back film without the finding every mark is false, whatever it lies on;
so the cut is the lowest with at most ``false_per_image`` marks on such a film.  A place's score is the calibrated
chance (Platt 1999) that a film with such a strongest cell shows the finding, fitted to the same films' labels.

How far a place reaches cannot be learnt from labels either.  It is a convention: to half of the strongest cell, as a
peak's width is told everywhere else.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import Film
from converters.failures import GateFailed
from converters.statistics import intervals
from converters.statistics.lesions import Marks, cut_at
from converters.tasks import boxes
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.classify import Calibration, MarksSpec

REACH: Final = 0.5
"""A place's cells have at least this share of the picture's strongest cell."""


def choose(
    cells: NDArray[np.float32],
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    shown: NDArray[np.bool_],
    false_per_image: float,
) -> dict[str, Any]:
    """The finding's ``marks`` in the manifest, as JSON.

    ``cells`` (N, h, w) are its channel of the map and ``logits`` (N,) its scores on films that the networks had not
    seen, ``labels`` (N,) 0 or 1, ``shown`` (N,) which of them its threshold calls positive.  Raises
    :class:`~converters.failures.GateFailed` where places cannot be told apart.
    """
    if cells[0].size == 1:
        raise GateFailed("calibrate", "a map of one cell shows no places: leave out [classify] false_per_image")
    evidence = cells.astype(np.float64)
    evidence += (logits - evidence.mean(axis=(1, 2)))[:, np.newaxis, np.newaxis]  # each network's own bias
    slope, intercept = intervals.platt(labels, evidence.max(axis=(1, 2)))
    if slope <= 0.0:
        raise GateFailed("calibrate", "a stronger place of the map does not mean the finding: there is nothing to mark")
    calibration = Calibration(kind="platt", slope=round(slope, 6), intercept=round(intercept, 6))
    every = MarksSpec(calibration=calibration, threshold=0.0, threshold_rule="none", reach=REACH)
    scores = [
        [candidate_box[4] for candidate_box in classify.find_candidate_boxes(film, every)] if is_shown else []
        for film, is_shown in zip(evidence, shown, strict=True)
    ]
    stray = [score for film, label in zip(scores, labels, strict=True) if not label for score in film]
    without = int((labels == 0).sum())
    cut = min(1.0, float(np.ceil(cut_at(stray, without, false_per_image) * 1e4 + 1e-6) / 1e4))
    if not any(score >= cut for film, label in zip(scores, labels, strict=True) if label for score in film):
        raise GateFailed("calibrate", f"with {false_per_image:g} marks an image without the finding none is left")
    rule = f"the lowest with at most {false_per_image:g} marks an image on {without} held-back images without it"
    return every.model_copy(update={"threshold": cut, "threshold_rule": rule}).model_dump(mode="json")


def judge(evidence: NDArray[np.float64] | None, marks: MarksSpec, film: Film) -> Marks | None:
    """The candidate boxes of a film against its lesions; ``None`` where it has no outlines.

    ``evidence`` (h, w) are the finding's cells, ``None`` where the finding is negative.
    """
    if film.boxes is None and film.mask is None:
        return None
    return boxes.match_marks(
        [] if evidence is None else classify.find_candidate_boxes(evidence, marks), boxes.fractions(film)
    )
