"""A model's input from an opened image file: the chosen frames, cut to the sector or whole, as one stack of tensors."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import ImageUnfit
from firmware_app.imaging.film import Film
from firmware_app.imaging.input_spec import NO_DEMANDS, Demands, FrameRule, InputSpec
from firmware_app.imaging.model_input import cut, frame_of, laid, part, to_model_input, view
from firmware_app.imaging.quality import beside, fitness, judge, limits
from firmware_app.imaging.quality.beside import Cells
from firmware_app.imaging.ultrasound import keyframes, marks, opened, sector
from firmware_app.imaging.ultrasound.keyframes import Keyframes
from firmware_app.imaging.ultrasound.sector import Box, Sector

ULTRASOUND: Final = "US"


@dataclass(frozen=True, slots=True)
class ModelFrames:
    """The frames *read*, counted from 0 and in the order of the clip, and their tensors, (n, C, H, W) float32.

    `box` is the part of each frame that the model sees (None: all of it; a letterbox is larger than the frame).  For
    ultrasound, `coloured` is the share of the sector drawn in colour, and `flow` says that the header declares colour
    flow.  `quality` holds the measures that the doctor is warned of, each with its number; `watched` those of every
    image, from which drift is seen.  `beside` are the `Cells`,
    (n, …), of the model's input beside the anatomy; None where there are none or no sector was detected.  `weights` are
    the quality of each frame against the best of them; empty where one was read.  `unmarked` are the tensors of
    ultrasound frames with the marks in the sector painted over; None where there are none.
    """

    read: tuple[int, ...]
    tensors: NDArray[np.float32]
    decode_ms: float
    prepare_ms: float
    box: Box | None = None
    coloured: float | None = None
    flow: bool = False
    quality: tuple[tuple[str, float], ...] = ()
    beside: Cells | None = None
    weights: tuple[float, ...] = ()
    unmarked: NDArray[np.float32] | None = None
    watched: Mapping[str, float] = field(default_factory=dict)


def taken(
    film: Film,
    spec: InputSpec,
    rule: FrameRule = "middle",
    budget: int = 1,
    modality: str = "",
    *,
    demands: Demands = NO_DEMANDS,
    found: Sector | None = None,
) -> ModelFrames:
    """Choose the frames, check their quality and make the tensors.  Unfit frames of a clip are left out.

    *found* is the sector of a single frame, where earlier frames of the same examination have shown it.

    Raises `ImageUnfit` when none is left, and any other `ImagingError`.
    """
    is_ultrasound = modality == ULTRASOUND
    has_sector = is_ultrasound or spec.crop == "sector"
    fit = fitness.OF_MODALITY.get(modality, fitness.FILM)
    judge.check_pages(film, clip=is_ultrasound and rule != "middle")
    begun = time.perf_counter()
    chosen = _chosen(film, rule, budget, found, has_sector=has_sector)
    if spec.crop == "sector" and chosen.sector is None:
        spec = replace(spec, crop="whole")  # without a common sector, all frames of a clip are taken whole
    if spec.crop == "frame" and len(chosen.frames) > 1:
        spec = replace(spec, crop="whole")  # frames of a clip are all cut in the same way or not at all
    box = chosen.sector.box if spec.crop == "sector" and chosen.sector is not None else None
    around = None
    if chosen.sector is not None:
        rows, columns = chosen.sector.mask.shape
        around = beside.of_sector(chosen.sector, view(rows, columns, spec, box, film.aspect(chosen.frames[0])))
    decoding = time.perf_counter() - begun
    preparing, unfit, covered, colours = 0.0, None, box, None
    read: list[int] = []
    tensors: list[NDArray[np.float32]] = []
    measured: list[judge.Numbers] = []
    cells: list[Cells | None] = []
    unmarked: list[NDArray[np.float32]] = []
    looks: list[NDArray[np.float32]] = []
    for index in chosen.frames:
        begun = time.perf_counter()
        frame = film.grey(index)
        decoded = time.perf_counter()
        try:
            hidden, aspect = film.hidden(index), film.aspect(index)
            if spec.crop == "frame":
                box = part(frame, spec, hidden=hidden)
            seen = frame if box is None else cut(frame, box)
            fitness.check_size(seen, demands.least_px)
            fitness.check(seen, spec, fit, aspect)
            numbers = judge.measured(seen, demands.kind)
            judge.check(numbers, demands.kind)
            measured.append(numbers)
            given, ends = frame_of(film, index, spec, frame)
            tensors.append(to_model_input(given, spec, chosen.sector, hidden, ends, aspect))
            if is_ultrasound:
                colours = film.shown(index).pixels.ndim == 3 if colours is None else colours
                written = opened.written(film, index, frame, chosen.sector, colours=colours)
                inked = laid(written.astype(np.float32), spec, box, aspect=aspect) > 0
                unmarked.append(marks.painted_over(tensors[-1], inked) if inked.any() else tensors[-1])
            covered = view(frame.shape[0], frame.shape[1], spec, box, aspect)
            cells.append(around if has_sector else beside.of_film(frame, hidden, covered))
            read.append(index)
            looks.append(keyframes.small(seen))
        except ImageUnfit as error:
            unfit = error
        decoding, preparing = decoding + decoded - begun, preparing + time.perf_counter() - decoded
    if unfit is not None and not read:
        try:
            raise unfit
        finally:  # its traceback refers to this frame: the cycle would keep the film's words in memory
            del unfit
    if spec.channels == 1:  # a model of colours is made for them
        judge.check_colours(film, read[-1], demands.kind, photographs=demands.photographs)
    numbers = judge.of_frames(measured)
    return ModelFrames(
        tuple(read),
        _stack(tensors),
        1e3 * decoding,
        1e3 * preparing,
        covered,
        opened.colour_share(film, read[-1], chosen.sector) if is_ultrasound else None,
        is_ultrasound and opened.shows_flow(film),
        limits.fired(numbers, demands.kind),
        beside.stacked(cells),
        keyframes.weights(looks) if len(read) > 1 else (),
        _stack(unmarked) if any(one is not other for one, other in zip(unmarked, tensors, strict=False)) else None,
        limits.watched(numbers),
    )


def _stack(tensors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return tensors[0] if len(tensors) == 1 else np.concatenate(tensors)


def _chosen(film: Film, rule: FrameRule, budget: int, found: Sector | None, *, has_sector: bool) -> Keyframes:
    """Which frames are to be read, and the sector of an ultrasound picture."""
    if not has_sector:
        return keyframes.chosen(film.grey, film.frames, rule, budget)
    stated = opened.stated_sector(film)
    if film.frames == 1:
        return Keyframes((0,), found or stated or sector.of_still(film.grey(0)))
    return keyframes.chosen(film.grey, film.frames, rule, budget, stated, find=True)
