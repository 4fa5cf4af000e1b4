"""What the decode child states of an image is believed only in its own form."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from firmware_app.imaging import image_properties, keyframes
from firmware_app.imaging.pixel_size import Scale
from firmware_app.reading.decoded_metadata import DecodedMetadata, check_metadata, format_diagnosis

SCALES = Scale(0, 0, 640, 480, 0.2, 0.1, first=True), Scale(0, 480, 640, 500, None, None)
WHOLE = DecodedMetadata(SCALES, 30.0, (1.0, 0.25), ("I10:B18.1",))


def test_what_was_stated_comes_back_the_same() -> None:
    assert check_metadata(json.loads(json.dumps(WHOLE.to_object())), read=2) == WHOLE
    assert check_metadata({}, read=3) == DecodedMetadata()


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": [[0, 0, 640, 480, 0.0, 0.1, True]]},
        {"scales": [[0, 0, 640, 480, 1e9, 0.1, True]]},
        {"scales": [[0, 0, -640, 480, 0.1, 0.1, True]]},
        {"scales": [[0, 0, 640, 480, 0.1, 0.1]]},
        {"scales": [[0, 0, 640, 480, True, 0.1, True]]},
        {"scales": [[0] * 6 + [True]] * 65},
        {"rate_hz": 0},
        {"rate_hz": "30"},
        {"rate_hz": float("inf")},
        {"weights": [1.0]},
        {"weights": [1.0, 0.0]},
        {"weights": [1.0, float("nan")]},
        {"diagnoses": ["Wang Xiaoming"]},
        {"diagnoses": "I10:B18.1"},
        {"diagnoses": ["I10:B18.1"] * 33},
    ],
)
def test_anything_else_is_no_message(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        check_metadata({**WHOLE.to_object(), **wrong}, read=2)


def test_free_text_in_the_place_of_a_code_is_no_diagnosis() -> None:
    assert format_diagnosis(" I10 ", "B18.1") == "I10:B18.1"
    assert format_diagnosis("I10", "hepatitis B?") is None
    assert format_diagnosis("", "B18.1") is None


def test_only_coded_admitting_diagnoses_are_taken_from_a_header() -> None:
    header, item, half = Dataset(), Dataset(), Dataset()
    item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning = "I10", "B18.1", "Chronic viral hepatitis B"
    half.CodeMeaning = "hepatitis B"
    header.AdmittingDiagnosesCodeSequence = [item, half, item]
    header.AdmittingDiagnosesDescription = "no family history"
    header.AdditionalPatientHistory = "hepatitis C"
    assert image_properties.read_diagnoses(header) == (("I10", "B18.1"),)
    assert image_properties.read_diagnoses(Dataset()) == ()


def test_a_frames_weight_is_its_quality_against_the_best_of_the_clip() -> None:
    sharp = np.random.default_rng(2).uniform(0, 255, (96, 96)).astype(np.float32)
    shifted = [np.roll(sharp, (down, across), (0, 1)) for down in range(3) for across in range(3)]
    blurred = np.asarray(np.mean(shifted, axis=0), np.float32)
    flat = np.full((96, 96), 90.0, np.float32)
    weights = keyframes.weigh_frames([blurred, sharp, flat])
    assert weights[1] == 1.0
    assert keyframes.LEAST_WEIGHT < weights[0] < 0.5
    assert weights[2] == keyframes.LEAST_WEIGHT
    assert keyframes.weigh_frames([flat, flat]) == (1.0, 1.0)
