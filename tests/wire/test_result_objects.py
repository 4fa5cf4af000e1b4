"""Result objects before independent programs: dicom3tools' dciodvfy, PixelMed's DicomSRValidator, dcmtk's dsrdump."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, UltrasoundMultiFrameImageStorage, generate_uid

from tests import clips, films
from tests.results import dump_report, make_case_view, validate_object, validate_report, write_objects

_PLACE: dict[str, Any] = {
    "SOPClassUID": CTImageStorage,
    "Modality": "CT",
    "FrameOfReferenceUID": generate_uid(),
    "ImagePositionPatient": [0, 0, 5],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [0.5, 0.5],
    "SliceThickness": 5,
    "RescaleSlope": 1,
    "RescaleIntercept": -1024,
}


def _source(kind: str, folder: Path) -> Path:
    if kind == "clip":
        pixels = clips.draw_frame(3)
        made = films.film(
            pixels,
            SOPClassUID=UltrasoundMultiFrameImageStorage,
            Modality="US",
            NumberOfFrames=2,
            pixel_data=pixels.tobytes() * 2,
        )
    else:
        named = {"PatientName": "Wang^Ming=王^明", "SpecificCharacterSet": "GB18030"}
        made = films.film(**(_PLACE if kind == "ct" else named))
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    return films.save(folder, "source.dcm", made)


@pytest.mark.parametrize("kind", ["film", "ct", "clip", "picture"])
def test_objects_are_valid_and_show_the_findings(kind: str, tmp_path: Path) -> None:
    made = _objects(kind, tmp_path)
    assert {name: told for name, one in made.items() if (told := validate_object(one))} == {}
    shown = dump_report(made["sr-01.dcm"])
    for said in ('"Pneumonia"', '"93.0" (%,UCUM', "Image Region", "chest-xray-child", "Tracking Unique Identifier"):
        assert said in shown


@pytest.mark.parametrize(
    "kind", ["film", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("ct", "clip", "picture"))]
)
def test_a_report_follows_its_template(kind: str, tmp_path: Path) -> None:
    assert validate_report(_objects(kind, tmp_path)["sr-01.dcm"]) == []


def _objects(kind: str, tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "film.png" if kind == "picture" else _source(kind, tmp_path)
    result = make_case_view(path, tmp_path / "display", header=kind != "picture", signed=kind != "clip", version=2)
    return write_objects(result, tmp_path / "objects")
