"""One film of a data set as the box would take it: routed, opened, checked, read, or refused with the box's own code.

What a set says of a film stands in for the DICOM header that a picture does not have: the view and the age.  What
neither says is taken as given, as for a picture that a person hands to the box with ``--pack``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters import tasks
from converters.data import volumes
from converters.data.datasets import Film
from converters.evaluation import box_inference
from converters.failures import DataUnreadable
from firmware_app.core.errors import LanternError
from firmware_app.core.records import Header
from firmware_app.dicom import header
from firmware_app.imaging import image_file as box_film
from firmware_app.imaging import model_frames
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.typicality import FamiliarityCheck
from firmware_app.reading.routing import PackCandidate, route


@dataclass(frozen=True, slots=True)
class BoxAnswer:
    """The first finding's score before calibration, ``None`` where no model input can be made of the film; and the code
    of the box's refusal, ``None`` where the box gives a number."""

    score: float | None
    refused: str | None


def run_session(session: Session, film: Film, manifest: Manifest, familiar: FamiliarityCheck | None) -> BoxAnswer:
    """Read a film as the box does, and with the network alone where the box refuses it.

    Raises :class:`DataUnreadable` for a file that a data set should not hold.
    """
    refused = _find_refusal(film, manifest)
    frames: NDArray[np.float32] | None
    try:
        frames = _prepare_tensor(film, manifest)
    except LanternError as error:
        refused, frames = refused or error.code, _make_frames_anyway(film, manifest)
    if frames is None:
        return BoxAnswer(None, refused)
    task = tasks.get(manifest.task).configure_for_pack(manifest.section)
    scores, no_number, _ = box_inference.run_pack(session, frames, task, manifest, familiar)
    return BoxAnswer(float(scores[0]), refused or no_number)


def _find_refusal(film: Film, manifest: Manifest) -> str | None:
    """The code with which the box's routing refuses the film for this pack; ``None`` where it may be read."""
    try:
        route(_header(film), [PackCandidate(manifest.name, manifest.route)], "ask", manifest.name)
    except LanternError as error:
        return str(error.code)
    return None


def _header(film: Film) -> Header:
    """The film's own header, or one made from its data set's table."""
    if film.is_dicom:
        return header.examine_file(film.path).header
    view = dict(film.traits).get("view")
    age = None if film.years is None else f"{film.years:03d}Y"
    return Header("", "", None, None, "", view_position=view, patient_age=age, has_pixels=True)


def _prepare_tensor(film: Film, manifest: Manifest) -> NDArray[np.float32]:
    """The frames that the box feeds, (n, C, …), after its checks; raises what it refuses with, and
    :class:`DataUnreadable`."""
    if film.index is None and volumes.is_volume(film.path):
        return film.tensor(manifest.input)
    rule = manifest.frames
    with _file(film) as path, box_film.open_image_file(path, is_picture=not film.is_dicom) as opened:
        if manifest.input.depth is not None:
            return model_frames.prepare_volume(path, opened.frames, manifest.input).tensors
        modality = (film.modality() if film.is_dicom else "") or manifest.route.modalities[0]
        return model_frames.prepare_frames(
            opened, manifest.input, rule.rule, rule.budget, modality, demands=manifest.quality.demands
        ).tensors


def _make_frames_anyway(film: Film, manifest: Manifest) -> NDArray[np.float32] | None:
    """The frames of a film that the box refuses to read; ``None`` where none can be made."""
    try:
        return box_inference.tensors(film, manifest)
    except (LanternError, DataUnreadable):
        return None


@contextmanager
def _file(film: Film) -> Iterator[Path]:
    """The film's file; a film of an array is put into a PNG first, for the box opens files."""
    if film.index is None:
        yield film.path
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.png"
        Image.fromarray(np.clip(np.rint(film.read()), 0, 255).astype(np.uint8)).save(path)
        yield path
