"""Outlines, sizes and description of lesions, on shapes whose numbers are known by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_app.core.child_messages import LARGEST_HEADER_BYTES
from firmware_app.core.lesion import Lesion
from firmware_app.imaging import lesion_description, lesion_outlines
from firmware_app.imaging.lesion_outlines import measure_outline
from firmware_app.imaging.pixel_operations import Points
from firmware_app.imaging.pixel_size import Scale, find_scale
from firmware_app.packs.tasks.interface import MOST_LESIONS
from firmware_app.reading.children import inference_child

SIDE = 240
MIDDLE = SIDE / 2


def ellipse(long: float, short: float, degrees: float = 0.0, at: tuple[float, float] = (MIDDLE, MIDDLE)) -> Points:
    """The outline of an ellipse by its whole axes; turned clockwise, as pictures have their rows downwards."""
    turn = math.radians(degrees)
    around = [2 * math.pi * step / 360 for step in range(360)]
    flat = [(long / 2 * math.cos(one), short / 2 * math.sin(one)) for one in around]
    return [
        (at[0] + x * math.cos(turn) - y * math.sin(turn), at[1] + x * math.sin(turn) + y * math.cos(turn))
        for x, y in flat
    ]


def draw_wavy_outline(radius: float, share: float, waves: int) -> Points:
    around = [2 * math.pi * step / 720 for step in range(720)]
    reach = [radius * (1 + share * math.cos(waves * one)) for one in around]
    return [(MIDDLE + r * math.cos(one), MIDDLE + r * math.sin(one)) for r, one in zip(reach, around, strict=True)]


def picture(outline: Points, inside: float, outside: float = 0.6, blur: int = 0) -> NDArray[np.float32]:
    """Tissue with grains, a lesion in it, and a margin that is as wide as *blur* says."""
    mask = lesion_description.fill_outline(outline, SIDE, SIDE).astype(np.float64)
    for _ in range(blur):
        mask = np.mean([np.roll(mask, shift, axis) for axis in (0, 1) for shift in (-1, 1)], axis=0)
    grains = np.random.default_rng(7).normal(0.0, 0.04, mask.shape)
    greys: NDArray[np.float32] = np.clip(outside + (inside - outside) * mask + grains, 0.01, 1.0).astype(np.float32)
    return greys


def terms(found: Any) -> dict[str, str]:
    return {feature.name: feature.term for feature in found}


# --- outlines and sizes -----------------------------------------------------------------------------------------------


def test_an_outline_runs_between_the_cells_and_cuts_their_corners() -> None:
    values = np.zeros((12, 12))
    values[2:10, 2:10] = 1.0
    outline = lesion_outlines.trace_outline(values, 0.5)
    assert abs(lesion_outlines.polygon_area(outline)) == 8 * 8 - 4 * 0.125
    assert (min(x for x, _ in outline), max(y for _, y in outline)) == (2.0, 10.0)


def test_an_outline_passes_where_the_value_passes_the_level() -> None:
    values = np.tile(np.linspace(0.0, 1.0, 11), (5, 1))  # 0.1 more from column to column
    outline = lesion_outlines.trace_outline(values, 0.25)
    assert min(x for x, _ in outline) == pytest.approx(2.5 + 0.5)
    assert max(x for x, _ in outline) == 11.0, "it ends at the border"


def test_cells_that_touch_at_a_corner_have_one_outline_and_of_several_pieces_the_largest_is_outlined() -> None:
    values = np.zeros((12, 12))
    values[1:4, 1:4] = values[4:8, 4:8] = values[10, 10] = 1.0
    assert abs(lesion_outlines.polygon_area(lesion_outlines.trace_outline(values, 0.5))) == pytest.approx(
        9 + 16 - 6 * 0.125 + 2 * 0.125
    )
    assert lesion_outlines.trace_outline(np.zeros((3, 3)), 0.5) == []


@pytest.mark.parametrize("degrees", [0.0, 75.0])
def test_a_turned_ellipse_has_its_axes_area_and_volume(degrees: float) -> None:
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5 - MIDDLE
    turn = math.radians(degrees)
    along, beside = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    drawn = (along / 60.0) ** 2 + (beside / 30.0) ** 2 <= 1.0
    sizes = measure_outline(lesion_outlines.trace_outline(drawn.astype(float), 0.5))
    assert sizes is not None
    assert [sizes.long, sizes.short] == pytest.approx([120.0, 60.0], abs=1.2)
    assert sizes.area == pytest.approx(math.pi * 60 * 30, rel=0.005)
    assert sizes.volume == pytest.approx(math.pi / 6 * 120 * 60 * 60, rel=0.05), "a pixel on each axis"
    for (x0, y0, x1, y1), lies in ((sizes.long_axis, degrees), (sizes.short_axis, degrees + 90)):
        off = (math.degrees(math.atan2(y1 - y0, x1 - x0)) - lies) % 180
        assert min(off, 180 - off) < 5.0, "the end of a drawn ellipse is flat for some rows"


def test_sizes_are_measured_in_millimetres_along_each_side_of_a_pixel() -> None:
    sizes = measure_outline(ellipse(120.0, 60.0), (0.5, 0.1))  # 60 px down are 30 mm, 120 px across are 12 mm
    assert sizes is not None
    assert [sizes.long, sizes.short] == pytest.approx([30.0, 12.0], rel=1e-3)
    assert sizes.area == pytest.approx(math.pi / 4 * 30 * 12, rel=1e-3)
    assert sizes.long_axis == pytest.approx((120.0, 90.0, 120.0, 150.0), abs=0.6)


def test_the_short_axis_stands_at_a_right_angle_to_the_longest_line() -> None:
    sizes = measure_outline([(0.0, 0.0), (40.0, 0.0), (40.0, 30.0), (0.0, 30.0)])
    assert sizes is not None
    assert [sizes.long, sizes.short, sizes.area] == pytest.approx([50.0, 2 * 40 * 30 / 50, 1200.0])


# --- description ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outline", "shape", "orientation"),
    [
        (ellipse(120.0, 60.0), "oval", "parallel"),
        (ellipse(120.0, 60.0, 90.0), "oval", "not_parallel"),
        (ellipse(100.0, 96.0), "round", "parallel"),
        (draw_wavy_outline(50.0, 0.1, 3), "round", None),
        (draw_wavy_outline(50.0, 0.3, 7), "irregular", None),
    ],
    ids=["lying", "standing", "round", "three gentle waves", "star"],
)
def test_shape_and_orientation_follow_the_outline(outline: Points, shape: str, orientation: str | None) -> None:
    found = terms(lesion_description.describe_outline(outline, (1.0, 1.0)))
    assert found["shape"] == shape
    assert orientation is None or found["orientation"] == orientation


@pytest.mark.parametrize(
    ("inside", "echo"), [(0.03, "anechoic"), (0.35, "hypoechoic"), (0.6, "isoechoic"), (0.85, "hyperechoic")]
)
def test_echoes_are_named_against_the_tissue_around(inside: float, echo: str) -> None:
    outline = ellipse(90.0, 60.0)
    found = terms(lesion_description.describe_greys(picture(outline, inside), outline))
    assert found["echo_pattern"] == echo
    assert ("margin" in found) == (echo != "isoechoic"), "what cannot be told from its surroundings has no margin"


@pytest.mark.parametrize(("change", "behind"), [(-0.3, "shadowing"), (0.25, "enhancement"), (0.0, "none")])
def test_what_is_drawn_below_a_lesion_is_its_shadow_or_enhancement(change: float, behind: str) -> None:
    outline = ellipse(80.0, 50.0, at=(MIDDLE, 80.0))
    greys = picture(outline, 0.3)
    greys[106:, 80:160] += np.float32(change)  # below it, as wide as it is
    assert terms(lesion_description.describe_greys(np.clip(greys, 0.01, 1.0), outline))["posterior_features"] == behind


def test_nothing_is_said_of_what_lies_behind_at_the_end_of_the_picture_or_outside_the_sector() -> None:
    low = ellipse(80.0, 50.0, at=(MIDDLE, SIDE - 30.0))
    assert "posterior_features" not in terms(lesion_description.describe_greys(picture(low, 0.3), low))
    outline = ellipse(80.0, 50.0, at=(MIDDLE, 80.0))
    greys = picture(outline, 0.3)
    greys[106:] = 0.0
    assert "posterior_features" not in terms(lesion_description.describe_greys(greys, outline))


# --- the whole mark ---------------------------------------------------------------------------------------------------


def mark(outline: Points, score: float = 0.9, **more: Any) -> Lesion:
    xs, ys = zip(*outline, strict=True)
    return Lesion("i-1", 0, (min(xs), min(ys), max(xs), max(ys)), score, outline=tuple(outline), **more)


def test_a_mark_is_described_in_the_frame_of_which_the_model_saw_a_part() -> None:
    outline = ellipse(90.0, 60.0)
    seen = picture(outline, 0.3)
    twice = [(100 + 2 * x, 50 + 2 * y) for x, y in outline]  # in the frame it is twice as large, and elsewhere
    view, size = (100, 50, 100 + 2 * SIDE, 50 + 2 * SIDE), (800, 600)
    (whole,) = lesion_description.describe_lesions([mark(twice)], seen, size, view, [Scale(0, 0, 800, 600, 0.1, 0.1)])
    assert [whole.long_axis_px, whole.short_axis_px] == pytest.approx([180, 120], abs=1)
    assert [whole.long_axis_mm, whole.short_axis_mm] == pytest.approx([18, 12], abs=0.1)
    assert whole.volume_mm3 == pytest.approx(math.pi / 6 * 18 * 12 * 12, rel=0.02)
    assert [whole.area_px, whole.area_mm2] == pytest.approx([math.pi * 90 * 60, math.pi * 9 * 6], rel=0.01)
    found = terms(whole.features)
    assert (found["shape"], found["echo_pattern"], found["margin"]) == ("oval", "hypoechoic", "circumscribed")
    assert whole.picture == size
    assert len(whole.outline) == lesion_description.MOST_CORNERS
    assert whole.look[0] == pytest.approx(0.3, abs=0.02)


def test_a_clip_full_of_outlined_marks_still_fits_one_message() -> None:
    outline = [(1000.123 + 3 * x, 1000.123 + 3 * y) for x, y in ellipse(90.0, 60.0)]
    given = mark(outline, score=0.1234567890123456, tags={"finding": "a_finding_with_a_name"})
    given = dataclasses.replace(given, instance="i-" + "f" * 20)
    scales = [Scale(0, 0, 4096, 4096, 0.0123456, 0.0123456)]
    frame = lesion_description.describe_lesions(
        [given] * MOST_LESIONS, picture(ellipse(90.0, 60.0), 0.3), (4096, 4096), None, scales
    )
    told = [inference_child._compact_lesion(one) for one in frame] * 16
    assert len(json.dumps(told)) < 0.98 * LARGEST_HEADER_BYTES


def test_a_size_is_in_millimetres_only_where_the_whole_lesion_lies_in_one_scale() -> None:
    parts = [Scale(0, 0, 400, 300, 0.2, 0.1), Scale(0, 300, 400, 600, None, None), Scale(50, 50, 100, 100, 1.0, 1.0)]
    assert find_scale(parts, (200, 10, 300, 90)) == (0.2, 0.1)
    assert find_scale(parts, (60, 60, 90, 90)) == (1.0, 1.0), "of two parts the smaller one"
    assert find_scale(parts, (60, 60, 200, 90)) is None
    assert find_scale(parts, (10, 310, 90, 390)) is None
    assert find_scale([], (10, 10, 90, 90)) is None
