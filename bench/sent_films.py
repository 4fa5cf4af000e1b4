"""The films that are read over and over, each time as another patient's, and made by code.

Their greys are a synthetic golden image of the children's pack.  The adults' pack gives no number for what looks unlike
the films that it learnt from: the public chest film of pydicom-data, and in some runtimes its own golden images where
they are enlarged; and the time of such a film would mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from PIL import Image

from tests import films
from tests.peers import REPOSITORY

GREYS: Final = REPOSITORY / "models" / "chest-xray-child" / "golden" / "sample-positive-1.png"
_ROOT: Final = "1.2.826.0.1.3680043.8.498."
_MARKS: Final = {"SOPInstanceUID": "71", "SeriesInstanceUID": "72", "StudyInstanceUID": "73"}
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Film:
    """A chest film whose identities can be replaced without parsing it again."""

    title: str
    content: bytes

    def number(self, number: int) -> bytes:
        """The film as instance, series and study *number*."""
        content = self.content
        for mark in _MARKS.values():
            content = content.replace(_uid(mark, 0).encode(), _uid(mark, number).encode())
        return content

    def write(self, number: int, path: Path) -> Path:
        path.write_bytes(self.number(number))
        return path


def large() -> Film:
    """A film of a detector's usual size: 1841 × 1955, 15 bits, 7.2 MB."""
    return _make_film(1841, 1955, 15)


def small() -> Film:
    """A film of a cheap detector's size: 1024 × 1024, 12 bits, 2.1 MB."""
    return _make_film(1024, 1024, 12)


def _make_film(columns: int, rows: int, bits: int) -> Film:
    with Image.open(GREYS) as image:
        greys = np.asarray(image.convert("F").resize((columns, rows), Image.Resampling.BICUBIC))
    pixels = (np.clip(greys, 0, 255) * ((1 << bits) - 1) / 255).astype(np.uint16)
    dataset = films.film(pixels, BitsStored=bits, HighBit=bits - 1, PatientAge="003Y")
    return _set_marks(f"made by code, {columns} × {rows}", dataset)


def _set_marks(title: str, dataset: pydicom.Dataset) -> Film:
    for keyword, mark in _MARKS.items():
        setattr(dataset, keyword, _uid(mark, 0))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return Film(title, written.getvalue())


def _uid(mark: str, number: int) -> str:
    return f"{_ROOT}{mark}.9{number:0{_DIGITS}d}"
