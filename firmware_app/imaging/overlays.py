"""Overlay planes of groups 60xx (PS3.3 C.9.2): layers for display, apart from the image.  No model ever sees one.

A plane is stored in its own element, one bit per pixel, or in unused bits of the pixel words (retired, but still sent
by old machines).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from firmware_app.imaging.dicom_source import HEADER_ERRORS

MOST_LAYERS: Final = 16
"""The most layers of a frame; further planes are not read."""
_GROUPS: Final = range(0x6000, 0x6100, 2)
_ROWS, _COLUMNS, _FRAMES, _DESCRIPTION, _KIND = 0x0010, 0x0011, 0x0015, 0x0022, 0x0040
_ORIGIN, _FIRST_FRAME, _POSITION, _LABEL, _DATA = 0x0050, 0x0051, 0x0102, 0x1500, 0x3000


@dataclass(frozen=True, slots=True)
class OverlayLayer:
    """One plane placed on the frame; `bits` packs eight pixels into a byte, since a large film may have many planes.

    `kind` is ``graphics`` or ``region`` (of interest).
    """

    group: int
    kind: str
    bits: NDArray[np.uint8]
    columns: int

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool."""
        return np.unpackbits(self.bits, axis=1, count=self.columns).view(np.bool_)


def read_overlays(
    header: Dataset, frame: int, rows: int, columns: int, words: NDArray[Any] | None, used: tuple[int, int]
) -> tuple[OverlayLayer, ...]:
    """The layers of one *frame* of *rows* × *columns*: the first `MOST_LAYERS` that are not empty.

    *words* are the frame's stored words if they still have the bits outside the pixel values, else None; *used* are the
    lowest and the highest bit of the value.  A broken plane is left out: the image is whole without it.
    """
    if words is not None and words.shape != (rows, columns):
        words = None
    return tuple(islice(_layers(header, frame, (rows, columns), words, used), MOST_LAYERS))


def _layers(
    header: Dataset, frame: int, shape: tuple[int, int], words: NDArray[Any] | None, used: tuple[int, int]
) -> Iterator[OverlayLayer]:
    for group in _GROUPS:
        if (group, _ROWS) not in header and (group, _POSITION) not in header:
            continue
        try:
            mask = _mask(header, group, frame, shape=shape, words=words, used=used)
            kind = "region" if str(_value(header, group, _KIND, "G")).strip().upper() == "R" else "graphics"
        except HEADER_ERRORS:
            continue
        if mask is not None and mask.any():
            yield OverlayLayer(group, kind, np.packbits(mask, axis=1), shape[1])


def _mask(
    header: Dataset, group: int, frame: int, shape: tuple[int, int], words: NDArray[Any] | None, used: tuple[int, int]
) -> NDArray[np.bool_] | None:
    data = _value(header, group, _DATA, b"")
    if not data:
        position = int(_value(header, group, _POSITION, used[0]))
        if words is None or used[0] <= position <= used[1] or not 0 <= position < 8 * words.dtype.itemsize:
            return None
        return np.asarray((words.view(f"u{words.dtype.itemsize}") >> position) & 1, dtype=np.bool_)
    plane = _plane(header, group, frame, data)
    if plane is None:
        return None
    top, left = (int(value) - 1 for value in _value(header, group, _ORIGIN, (1, 1)))
    return _place_on_frame(plane, top, left, shape)


def _plane(header: Dataset, group: int, frame: int, data: bytes) -> NDArray[np.bool_] | None:
    """The plane that belongs to *frame*: one without frames belongs to all (PS3.3 C.9.2.1.3 names the first)."""
    rows, columns = int(_value(header, group, _ROWS, 0)), int(_value(header, group, _COLUMNS, 0))
    planes = int(_value(header, group, _FRAMES, 0))
    index = frame - int(_value(header, group, _FIRST_FRAME, 1)) + 1 if planes > 0 else 0
    size = rows * columns
    if size <= 0 or (planes > 0 and not 0 <= index < planes) or (index + 1) * size > 8 * len(data):
        return None
    first, last = index * size // 8, ((index + 1) * size + 7) // 8
    bits = np.unpackbits(np.frombuffer(data[first:last], np.uint8), bitorder="little")
    begin = index * size - 8 * first
    return bits[begin : begin + size].reshape(rows, columns).astype(np.bool_)


def _place_on_frame(plane: NDArray[np.bool_], top: int, left: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """*plane* placed on a frame of *shape*, its first pixel at (*top*, *left*), which may be outside the frame."""
    placed = np.zeros(shape, np.bool_)
    down, right = min(top + plane.shape[0], shape[0]), min(left + plane.shape[1], shape[1])
    if down > max(top, 0) and right > max(left, 0):
        placed[max(top, 0) : down, max(left, 0) : right] = plane[
            max(-top, 0) : down - top, max(-left, 0) : right - left
        ]
    return placed


def _value(header: Dataset, group: int, element: int, default: Any) -> Any:
    if (group, element) not in header:
        return default
    value = header[group, element].value
    return default if value is None or value == "" else value
