"""Millimetres are the patient's only where they were calibrated; what is measured at the detector is called so."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from firmware_app.imaging import spacing
from firmware_app.imaging.pixel_size import (
    AT_DETECTOR,
    CALIBRATED,
    ESTIMATED,
    PATIENT,
    SCANNED,
    UNCALIBRATED,
    UNKNOWN,
    Spacing,
)

A, B = [0.2, 0.1], [0.15, 0.15]
AXIAL = [1, 0, 0, 0, 1, 0]
CASES: list[tuple[str, dict[str, Any], Spacing]] = [
    ("DX", {"ImagerPixelSpacing": A}, Spacing(AT_DETECTOR, None, (0.2, 0.1))),
    ("DX", {"ImagerPixelSpacing": A, "PixelSpacing": A}, Spacing(AT_DETECTOR, None, (0.2, 0.1))),
    ("DX", {"ImagerPixelSpacing": A, "PixelSpacing": B}, Spacing(CALIBRATED, (0.15, 0.15), (0.15, 0.15))),
    ("CR", {"PixelSpacing": A, "PixelSpacingCalibrationType": "FIDUCIAL"}, Spacing(CALIBRATED, (0.2, 0.1), (0.2, 0.1))),
    (
        "DX",
        {"ImagerPixelSpacing": A, "PixelSpacing": A, "PixelSpacingCalibrationType": "GEOMETRY"},
        Spacing(CALIBRATED, (0.2, 0.1), (0.2, 0.1)),
    ),
    (
        "DX",
        {"ImagerPixelSpacing": [0.3, 0.3], "EstimatedRadiographicMagnificationFactor": 1.5},
        Spacing(ESTIMATED, None, (pytest.approx(0.2), pytest.approx(0.2))),  # type: ignore[arg-type]
    ),
    (
        "DX",
        {"ImagerPixelSpacing": A, "EstimatedRadiographicMagnificationFactor": 0.5},
        Spacing(AT_DETECTOR, None, (0.2, 0.1)),
    ),
    ("CR", {"NominalScannedPixelSpacing": A}, Spacing(SCANNED, None, (0.2, 0.1))),
    ("CR", {}, Spacing(UNKNOWN)),
    ("CT", {"PixelSpacing": A}, Spacing(PATIENT, (0.2, 0.1), (0.2, 0.1))),
    ("MR", {}, Spacing(UNKNOWN)),
    ("US", {"PixelSpacing": A, "SequenceOfUltrasoundRegions": Sequence([Dataset()])}, Spacing(UNKNOWN)),
    ("NM", {"PixelSpacing": A}, Spacing(PATIENT, (0.2, 0.1), (0.2, 0.1))),
    *(
        (word, {"ImagerPixelSpacing": A, "PixelSpacing": A}, Spacing(AT_DETECTOR, None, (0.2, 0.1)))
        for word in ("XRAY", "", "CT")
    ),
    ("CT", {"ImagerPixelSpacing": A, "PixelSpacing": B}, Spacing(CALIBRATED, (0.15, 0.15), (0.15, 0.15))),
    ("RTDOSE", {"PixelSpacing": A, "ImageOrientationPatient": AXIAL}, Spacing(PATIENT, (0.2, 0.1), (0.2, 0.1))),
    (
        "XA",
        {"ImagerPixelSpacing": A, "PixelSpacing": A, "ImageOrientationPatient": AXIAL},
        Spacing(AT_DETECTOR, None, (0.2, 0.1)),
    ),
    ("OT", {"PixelSpacing": A, "ImageOrientationPatient": [1, 0, 0]}, Spacing(UNCALIBRATED, None, (0.2, 0.1))),
    *((word, {"PixelSpacing": A}, Spacing(AT_DETECTOR, None, (0.2, 0.1))) for word in ("CR", "DX", "MG", "RG")),
    *((word, {"PixelSpacing": A}, Spacing(UNCALIBRATED, None, (0.2, 0.1))) for word in ("US", "XC", "OT", "")),
    ("US", {"PixelSpacing": A, "ImagerPixelSpacing": B}, Spacing(UNCALIBRATED, None, (0.2, 0.1))),
    ("US", {"ImagerPixelSpacing": A}, Spacing(UNKNOWN)),
    ("US", {"PixelSpacing": A, "PixelSpacingCalibrationType": "FIDUCIAL"}, Spacing(CALIBRATED, (0.2, 0.1), (0.2, 0.1))),
    ("US", {"PixelSpacing": A, "ImageOrientationPatient": AXIAL}, Spacing(PATIENT, (0.2, 0.1), (0.2, 0.1))),
    ("MR", {"PixelSpacing": A, "ImagerPixelSpacing": A}, Spacing(PATIENT, (0.2, 0.1), (0.2, 0.1))),
    ("CT", {"PixelSpacing": [0, 0.1]}, Spacing(UNKNOWN)),
    ("CT", {"PixelSpacing": [-0.2, 0.1]}, Spacing(UNKNOWN)),
    ("CT", {"PixelSpacing": 0.2}, Spacing(UNKNOWN)),
]


def header(modality: str, attributes: dict[str, Any]) -> Dataset:
    made = Dataset()
    made.Modality = modality
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def test_a_pixel_is_as_large_as_the_standard_lets_one_say() -> None:
    for modality, attributes, expected in CASES:
        assert spacing.read_spacing(header(modality, attributes)) == expected, (modality, attributes)


def test_each_frame_of_an_enhanced_object_has_its_own_spacing() -> None:
    def group(*mm: float) -> Dataset:
        item = Dataset()
        item.PixelMeasuresSequence = Sequence([header("", {"PixelSpacing": list(mm)})])
        return item

    made = header("CT", {})
    made.SharedFunctionalGroupsSequence = Sequence([group(1, 1)])
    assert spacing.read_spacing(made, 1).mm == (1, 1)
    made.PerFrameFunctionalGroupsSequence = Sequence([group(2, 2), group(3, 4)])
    assert spacing.read_spacing(made, 1).mm == (3, 4)


def test_rubbish_in_the_header_is_no_size() -> None:
    made = header("CT", {})
    made.add_new("PixelSpacing", "LO", "wide\\broad")
    assert spacing.read_spacing(made) == Spacing(UNKNOWN)
