"""Volumes: arrange the slices of a scan by position, and read their voxels; for a CT in Hounsfield units.

Slices are ordered by position, never by instance number or file name.  Those that fail a check of even spacing are left
out with a code, because a volume with a gap or an overlap gives wrong sizes without looking wrong.  Voxels are int16
where all values are whole numbers, else float32.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import ImagingError
from firmware_app.core.records import Reason
from firmware_app.imaging import dicom_image
from firmware_app.imaging.errors import (
    LOCALIZER_LEFT_OUT,
    NOT_HOUNSFIELD,
    SLICES_ASKEW,
    SLICES_MISSING,
    SLICES_TOO_FEW,
    SLICES_TWICE,
    SPACING_UNEVEN,
    VOLUME_TOO_LARGE,
    SeriesUnfit,
)
from firmware_app.imaging.slices import ExcludedFrame, Slice, Vector

SamePixels = Callable[[Slice, Slice], bool]
"""Whether two slices have the same pixels (`have_same_pixels`)."""

LEAST_SLICES: Final = 2
_SAME_DIRECTION: Final = 2e-3  # about radians: cosines are often written with three digits
_SAME_PIXEL: Final = 1e-3  # of the value
_SAME_PLACE_MM: Final = 0.01
_UNEVEN: Final = 0.05  # of the step
_ROUNDED_MM: Final = 0.12  # allowed error of a step between positions rounded to a tenth of a millimetre, …
_ROUNDED: Final = 0.3  # … but at most this share of the step
_WHOLE: Final = 0.1  # how close to a whole number of steps a gap must be to count as missing slices
_PERPENDICULAR: Final = 0.1  # cosine of the angle between two normals below which the planes count as perpendicular
_LOCALIZERS: Final = 3
_STEEPEST: Final = 45.0  # degrees; gantries tilt up to 30


@dataclass(frozen=True, slots=True)
class SliceStack:
    """Slices in order along their `normal`, evenly `step` apart (LPS, mm): at least `LEAST_SLICES`."""

    slices: tuple[Slice, ...]
    step: Vector

    @property
    def unit(self) -> str:
        """ "HU" where the values of every slice are Hounsfield units."""
        return "HU" if all(slice_.unit == "HU" for slice_ in self.slices) else ""


@dataclass(frozen=True, slots=True)
class ArrangedSeries:
    """The volumes of a series, the largest first, and every frame that is in none."""

    stacks: tuple[SliceStack, ...]
    left_out: tuple[ExcludedFrame, ...]


def arrange_slices(slices: Iterable[Slice | ExcludedFrame], alike: SamePixels) -> ArrangedSeries:
    """Arrange the results of `slices.read_slices`; *alike* is called only for slices in the same position."""
    left_out: list[ExcludedFrame] = []
    whole: list[Slice] = []
    for slice_ in slices:
        if isinstance(slice_, ExcludedFrame):
            left_out.append(slice_)
        else:
            whole.append(slice_)
    groups = _drop_crossing_groups(_group_slices(whole), left_out)
    stacks: list[SliceStack] = []
    for group in groups:
        try:
            for single in _split_passes(_drop_duplicates(group, alike)):
                _add_stack(single, stacks, left_out)
        except SeriesUnfit as error:
            _leave_out(group, error, left_out)
    stacks.sort(key=lambda stack: -len(stack.slices))
    return ArrangedSeries(tuple(stacks), tuple(left_out))


def _add_stack(group: list[Slice], stacks: list[SliceStack], left_out: list[ExcludedFrame]) -> None:
    try:
        stacks.append(SliceStack(tuple(group), _step(group)))
    except SeriesUnfit as error:
        _leave_out(group, error, left_out)


def _leave_out(group: Iterable[Slice], error: SeriesUnfit, left_out: list[ExcludedFrame]) -> None:
    left_out += [ExcludedFrame(one.path, one.frame, Reason.from_error(error)) for one in group]


def _group_slices(whole: Iterable[Slice]) -> list[list[Slice]]:
    """Slices of one kind together, each group ordered by position along the normal, the largest group first."""
    groups: dict[tuple[object, ...], list[list[Slice]]] = defaultdict(list)
    for one in whole:
        kin = groups[(one.belongs, one.modality, one.rows, one.columns)]
        for group in kin:
            if _same_plane(group[0], one):
                group.append(one)
                break
        else:
            kin.append([one])
    ordered = [group for kin in groups.values() for group in kin]
    for group in ordered:
        normal = group[0].normal
        group.sort(key=lambda one: (float(one.place @ normal), one.instance, one.frame))
    return sorted(ordered, key=lambda group: -len(group))


def _same_plane(one: Slice, other: Slice) -> bool:
    directions = np.subtract(one.across + one.down, other.across + other.down)
    pixels = np.divide(one.pixel_mm, other.pixel_mm) - 1
    return bool(np.abs(directions).max() <= _SAME_DIRECTION and np.abs(pixels).max() <= _SAME_PIXEL)


def _drop_crossing_groups(groups: list[list[Slice]], left_out: list[ExcludedFrame]) -> list[list[Slice]]:
    """The groups without small ones perpendicular to the largest: these are localizers not labelled as such."""
    kept = groups[:1]
    for group in groups[1:]:
        if (
            len(group) <= _LOCALIZERS < len(groups[0])
            and abs(float(group[0].normal @ groups[0][0].normal)) < _PERPENDICULAR
        ):
            _leave_out(group, LOCALIZER_LEFT_OUT(), left_out)
        else:
            kept.append(group)
    return kept


def _drop_duplicates(group: Sequence[Slice], alike: SamePixels) -> list[Slice]:
    """*group*, in order, without duplicates: slices with the same position and pixels as one before."""
    kept: list[Slice] = []
    for one in group:
        twins = takewhile(lambda other, one=one: _same_place(one, other), reversed(kept))  # type: ignore[misc]
        if not any(_same_object(one, other) or alike(one, other) for other in twins):
            kept.append(one)
    return kept


def _same_place(one: Slice, other: Slice) -> bool:
    return all(abs(a - b) <= _SAME_PLACE_MM for a, b in zip(one.position, other.position, strict=True))


def _same_object(one: Slice, other: Slice) -> bool:
    return one.instance == other.instance and one.frame == other.frame


def _split_passes(group: list[Slice]) -> list[list[Slice]]:
    """*group* unchanged if each position occurs once, else split by the first attribute that achieves this.

    Raises `SLICES_TWICE` where no attribute does.
    """
    twice = _count_repeated(group)
    if not twice:
        return [group]
    for number in range(len(group[0].passes)):
        single: dict[str, list[Slice]] = defaultdict(list)
        for one in group:
            single[one.passes[number]].append(one)
        if len(single) > 1 and not any(_count_repeated(members) for members in single.values()):
            return list(single.values())
    raise SLICES_TWICE(slices=twice)


def _count_repeated(group: Sequence[Slice]) -> int:
    """How many slices are in the same plane as the slice before."""
    along = np.asarray([one.place @ group[0].normal for one in group])
    return int((np.diff(along) <= _SAME_PLACE_MM).sum())


def _step(group: Sequence[Slice]) -> Vector:
    """The vector from each slice to the next; raises a subclass of `SeriesUnfit` where the spacing is uneven."""
    if len(group) < LEAST_SLICES:
        raise SLICES_TOO_FEW(slices=len(group), least=LEAST_SLICES)
    places, normal = np.asarray([one.position for one in group]), group[0].normal
    _check_even(np.diff(places @ normal))
    step = (places[-1] - places[0]) / (len(group) - 1)
    if _tilt(step, normal) > _STEEPEST:
        raise SLICES_ASKEW(off_mm=round(float(np.linalg.norm(step - (step @ normal) * normal)), 2))
    off = np.abs(places - (places[0] + np.arange(len(group))[:, np.newaxis] * step)).max()
    if off > _slack(float(step @ normal)):
        raise SLICES_ASKEW(off_mm=round(float(off), 2))
    x, y, z = (float(value) for value in step)
    return x, y, z


def _check_even(steps: NDArray[np.float64]) -> None:
    """Raise `SLICES_MISSING` or `SPACING_UNEVEN` unless all *steps* are equal within the rounding of positions.

    Single gaps of a whole number of steps are missing slices.  Several long steps in a row mean that the series was
    scanned with uneven spacing.
    """
    step = float(np.median(steps[steps <= (1 + _WHOLE) * steps.min()]))
    slack = _slack(step)
    wide = steps > step + slack
    if not wide.any() and steps.min() >= step - slack:
        return
    counts = np.rint(steps / step)
    is_whole = bool((np.abs(steps - counts * step) <= np.maximum(slack, _WHOLE * step)).all())
    if is_whole and not (wide[1:] & wide[:-1]).any():
        raise SLICES_MISSING(missing=int((counts - 1).sum()), step_mm=round(step, 3))
    raise SPACING_UNEVEN(least_mm=round(float(steps.min()), 3), most_mm=round(float(steps.max()), 3))


def _slack(step: float) -> float:
    return max(_UNEVEN * step, min(_ROUNDED_MM, _ROUNDED * step))


def _tilt(step: NDArray[np.float64], normal: NDArray[np.float64]) -> float:
    along = abs(float(step @ normal))
    return float(np.degrees(np.arctan2(np.linalg.norm(step - (step @ normal) * normal), along)))


LARGEST_BYTES: Final = 640 * 1024 * 1024
"""The limit of one volume, in a child process with 1024 MB (`[reader] memory_mb`)."""
AIR_HU: Final = -1000.0
_INT16: Final = np.iinfo(np.int16)

Voxels = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Volume:
    """`voxels` are (slice, row, column); `stack` gives their positions and sizes; `unit` is "HU" or ""."""

    voxels: Voxels
    stack: SliceStack

    @property
    def unit(self) -> str:
        return self.stack.unit


def read_volume(stack: SliceStack) -> Volume:
    """The rescaled values of every voxel, each slice with its own rescale; padding becomes air (CT) or the minimum.

    Raises `VOLUME_TOO_LARGE`, or the `ImagingError` of a slice that cannot be decoded.
    """
    first = stack.slices[0]
    shape = (len(stack.slices), first.rows, first.columns)
    is_whole = all(slice_.whole for slice_ in stack.slices)
    voxels: Voxels = np.empty(shape, _check_size(np.int16 if is_whole else np.float32, shape))
    with warnings.catch_warnings():  # the libraries' warnings quote header values
        warnings.simplefilter("ignore")
        for number, frame in enumerate(_read_frames(stack)):
            if voxels.dtype == np.int16 and not (_INT16.min <= frame.min() and frame.max() <= _INT16.max):
                voxels = voxels.astype(_check_size(np.float32, shape))
            voxels[number] = frame
    return Volume(voxels, stack)


def read_hounsfield_volume(stack: SliceStack) -> Volume:
    """As `read_volume`, for values in Hounsfield units; raises `NOT_HOUNSFIELD` too."""
    for slice_ in stack.slices:
        if slice_.doubt:
            raise NOT_HOUNSFIELD(detail=slice_.doubt)
    return read_volume(stack)


def have_same_pixels(one: Slice, other: Slice) -> bool:
    """Whether two slices have the same values; False also where one cannot be decoded."""
    try:
        with dicom_image.open_dicom_image(one.path) as film, dicom_image.open_dicom_image(other.path) as beside:
            return bool(np.array_equal(film.read_modality_values(one.frame), beside.read_modality_values(other.frame)))
    except ImagingError:
        return False


def _check_size(kind: type[np.generic], shape: tuple[int, int, int]) -> np.dtype[Any]:
    """*kind* as a dtype, if a volume of *shape* fits into memory with it; raises `VOLUME_TOO_LARGE`."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    if size > LARGEST_BYTES:
        raise VOLUME_TOO_LARGE(slices=shape[0], megabytes=size >> 20)
    return np.dtype(kind)


def _read_frames(stack: SliceStack) -> Iterator[NDArray[np.float32]]:
    """The slices' values in order; a file with several consecutive slices is opened once."""
    opened: Path | None = None
    with ExitStack() as files:
        film: dicom_image.DicomImage
        for slice_ in stack.slices:
            if slice_.path != opened:
                files.close()
                film = files.enter_context(dicom_image.open_dicom_image(slice_.path))
                opened = slice_.path
            frame = film.read_modality_values(slice_.frame)
            hidden = film.read_padding_mask(slice_.frame)
            if hidden is not None:
                frame[hidden] = AIR_HU if stack.unit == "HU" else frame[~hidden].min()
            yield frame
