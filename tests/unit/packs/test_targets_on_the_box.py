"""What the box says for each kind of target: classes, labels, grades, a number, boxes, a mask, a volume."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from firmware_app.cases.case_answer import select_strongest
from firmware_app.core.records import Finding
from firmware_app.packs import prevalence_adjustment
from firmware_app.packs.tasks import boxes, classify, segment
from firmware_app.packs.tasks.interface import Frame, FramePolicy, Section
from firmware_app.results import case_json, case_text
from tests.unit.results.test_case_line import READ

PLAIN = {"kind": "platt", "slope": 1.0, "intercept": 0.0}
FRAME = Frame(64, 128, instance="i-1")


def spec(code: str, channel: int, threshold: float, **more: Any) -> classify.FindingSpec:
    return classify.FindingSpec.model_validate(
        {
            "code": code,
            "label": {"en": code.title(), "zh": code},
            "channel": channel,
            "bias": 0.0,
            "calibration": PLAIN,
            "threshold": threshold,
            "threshold_rule": "none",
            "priority": "soon",
            **more,
        }
    )


def section(*specs: classify.FindingSpec, **output: Any) -> Section:
    return Section(classify.Output(map="map", full_scale=1.0, **output), specs, FramePolicy())


def cells(*values: float, shape: tuple[int, ...] = (2, 2)) -> dict[str, Any]:
    """A map whose channels are flat."""
    return {"map": np.stack([np.full(shape, value, np.float32) for value in values])[np.newaxis]}


def test_of_classes_the_most_probable_one_is_found_and_none_where_all_are_below_their_thresholds() -> None:
    three = section(spec("disc", 0, 0.3), spec("ring", 1, 0.3), kind="classes", biases=(0.0, 0.5, 0.0))
    sure = classify.answer(three, cells(2.0, 1.0, 0.0), FRAME).findings
    rest = math.exp(2.0) + math.exp(1.5) + 1.0
    assert [one.probability for one in sure] == pytest.approx([math.exp(2.0) / rest, math.exp(1.5) / rest])
    assert all(one.probability >= one.threshold for one in sure)
    assert [one.positive for one in sure] == [True, False]
    none = classify.answer(three, cells(0.0, -0.5, 3.0), FRAME).findings
    assert [one.positive for one in none] == [False, False]


def test_a_grade_counts_the_steps_that_are_passed_and_a_number_has_its_unit() -> None:
    measure = {"unit": {"en": "of 3", "zh": "级"}, "at_least": 2.0}
    graded = section(spec("opacity", 1, 0.5, measure=measure), kind="grades", biases=(0.0, 0.0, 0.0))
    (two,) = classify.answer(graded, cells(3.0, 0.4, -2.0), FRAME).findings
    assert (two.value, two.positive) == (2.0, True)
    measure = {"unit": {"en": "mm", "zh": "毫米"}, "at_least": 12.0, "scale": 4.0, "offset": 10.0}
    wide = section(spec("width", 0, 0.5, measure=measure), kind="number")
    (one,) = classify.answer(wide, cells(0.25), FRAME).findings
    assert one.value == pytest.approx(11.0)
    assert case_text.format_finding(one, "zh_CN").startswith("width: ")
    assert "11 毫米" in case_text.format_finding(one, "zh_CN")
    assert case_json.finding_to_json(one, "en") | {"value": 11.0, "unit": "mm"} == case_json.finding_to_json(one, "en")


def test_a_manifest_that_lacks_a_channels_bias_gives_no_number() -> None:
    with pytest.raises(ValueError, match="biases"):
        section(spec("disc", 0, 0.3), kind="classes")
    with pytest.raises(ValueError, match="channels"):
        classify.answer(section(spec("disc", 0, 0.3), kind="classes", biases=(0.0,)), cells(1.0, 2.0), FRAME)


def test_what_is_outdone_in_one_image_and_found_in_another_is_found_in_the_case() -> None:
    outdone = Finding("ring", {"en": "Ring"}, 0.45, 0.3, outdone=True)
    found = Finding("ring", {"en": "Ring"}, 0.4, 0.3)
    readings = [replace(READ, findings=(one,)) for one in (outdone, found)]
    assert select_strongest(readings) == (found,)
    moved = prevalence_adjustment._move_finding(outdone, 0.5, 0.1)
    assert (moved.probability >= moved.threshold, moved.positive) == (True, False)


def test_connected_cells_of_a_mask_are_one_lesion_with_its_box() -> None:
    grid = np.full((1, 1, 8, 8), -4.0, np.float32)
    grid[0, 0, 1:3, 2:4] = 3.0
    grid[0, 0, 6, 6] = 1.0
    said = segment.answer(section(spec("disc", 0, 0.5)), {"map": grid}, FRAME)
    assert [(lesion.box, lesion.area_px) for lesion in said.lesions] == [
        ((32.0, 8.0, 64.0, 24.0), 4 * 128),
        ((96.0, 48.0, 112.0, 56.0), 128),
    ]
    assert said.lesions[0].score == said.findings[0].probability == pytest.approx(1 / (1 + math.exp(-3.0)))
    assert int(said.maps["disc"].sum()) == 5


def a_map_with(*found: tuple[int, int, float, tuple[float, float, float, float]]) -> dict[str, Any]:
    """A grid of 8 × 8: (row, column, log odds, sides in cells) of each peak."""
    grid = np.full((1, 5, 8, 8), -6.0, np.float32)
    for row, column, odds, sides in found:
        grid[0, 0, row, column], grid[0, 1:, row, column] = odds, sides
    return {"map": grid}


def of_boxes() -> Section:
    found = {"code": "disc", "label": {"en": "Disc", "zh": "圆盘"}, "threshold": 0.5, "threshold_rule": "none"}
    told = boxes.Finding.model_validate({**found, "priority": "soon", "calibration": PLAIN})
    return Section(boxes.Output(map="map"), (told,), FramePolicy())


def test_a_peak_becomes_a_box_in_pixels_and_its_double_is_dropped() -> None:
    sides = (1.0, 0.5, 1.0, 0.5)
    said = boxes.answer(of_boxes(), a_map_with((2, 3, 2.0, sides), (4, 3, 1.0, (1.0, 2.5, 1.0, 0.0))), FRAME)
    assert [lesion.box for lesion in said.lesions] == [(40.0, 16.0, 72.0, 24.0), (40.0, 16.0, 72.0, 36.0)]
    doubled = boxes.answer(of_boxes(), a_map_with((2, 3, 2.0, sides), (2, 5, 1.0, (3.0, 0.5, -1.0, 0.5))), FRAME)
    assert [lesion.score for lesion in doubled.lesions] == [pytest.approx(1 / (1 + math.exp(-2.0)))]


@pytest.mark.parametrize(
    "found",
    [(), ((6, 6, 2.0, (1.0, 0.5, 1.0, 0.5)),), ((2, 3, 2.0, (1.0, 0.5, 1.0, 0.5)), (6, 6, 2.0, (1.0, 1.0, 1.0, 1.0)))],
    ids=["too few", "elsewhere", "too many"],
)
def test_boxes_unlike_the_golden_cases_are_told_apart(found: Any) -> None:
    right = boxes.answer(of_boxes(), a_map_with((2, 3, 2.0, (1.0, 0.5, 1.0, 0.5))), FRAME)
    expected = boxes.expectation(of_boxes(), boxes.golden(right))
    assert boxes.difference(expected, right).apart < 1e-4
    assert boxes.difference(expected, boxes.answer(of_boxes(), a_map_with(*found), FRAME)).apart > 0.3
