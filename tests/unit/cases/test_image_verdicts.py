"""A doctor's word on one image alone, and what a doctor draws on a film: kept beside all other words, and audited."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.remarks import Drawing, Remarks, select_current
from firmware_app.core.records import Instance
from tests.cases import read_case
from tests.viewer import HTML, Desk, post

BOX = [[10.0, 20.0], [110.04, 220.0]]


@pytest.fixture
def second(desk: Desk) -> Instance:
    """A second image of the case, which was read too; frames of both can be shown."""
    made = read_case(desk.clinical, 2)
    for image in (desk.instance, made):
        folder = desk.state.display / image.reference
        folder.mkdir(exist_ok=True)
        facts = {"columns": 300, "rows": 400, "frames": 1, "frames_shown": 1}
        (folder / "frame-000.json").write_text(json.dumps(facts))
    return made


def make_drawing(instance: str, points: list[Any], frame: int = 0) -> str:
    return json.dumps({"instance": instance, "frame": frame, "points": points})


def read_remarks(desk: Desk) -> list[tuple[Any, ...]]:
    remarks = select_current(Remarks(desk.clinical.database).list_for_case(desk.case))
    return [(remark.actor, remark.instance, remark.text, remark.drawing) for remark in remarks]


def test_a_word_on_one_image_stands_beside_the_case_and_all_others(desk: Desk, second: Instance) -> None:
    li, wang, page = desk.person("li"), desk.person("wang"), f"/case/{desk.case}"
    image = {"finding": "pneumonia", "instance": second.reference}
    for doctor, verdict in ((li, "agree"), (li, "missed"), (wang, "disagree")):
        post(doctor, f"{page}/verdict", verdict=verdict, **image)
    assert read_remarks(desk) == [
        ("li", second.reference, "missed", None),
        ("wang", second.reference, "disagree", None),
    ]
    assert CaseLists(desk.clinical).list_verdicts(desk.case) == ()  # the case still waits for its own word
    shown = li.get(page, headers=HTML).text
    assert "image 2, li: Missed something" in shown
    assert "Pneumonia (image 2): Agree · li" in shown  # the word before it is not lost
    post(li, f"{page}/verdict", verdict="", **image)
    assert [remark[0] for remark in read_remarks(desk)] == ["wang"]
    actions = [(one.action, one.details.get("image")) for one in Audit(desk.clinical.database).latest(2)]
    assert ("image.withdrawn", second.reference) in actions
    assert (
        post(li, f"{page}/verdict", verdict="agree", finding="fracture", instance=second.reference).status_code == 400
    )


def test_what_is_drawn_is_kept_with_the_word_shown_and_audited(desk: Desk, second: Instance) -> None:
    li, page = desk.person("li"), f"/case/{desk.case}"
    drawing = make_drawing(second.reference, BOX)
    post(li, f"{page}/verdict", finding="pneumonia", verdict="disagree", drawing=drawing)
    kept = Drawing(second.reference, 0, ((10, 20), (110, 220)))
    assert read_remarks(desk) == [("li", "", "disagree", kept)]
    assert (kept.box, kept.outline) == ((10, 20, 110, 220), ())
    (entry,) = (one for one in Audit(desk.clinical.database).latest(3) if one.action == "finding.judged")
    assert (entry.details["image"], entry.details["box"]) == (second.reference, "10 20 110 220")
    shown = li.get(page, headers=HTML).text
    assert "li: Disagree, Pneumonia (drawn by the doctor, dashed)" in shown
    post(
        li,
        f"{page}/remark",
        kind="missed",
        text="A second one.",
        drawing=make_drawing(second.reference, [*BOX, [10, 200]]),
    )
    assert read_remarks(desk)[-1][-1].outline


@pytest.mark.parametrize(
    "drawing",
    [
        "{",
        make_drawing("i-" + "0" * 20, BOX),
        make_drawing("OWN", BOX, 7),
        make_drawing("OWN", [[1, 1], [2, 2]]),
        make_drawing("OWN", [[0, 0], [301, 10]]),
        make_drawing("OWN", [[0, 0], [float("nan"), 9]]),
        make_drawing("OWN", [[float(n % 90), float(n)] for n in range(399)] + [[1, 1], [2, 2]]),
    ],
)
def test_a_drawing_on_no_frame_or_beyond_its_edge_is_refused_with_its_word(
    desk: Desk, second: Instance, drawing: str
) -> None:
    text = drawing.replace("OWN", second.reference)
    answer = post(desk.person("li"), f"/case/{desk.case}/verdict", finding="pneumonia", verdict="agree", drawing=text)
    assert answer.status_code == 400
    assert read_remarks(desk) == []
