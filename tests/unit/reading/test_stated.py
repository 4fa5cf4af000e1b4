"""What the decode child states of an image is believed only in its own form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from firmware_app.core.child_messages import ChildMessage
from firmware_app.imaging import image_properties, keyframes
from firmware_app.imaging.pixel_size import Scale
from firmware_app.reading.decoder import DecodedImage, DecodeOptions, check_answer

SCALE: dict[str, Any] = {"x0": 0, "y0": 0, "x1": 640, "y1": 480, "mm_down": 0.2, "mm_across": None, "first": True}
WHOLE: dict[str, Any] = {
    "frames": 3,
    "rows": 500,
    "columns": 640,
    "read": [0, 2],
    "scales": [SCALE],
    "rate_hz": 30.0,
    "weights": [1.0, 0.25],
    "diagnoses": ["I10:B18.1"],
}


def check_header(header: dict[str, Any]) -> DecodedImage:
    return check_answer(ChildMessage(header), None, DecodeOptions("score", 2), 1.0)


def test_what_was_stated_comes_back_the_same() -> None:
    image = check_header(WHOLE)
    assert (image.scales, image.rate_hz, image.weights) == ((Scale(**SCALE),), 30.0, (1.0, 0.25))
    assert (image.diagnoses, image.aspect) == (("I10:B18.1",), 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": [{**SCALE, "mm_down": 0.0}]},
        {"scales": [{**SCALE, "x0": -640}]},
        {"scales": [SCALE] * 65},
        {"rate_hz": float("inf")},
        {"rate_hz": "30"},
        {"weights": [1.0]},
        {"weights": [1.0, float("nan")]},
        {"aspect": 100.0},
        {"diagnoses": ["Wang Xiaoming"]},
        {"diagnoses": ["I10:B18.1"] * 33},
    ],
)
def test_anything_else_is_no_message(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        check_header({**WHOLE, **wrong})


def test_only_coded_admitting_diagnoses_are_taken_from_a_header() -> None:
    header, item, half, text = Dataset(), Dataset(), Dataset(), Dataset()
    item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning = "I10", "B18.1", "Chronic viral hepatitis B"
    half.CodeMeaning = "hepatitis B"
    text.CodingSchemeDesignator, text.CodeValue = "I10", "hepatitis B?"
    header.AdmittingDiagnosesCodeSequence = [item, half, text, item]
    header.AdmittingDiagnosesDescription = "no family history"
    header.AdditionalPatientHistory = "hepatitis C"
    assert image_properties.read_diagnoses(header) == ("I10:B18.1",)
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
