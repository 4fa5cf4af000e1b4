"""A case in sentences: the same in a terminal and on a page, in both languages, and nothing that is not in the case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from firmware_app.core.records import Case, Feature, Finding, FollowUp, Lesion, LesionSightings, Priority
from firmware_app.imaging import lesion_description
from firmware_app.results import case_text
from tests.unit.results.test_case_line import CASE

MASS = Finding("mass", {"en": "Mass", "zh_CN": "肿块"}, 0.9, 0.5)
MALIGNANT = Finding("malignant", {"en": "Malignant mass", "zh_CN": "恶性肿块"}, 0.4, 0.5)
SEEN = LesionSightings(
    (("i-1", 0), ("i-1", 3), ("i-1", 4)), 6, {"long_axis_mm": (10.5, 13.06)}, {"malignant": 1, "mass": 3}
)
ADVICE = FollowUp(
    "follow_up.small",
    {"en": "See a doctor.", "zh_CN": "请就诊。"},
    {"en": "Rule A", "zh_CN": "规则A"},
    "Guideline, 2020",
    "toy",
    "1.0.0",
)


def mass(**more: Any) -> Lesion:
    given: dict[str, Any] = {
        "instance": "i-1",
        "frame": 3,
        "box": (100.0, 50.0, 140.0, 80.0),
        "score": 0.824,
        "tags": {"finding": "mass"},
        "picture": (600, 300),
        "long_axis_mm": 12.0,
        "short_axis_mm": 8.04,
        "area_mm2": 75.4,
        "volume_mm3": 406.0,
        "long_axis_px": 60.0,
        "short_axis_px": 40.2,
        "chances": {"malignant": 0.35},
        "seen": SEEN,
        "features": (Feature("shape", "oval", 0.93), Feature("margin", "not_circumscribed", 0.6, learned=True)),
    }
    return Lesion(**given | more)


def case(*lesions: Lesion) -> Case:
    return replace(CASE, priority=Priority.SOON, findings=(MASS, MALIGNANT), lesions=lesions, follow_up=ADVICE)


def test_a_lesion_is_told_with_its_place_size_description_and_what_frames_say() -> None:
    counted, told = case_text.describe_lesions(case(mass()), "en")
    assert counted == "Lesions marked: 1."
    assert told == (
        "Lesion 1, Mass, score 0.82: in the upper left of the picture, its middle at x 120, y 65. "
        "Seen in 3 of 6 frames, best in frame 4. "
        "Long axis 12.0 (10.5–13.1) mm, short axis 8.0 mm. Area 75 mm². "
        "Volume about 0.4 ml, as an ellipsoid of these axes. "
        "Description, computed (with its confidence): shape oval (93%). "
        "Description by the model (with its confidence): margin not circumscribed (60%). "
        "Malignant mass: 0.35, by 1 of 3 frames."
    )


def test_the_same_in_chinese() -> None:
    counted, told = case_text.describe_lesions(case(mass()), "zh_CN")
    assert counted == "标记病灶 1 个。"
    assert told == (
        "病灶 1（肿块，评分 0.82）：位于图像左上部，中心坐标 x 120、y 65。在 6 帧中的 3 帧可见，第 4 帧最清楚。"
        "长径 12.0 (10.5–13.1) mm，短径 8.0 mm。面积 75 mm²。按椭球体估算体积约 0.4 ml。"
        "计算得出的描述（括号内为把握程度）：形状椭圆形（93%）。模型给出的描述（括号内为把握程度）：边缘不局限（不清晰）（60%）。"
        "恶性肿块：0.35，3 帧中有 1 帧达到阈值。"
    )


def test_without_a_scale_the_sizes_are_in_pixels_and_it_says_so() -> None:
    bare = mass(long_axis_mm=None, short_axis_mm=None, area_mm2=None, volume_mm3=None, seen=None)
    (_, told) = case_text.describe_lesions(case(bare), "en")
    assert "Long axis 60 pixels, short axis 40 pixels; the picture states no scale." in told
    assert " mm" not in told
    assert "Volume" not in told


def test_what_is_not_known_is_not_told() -> None:
    box = Lesion("i-1", 0, (0.0, 0.0, 10.0, 10.0), 0.5)
    assert (
        case_text.describe_lesions(case(box), "en")[1]
        == "Lesion 1, score 0.50: in the picture, its middle at x 5, y 5."
    )
    assert case_text.describe_lesions(case(), "en") == []


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ((0.0, 0.0, 10.0, 10.0), "in the upper left of the picture"),
        ((290.0, 140.0, 310.0, 160.0), "in the middle of the picture"),
        ((590.0, 290.0, 600.0, 300.0), "in the lower right of the picture"),
        ((290.0, 280.0, 310.0, 300.0), "in the lower middle of the picture"),
    ],
)
def test_a_place_is_a_ninth_of_the_picture(box: tuple[float, float, float, float], place: str) -> None:
    assert case_text.describe_place(mass(box=box), "en") == place


def test_the_assessment_is_the_priority_and_the_follow_up_with_its_rule() -> None:
    advice = "See a doctor. (Rule: Rule A. Source: Guideline, 2020)"
    assert case_text.describe_assessment(case(), "en") == ["Priority: soon.", advice]
    assert case_text.describe_assessment(case(), "zh_CN")[1] == "请就诊。（规则：规则A；来源：Guideline, 2020）"
    assert len(case_text.describe_assessment(replace(case(), follow_up=None), "en")) == 1


def test_the_whole_text_begins_with_the_findings() -> None:
    told = case_text.describe_case(case(mass()), "en")
    assert told[0].startswith("Mass: found, 0.90")
    assert told[-1] == case_text.describe_assessment(case(), "en")[-1]


def test_a_list_of_lesions_ends_where_nobody_reads_on() -> None:
    told = case_text.describe_lesions(case(*[mass()] * 25), "en")
    assert (told[0], len(told), told[-1]) == ("Lesions marked: 25.", 22, "5 more are only marked on the pictures.")


def test_every_term_that_is_computed_has_a_word() -> None:
    for name, terms in lesion_description.TERMS.items():
        assert name in case_text.FEATURES
        assert set(terms) <= set(case_text.TERMS)
