"""Result objects of every kind, made of several sources, and which attributes they hold."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_description
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import CTImageStorage, UltrasoundMultiFrameImageStorage

from tests import clips, films
from tests.results import make_case_view, make_objects

_SHOWN = ("CS", "LO", "SH", "US", "IS", "UI")
_LONGEST = 40
_OF_THE_SAMPLE = frozenset(
    (
        "InstitutionName",
        "PatientID",
        "PatientSex",
        "Rows",
        "Columns",
        "InstanceNumber",
        "SoftwareVersions",
        "StudyID",
        "DeviceSerialNumber",
        "NumberOfFrames",
    )
)
"""The same in all samples, and only there."""
_PLACE: dict[str, Any] = {
    "SOPClassUID": CTImageStorage,
    "Modality": "CT",
    "FrameOfReferenceUID": "1.2.3.4",
    "ImagePositionPatient": [0, 0, 5],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [0.5, 0.5],
    "SliceThickness": 5,
    "RescaleSlope": 1,
    "RescaleIntercept": -1024,
}


@dataclass(frozen=True, slots=True)
class Element:
    """One top-level attribute of a kind of object."""

    tag: str
    name: str
    vr: str
    present: str
    value: str

    @staticmethod
    def name_of(tag: int) -> str:
        return dictionary_description(tag)


@cache
def samples() -> dict[str, tuple[Dataset, ...]]:
    """Kind -> objects of that kind, in the order in which they are sent."""
    found: dict[str, list[Dataset]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, path in enumerate(_sources(folder)):
            for signed in (False, True):
                result = make_case_view(
                    path, folder / f"{number}", header=path.suffix == ".dcm", signed=signed, version=2
                )
                for one in make_objects(result):
                    found.setdefault(one.kind, []).append(one.data_set)
    return {kind: tuple(found[kind]) for kind in ("picture", "sc", "seg", "pr", "pdf", "sr")}


def _sources(folder: Path) -> Iterator[Path]:
    pixels = clips.draw_frame(3)
    clip = films.film(
        pixels,
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        Modality="US",
        NumberOfFrames=2,
        pixel_data=pixels.tobytes() * 2,
    )
    for name, made in {"film": films.film(), "ct": films.film(**_PLACE), "clip": clip}.items():
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        yield films.save(folder, f"{name}.dcm", made)
    yield folder / "film.png"


def _text(element: DataElement) -> str:
    return "\\".join(map(str, element.value)) if isinstance(element.value, MultiValue) else str(element.value)


def elements(made: tuple[Dataset, ...]) -> Iterator[Element]:
    """The top-level attributes of *made*, by tag; private ones by their creator's block."""
    for tag in sorted({element.tag for one in made for element in one}):
        there = [one[tag] for one in made if tag in one]
        values = {_text(element) for element in there if element.keyword not in _OF_THE_SAMPLE}
        filled = [element for element in there if not element.is_empty]
        present = "always" if len(there) == len(made) else "sometimes"
        value = values.pop() if len(values) == 1 and filled and there[0].VR in _SHOWN else ""
        name = there[0].name if not tag.is_private else "private, 8.2"
        yield Element(
            f"({tag.group:04X},{tag.element:04X})",
            name,
            there[0].VR,
            present if filled else f"{present}, empty",
            value if len(value) <= _LONGEST else "",
        )
