"""A model's input from an opened image file: the chosen frames of an image or clip, or one volume of a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging import (
    image_limits,
    image_properties,
    keyframes,
    outside_anatomy,
    quality_checks,
    scan_volumes,
    slices,
    ultrasound_marks,
    ultrasound_sector,
)
from firmware_app.imaging.errors import NO_VOLUME, ImageUnfit
from firmware_app.imaging.image_file import ImageFile
from firmware_app.imaging.input_spec import NO_DEMANDS, Demands, FrameRule, InputSpec
from firmware_app.imaging.keyframes import Keyframes
from firmware_app.imaging.model_input import crop, find_crop, find_view, lay_out, read_model_frame, to_model_input
from firmware_app.imaging.outside_anatomy import Cells
from firmware_app.imaging.ultrasound_sector import Box, Sector

ULTRASOUND: Final = "US"


@dataclass(frozen=True, slots=True)
class ModelFrames:
    """The frames *read*, counted from 0 and in the order of the clip, and their tensors, (n, C, H, W) float32.

    `box`: the part of each frame that the model sees (None: all; a letterbox is larger than the frame).  `coloured`:
    the share of an ultrasound sector drawn in colour; `flow`: the header declares colour flow.  `quality`: the measures
    of which the doctor is warned; `watched`: those by which drift is seen.  `beside`: the `Cells` beside the anatomy,
    (n, …). `weights`: the quality of each frame against the best, empty for one.  `unmarked`: the tensors without
    written marks.
    """

    read: tuple[int, ...]
    tensors: NDArray[np.float32]
    box: Box | None = None
    coloured: float | None = None
    flow: bool = False
    quality: tuple[tuple[str, float], ...] = ()
    beside: Cells | None = None
    weights: tuple[float, ...] = ()
    unmarked: NDArray[np.float32] | None = None
    watched: Mapping[str, float] = field(default_factory=dict)


def prepare_frames(
    film: ImageFile,
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
    fit = quality_checks.LIMITS_BY_MODALITY.get(modality, quality_checks.RADIOGRAPH_LIMITS)
    quality_checks.check_pages(film, clip=is_ultrasound and rule != "middle")
    chosen = _choose_keyframes(film, rule, budget, found, has_sector=has_sector)
    if spec.crop == "sector" and chosen.sector is None:
        spec = replace(spec, crop="whole")  # without a common sector, all frames of a clip are taken whole
    if spec.crop == "frame" and len(chosen.frames) > 1:
        spec = replace(spec, crop="whole")  # frames of a clip are all cut in the same way or not at all
    box = chosen.sector.box if spec.crop == "sector" and chosen.sector is not None else None
    around = None
    if chosen.sector is not None:
        rows, columns = chosen.sector.mask.shape
        around = outside_anatomy.cells_of_sector(
            chosen.sector, find_view(rows, columns, spec, box, film.aspect(chosen.frames[0]))
        )
    unfit, covered, colours = None, box, None
    read: list[int] = []
    tensors: list[NDArray[np.float32]] = []
    measured: list[quality_checks.MeasureValues] = []
    cells: list[Cells | None] = []
    unmarked: list[NDArray[np.float32]] = []
    looks: list[NDArray[np.float32]] = []
    for index in chosen.frames:
        frame = film.grey(index)
        try:
            hidden, aspect = film.read_padding_mask(index), film.aspect(index)
            if spec.crop == "frame":
                box = find_crop(frame, spec, hidden=hidden)
            seen = frame if box is None else crop(frame, box)
            quality_checks.check_size(seen, demands.least_px)
            quality_checks.check_fitness(seen, spec, fit, aspect)
            numbers = quality_checks.measure_frame(seen, demands.kind)
            quality_checks.check_measures(numbers, demands.kind)
            measured.append(numbers)
            given, ends = read_model_frame(film, index, spec, frame)
            tensors.append(to_model_input(given, spec, chosen.sector, hidden=hidden, ends=ends, aspect=aspect))
            if is_ultrasound:
                colours = film.render_frame(index).pixels.ndim == 3 if colours is None else colours
                written = image_properties.find_written_marks(film, index, frame, chosen.sector, colours=colours)
                inked = lay_out(written.astype(np.float32), spec, box, aspect=aspect) > 0
                unmarked.append(ultrasound_marks.paint_over(tensors[-1], inked) if inked.any() else tensors[-1])
            covered = find_view(frame.shape[0], frame.shape[1], spec, box, aspect)
            cells.append(around if has_sector else outside_anatomy.cells_of_radiograph(frame, hidden, covered))
            read.append(index)
            looks.append(keyframes.shrink_frame(seen))
        except ImageUnfit as error:
            unfit = error
    if unfit is not None and not read:
        try:
            raise unfit
        finally:  # its traceback refers to this frame: the cycle would keep the film's words in memory
            del unfit
    if spec.channels == 1:  # a model of colours is made for them
        quality_checks.check_colours(film, read[-1], demands.kind, photographs=demands.photographs)
    numbers = quality_checks.median_measures(measured)
    return ModelFrames(
        read=tuple(read),
        tensors=_stack_tensors(tensors),
        box=covered,
        coloured=image_properties.colour_share(film, read[-1], chosen.sector) if is_ultrasound else None,
        flow=is_ultrasound and image_properties.shows_flow(film),
        quality=image_limits.find_quality_hints(numbers, demands.kind),
        beside=outside_anatomy.stack_cells(cells),
        weights=keyframes.weigh_frames(looks) if len(read) > 1 else (),
        unmarked=_stack_tensors(unmarked)
        if any(one is not other for one, other in zip(unmarked, tensors, strict=False))
        else None,
        watched=image_limits.select_drift_measures(numbers),
    )


def _stack_tensors(tensors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return tensors[0] if len(tensors) == 1 else np.concatenate(tensors)


def _choose_keyframes(
    film: ImageFile, rule: FrameRule, budget: int, found: Sector | None, *, has_sector: bool
) -> Keyframes:
    """Which frames are to be read, and the sector of an ultrasound picture."""
    if not has_sector:
        return keyframes.choose_keyframes(film.grey, film.frames, rule, budget)
    stated = image_properties.header_sector(film)
    if film.frames == 1:
        return Keyframes((0,), found or stated or ultrasound_sector.detect_sector(film.grey(0)))
    return keyframes.choose_keyframes(film.grey, film.frames, rule, budget, stated, find=True)


def prepare_volume(path: Path, frames: int, spec: InputSpec) -> ModelFrames:
    """The volume in the object at *path*, which has *frames*: tensors (1, 1, D, H, W); `read` is its middle frame.

    Every frame must be a slice of one evenly spaced stack: a volume with a gap would be read as another shape.  Raises
    `NO_VOLUME`, and the `ImagingError` of a slice that cannot be decoded.
    """
    stacks = scan_volumes.arrange_slices(slices.read_slices(path), scan_volumes.have_same_pixels).stacks
    if len(stacks) != 1 or len(stacks[0].slices) != frames:
        raise NO_VOLUME(frames=frames, slices=max((len(stack.slices) for stack in stacks), default=0))
    volume = scan_volumes.read_volume(stacks[0]).voxels.astype(np.float32)
    return ModelFrames((frames // 2,), to_model_input(volume, spec))
