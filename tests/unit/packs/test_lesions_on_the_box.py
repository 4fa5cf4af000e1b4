"""The task ``lesions``: what two detectors and an outline become on the box."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from firmware_app.packs.tasks import lesions
from firmware_app.packs.tasks.interface import Frame, FramePolicy, Section

FRAME = Frame(256, 256)
PLAIN = {"kind": "platt", "slope": 1.0, "intercept": 0.0}


def section(organ: str = "") -> Section:
    common = {"threshold": 0.5, "threshold_rule": "none", "priority": "soon", "calibration": PLAIN}
    malignant = {"code": "malignant", "label": {"en": "Suspicious"}, "of": "picture", "each": PLAIN, **common}
    mass = {"code": "mass", "label": {"en": "Mass"}, "of": "lesions", "channel": 1, "bias": 20.0, **common}
    names = {name: name for name in ("map", "outline", "boxes", "points")}
    output = lesions.Output.model_validate({**names, "full_scale": 2.0, "cut": 0.5, "organ": organ})
    return Section(output, tuple(lesions.Finding.model_validate(one) for one in (malignant, mass)), FramePolicy())


def empty(channels: int = 1) -> dict[str, Any]:
    """Nothing seen in a grid of 16 × 16 (32 × 32) cells: one cell of the boxes is 16 px, of the outline 8 px."""
    return {
        "map": np.zeros((1, 2, 8, 8), np.float32),
        "outline": np.full((1, channels, 32, 32), -6.0, np.float32),
        "boxes": np.full((1, 5, 16, 16), -8.0, np.float32),
        "points": np.full((1, 3, 32, 32), -8.0, np.float32),
    }


def set_box(given: dict[str, Any], row: int, column: int, odds: float, side: float) -> None:
    """A box around the middle of a cell, ``side`` cells to each of its sides."""
    given["boxes"][0, 0, row, column] = odds
    given["boxes"][0, 1:, row, column] = math.log(math.expm1(side))


def test_a_box_becomes_a_lesion_with_the_outline_in_it_and_a_chance_of_its_own() -> None:
    given = empty()
    set_box(given, 4, 4, 3.0, 2.5)
    given["outline"][0, 0, 6:12, 6:13] = 4.0
    given["outline"][0, 0, 25:30, 25:30] = 4.0  # no detector sees it
    given["map"][0, 0, 1:4, 1:4] = 3.0
    said = lesions.answer(section(), given, FRAME)
    (lesion,) = said.lesions
    assert lesion.finding == "mass"
    assert lesion.box == pytest.approx((47.0, 47.0, 105.0, 97.0), abs=4.0)
    assert lesion.score == said.findings[1].probability
    assert lesion.score == pytest.approx((1 / (1 + math.exp(-3.0)) / (1 + math.exp(-4.0))) ** (1 / 3), abs=1e-3)
    assert lesion.chances["malignant"] > said.findings[0].probability + 0.2, "the evidence lies in the lesion"


def test_two_detections_of_one_lesion_are_one_and_neighbours_stay_two() -> None:
    given = empty()
    given["outline"][0, 0] = 6.0
    set_box(given, 4, 4, 3.0, 2.0)
    set_box(given, 4, 6, 2.0, 2.0)
    set_box(given, 12, 12, 1.0, 2.0)
    given["points"][0, :, 9, 9] = 2.0, math.log(7.0), math.log(7.0)
    middles = {lesion.frame_cell for lesion in map(Cell, lesions.answer(section(), given, FRAME).lesions)}
    assert middles == {(4, 4), (4, 6), (12, 12)}, "the point lies on the first box, the second overlaps it by a third"


class Cell:
    """A lesion by the cell of the boxes in which its middle lies; its outline here is its widened box."""

    def __init__(self, lesion: Any) -> None:
        x, y = lesion.centre
        self.frame_cell = (int(y // 16), int(x // 16))


def test_what_lies_outside_the_organ_is_not_marked() -> None:
    given = empty(channels=2)
    given["outline"][0, 0] = 4.0
    given["outline"][0, 1, :, :16] = 4.0
    set_box(given, 4, 4, 3.0, 1.5)
    set_box(given, 4, 12, 5.0, 1.5)
    said = lesions.answer(section("liver"), given, FRAME)
    assert [Cell(lesion).frame_cell for lesion in said.lesions] == [(4, 4)]
    assert said.findings[1].probability == said.lesions[0].score


def test_a_lesion_that_is_missing_is_far_from_the_golden_case() -> None:
    given = empty()
    set_box(given, 4, 4, 3.0, 2.5)
    given["outline"][0, 0, 6:12, 6:13] = 4.0
    right = lesions.answer(section(), given, FRAME)
    expected = lesions.expectation(section(), lesions.golden(right))
    assert lesions.difference(expected, right).apart < 1e-4
    assert lesions.difference(expected, lesions.answer(section(), empty(), FRAME)).apart > 0.3


@pytest.mark.parametrize("name", ["map", "outline", "boxes", "points"])
def test_an_output_that_is_no_number_is_refused(name: str) -> None:
    given = empty()
    given[name][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"numbers|no probability"):
        lesions.answer(section(), given, FRAME)
