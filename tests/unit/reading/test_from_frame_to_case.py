"""Marks of frames become the lesions of a case; every expected number here was worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from firmware_app.cases import lesion_tracking
from firmware_app.core.records import Finding, FramesRead, Lesion, Reading
from firmware_app.uplink.messages.summary import choose_size_band
from tests.unit.results.test_case_line import READ


def mark(
    frame: int, x: float = 100.0, score: float = 0.8, code: str = "solid", side: float = 20.0, **more: Any
) -> Lesion:
    """A square box of *side* pixels whose left side is at *x*."""
    box = (x, 100.0, x + side, 100.0 + side)
    given: dict[str, Any] = {"instance": "i-1", "frame": frame, "box": box, "score": score, "tags": {"finding": code}}
    return Lesion(**given | more)


def reading(*marks: Lesion, clip: FramesRead | None = None, instance: str = "i-1") -> Reading:
    findings = tuple(Finding(code, {"en": code}, 0.8, 0.5) for code in ("solid", "malignant", "benign"))
    return replace(READ, instances=(instance,), findings=findings, lesions=marks, frames=clip)


def clip(*read: int, rate_hz: float | None = 30.0, weights: tuple[float, ...] = ()) -> FramesRead:
    return FramesRead(200, read, weights=weights, rate_hz=rate_hz)


def list_frames(found: tuple[Lesion, ...]) -> list[list[int]]:
    """The frames of each lesion."""
    return [[frame for _, frame in one.seen.marks] for one in found if one.seen is not None]


# --- which marks are one lesion ---------------------------------------------------------------------------------------


def test_one_place_in_two_frames_is_one_lesion() -> None:
    # Moved by 5 of 20 px: overlap 15/25 = 0.6, position 1 - 5/20 = 0.75, sizes equal.
    first, second = mark(0), mark(1, x=105.0)
    assert lesion_tracking.compute_likeness(first, second) == pytest.approx((0.6 + 0.75 + 1.0) / 3)
    assert list_frames(lesion_tracking.find_lesions([reading(first, second, clip=clip(0, 1))])) == [[0, 1]]


def test_two_places_in_one_frame_are_two_lesions_and_stay_two_in_the_next() -> None:
    marks = mark(0), mark(0, x=130.0, score=0.6), mark(1, x=128.0, score=0.6), mark(1, x=98.0)
    found = lesion_tracking.find_lesions([reading(*marks, clip=clip(0, 1))])
    assert list_frames(found) == [[0, 1], [0, 1]]
    assert [one.box[0] for one in found] == [100.0, 130.0]


def test_a_lesion_that_is_lost_for_three_frames_is_one() -> None:
    found = lesion_tracking.find_lesions([reading(mark(0), mark(4, x=103.0), clip=clip(0, 1, 2, 3, 4))])
    assert list_frames(found) == [[0, 4]]
    assert found[0].seen is not None
    assert (found[0].seen.frames, found[0].seen.of) == (2, 5)


@pytest.mark.parametrize(
    ("rate_hz", "back", "lesions"),
    [(30.0, 15, 1), (30.0, 16, 2), (10.0, 5, 1), (10.0, 6, 2), (None, 5, 1), (None, 6, 2)],
)
def test_a_lesion_may_be_away_for_half_a_second_or_without_a_frame_rate_for_five_frames(
    rate_hz: float | None, back: int, lesions: int
) -> None:
    whole = clip(*range(back + 1), rate_hz=rate_hz)
    assert len(lesion_tracking.find_lesions([reading(mark(0), mark(back), clip=whole)])) == lesions


def test_of_two_places_equally_near_the_one_that_looks_the_same_is_taken() -> None:
    dark, bright = (0.1, 0.2), (0.8, 0.9)
    marks = mark(0, look=dark), mark(1, x=92.0, look=bright), mark(1, x=108.0, look=dark)
    found = lesion_tracking.follow_marks(marks, clip(0, 1))
    assert [[one.box[0] for one in track] for track in found] == [[100.0, 108.0], [92.0]]


def test_a_frozen_picture_stored_twice_shows_one_lesion_and_another_view_a_second_one() -> None:
    like: dict[str, Any] = {"picture": (640, 480), "look": (0.2, 0.5)}
    first = reading(mark(0, **like))
    again = reading(mark(0, x=102.0, instance="i-2", **like), instance="i-2")
    other = reading(mark(0, x=102.0, instance="i-3", picture=(640, 480), look=(0.6, 0.9)), instance="i-3")
    found = lesion_tracking.find_lesions([first, again, other])
    assert sorted(1 if one.seen is None else one.seen.frames for one in found) == [1, 2]
    enlarged = reading(mark(0, instance="i-4", picture=(320, 240), look=(0.2, 0.5)), instance="i-4")
    assert len(lesion_tracking.find_lesions([first, enlarged])) == 2, "in pictures of other sizes a place means nothing"


# --- what they say together -------------------------------------------------------------------------------------------


def test_the_score_is_the_mean_weighted_by_the_frames_quality_and_the_best_frame_has_both() -> None:
    sharp, blurred = mark(0, score=0.6), mark(1, score=0.9)
    (found,) = lesion_tracking.find_lesions([reading(sharp, blurred, clip=clip(0, 1, weights=(1.0, 0.5)))])
    assert found.score == pytest.approx((1.0 * 0.6 + 0.5 * 0.9) / 1.5)
    assert found.frame == 0, "0.6 in a sharp frame stands before 0.9 in one of half the quality"


def test_one_frame_says_malignant_and_three_say_benign() -> None:
    says = ("malignant", 0.9), ("benign", 0.8), ("benign", 0.7), ("benign", 0.6)
    marks = [mark(frame, code=code, score=score) for frame, (code, score) in enumerate(says)]
    (found,) = lesion_tracking.find_lesions([reading(*marks, clip=clip(0, 1, 2, 3))])
    assert found.finding == "benign"
    assert found.score == pytest.approx((0.8 + 0.7 + 0.6) / 4)
    assert found.chances == {"malignant": pytest.approx(0.9 / 4)}
    assert found.frame == 1
    assert found.seen is not None
    assert found.seen.votes == {"malignant": 1, "benign": 3}
    assert lesion_tracking.score_findings([found]) == {
        "benign": pytest.approx(0.525),
        "malignant": pytest.approx(0.225),
    }


def test_sizes_are_the_median_with_least_and_greatest_and_what_no_frame_measured_stays_unknown() -> None:
    axes = (8.0, 30.0, 10.0)
    marks = [mark(frame, long_axis_mm=axis, area_px=100 * frame) for frame, axis in enumerate(axes)]
    (found,) = lesion_tracking.find_lesions([reading(*marks, clip=clip(0, 1, 2))])
    assert (found.long_axis_mm, found.area_px, found.short_axis_mm) == (10.0, 100, None)
    assert found.seen is not None
    assert found.seen.ranges == {"long_axis_mm": (8.0, 30.0), "area_px": (0, 200)}
    assert found.largest("long_axis_mm") == 30.0
    assert choose_size_band([found.largest("long_axis_mm")]).value == ">=30", (
        "the hospital is told of the largest section"
    )
