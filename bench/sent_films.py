"""The films that are read over and over, each time as another patient's: one real, one made by code."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import pydicom

from bench import harness
from tests import films

REAL: Final = "RG1_UNCR.dcm"
_ROOT: Final = "1.2.826.0.1.3680043.8.498."
_MARKS: Final = {"SOPInstanceUID": "71", "SeriesInstanceUID": "72", "StudyInstanceUID": "73"}
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Film:
    """A chest film whose identities can be replaced without parsing it again."""

    title: str
    content: bytes

    def numbered(self, number: int) -> bytes:
        """The film as instance, series and study *number*."""
        content = self.content
        for mark in _MARKS.values():
            content = content.replace(_uid(mark, 0).encode(), _uid(mark, number).encode())
        return content

    def write(self, number: int, path: Path) -> Path:
        path.write_bytes(self.numbered(number))
        return path


def real() -> Film:
    """An adult's chest film of pydicom-data: 1841 × 1955, 15 bits, 7.2 MB."""
    try:
        import data_store
    except ImportError:
        harness.leave_out("the film comes from pydicom-data: install the extra “demo”")
    dataset = pydicom.dcmread(Path(str(data_store.__file__)).parent / "data" / REAL)
    return _marked(f"{REAL}, {dataset.Columns} × {dataset.Rows}", dataset)


def small() -> Film:
    """An adult's film made by code, as large as many a cheap detector's."""
    dataset = films.film(films.shapes(1, 1024, 1024), BitsStored=12, HighBit=11)
    return _marked("made by code, 1024 × 1024", dataset)


def _marked(title: str, dataset: pydicom.Dataset) -> Film:
    for keyword, mark in _MARKS.items():
        setattr(dataset, keyword, _uid(mark, 0))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return Film(title, written.getvalue())


def _uid(mark: str, number: int) -> str:
    return f"{_ROOT}{mark}.9{number:0{_DIGITS}d}"
