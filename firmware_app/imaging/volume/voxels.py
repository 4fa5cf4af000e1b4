"""The voxels of a stack, read a slice at a time; for a CT in Hounsfield units.

They are int16 (2 bytes per voxel) where all values are whole numbers, else float32 (4 bytes).  The rare volume with a
whole number outside int16 is converted when that value is read.  Only the volume and the current slice are in memory.
512 slices of 512 × 512 voxels take 256 MiB as int16 and 512 MiB as float32.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import ImagingError, NotHounsfield, VolumeTooLarge
from firmware_app.imaging import dicom_film
from firmware_app.imaging.volume.series import Stack
from firmware_app.imaging.volume.slices import Slice

LARGEST_BYTES: Final = 640 * 1024 * 1024
"""The limit of one volume, in a child process with 1024 MB (`[reader] memory_mb`)."""
AIR_HU: Final = -1000.0
_INT16: Final = np.iinfo(np.int16)

Voxels = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Volume:
    """`voxels` are (slice, row, column); `stack` gives their positions and sizes; `unit` is "HU" or ""."""

    voxels: Voxels
    stack: Stack

    @property
    def unit(self) -> str:
        return self.stack.unit


def read(stack: Stack) -> Volume:
    """The rescaled values of every voxel, each slice with its own rescale; padding becomes air (CT) or the minimum.

    Raises `VolumeTooLarge`, or the `ImagingError` of a slice that cannot be decoded.
    """
    first = stack.slices[0]
    shape = (len(stack.slices), first.rows, first.columns)
    is_whole = all(one.whole for one in stack.slices)
    voxels: Voxels = np.empty(shape, _checked(np.int16 if is_whole else np.float32, shape))
    with warnings.catch_warnings():  # the libraries' warnings quote header values
        warnings.simplefilter("ignore")
        for number, frame in enumerate(_frames(stack)):
            if voxels.dtype == np.int16 and not (_INT16.min <= frame.min() and frame.max() <= _INT16.max):
                voxels = voxels.astype(_checked(np.float32, shape))
            voxels[number] = frame
    return Volume(voxels, stack)


def hounsfield(stack: Stack) -> Volume:
    """As `read`, for values in Hounsfield units; raises `NotHounsfield` too."""
    for one in stack.slices:
        if one.doubt:
            raise NotHounsfield(detail=one.doubt)
    return read(stack)


def same_pixels(one: Slice, other: Slice) -> bool:
    """Whether two slices have the same values; False also where one cannot be decoded."""
    try:
        with dicom_film.opened(one.path) as film, dicom_film.opened(other.path) as beside:
            return bool(np.array_equal(film.measured(one.frame), beside.measured(other.frame)))
    except ImagingError:
        return False


def _checked(kind: type[np.generic], shape: tuple[int, int, int]) -> np.dtype[Any]:
    """*kind* as a dtype, if a volume of *shape* fits into memory with it; raises `VolumeTooLarge`."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    if size > LARGEST_BYTES:
        raise VolumeTooLarge(slices=shape[0], megabytes=size >> 20)
    return np.dtype(kind)


def _frames(stack: Stack) -> Iterator[NDArray[np.float32]]:
    """The slices' values in order; a file with several consecutive slices is opened once."""
    opened: Path | None = None
    with ExitStack() as files:
        film: dicom_film.DicomFilm
        for one in stack.slices:
            if one.path != opened:
                files.close()
                film = files.enter_context(dicom_film.opened(one.path))
                opened = one.path
            frame = film.measured(one.frame)
            hidden = film.hidden(one.frame)
            if hidden is not None:
                frame[hidden] = AIR_HU if stack.unit == "HU" else frame[~hidden].min()
            yield frame
