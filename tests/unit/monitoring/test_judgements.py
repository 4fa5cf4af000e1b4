"""What doctors say to a case: several words side by side, "Done" after one, and both taken back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.verdicts import VerdictMissing
from firmware_app.core import clock
from tests.cases import read_case
from tests.viewer import HTML, Desk, post


def words(desk: Desk) -> list[tuple[str, str]]:
    return [(verdict.actor, verdict.verdict) for verdict in CaseLists(desk.clinical).list_verdicts(desk.case)]


def test_two_doctors_words_stand_side_by_side(desk: Desk) -> None:
    li, wang = desk.person("li"), desk.person("wang")
    post(li, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="agree")
    post(wang, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="disagree")
    assert words(desk) == [("li", "agree"), ("wang", "disagree")]
    post(wang, f"/case/{desk.case}/done")
    for page in (f"/case/{desk.case}", f"/case/{desk.case}/report", "/?tab=done"):
        shown = li.get(page, headers=HTML).text
        for doctor, word in (("li", "Agree"), ("wang", "Disagree")):
            assert doctor in shown
            assert word in shown, page
    assert "li: Agree" in li.get("/?tab=done", headers=HTML).text


def test_a_word_is_taken_back_by_whoever_said_it(desk: Desk) -> None:
    li, wang = desk.person("li"), desk.person("wang")
    for doctor in (li, wang):
        post(doctor, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="agree")
    post(li, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="")
    assert words(desk) == [("wang", "agree")]
    assert Audit(desk.clinical.database).latest(1)[0].action == "finding.withdrawn"


def form_of(worklist: CaseLists, case: str) -> dict[str, str]:
    """What a form that takes “Done” back carries."""
    done = worklist.find_completion(case)
    assert done is not None
    return {"whose": done.actor, "at": done.at.text()}


def come_late(desk: Desk) -> None:
    """Another image of the same study comes and is read."""
    read_case(desk.clinical, 2)


@pytest.mark.parametrize("word", ["disagree", "none"])
def test_done_without_a_word_asks_for_one_and_takes_no_opinion_too(desk: Desk, word: str) -> None:
    doctor, worklist = desk.person("li"), CaseLists(desk.clinical)
    asked = post(doctor, f"/case/{desk.case}/done")
    assert not worklist.is_done(desk.case)
    shown = doctor.get(asked.headers["Location"], headers=HTML).text
    assert 'name="said-pneumonia" value="none"' in shown
    post(doctor, f"/case/{desk.case}/done", **{"said-pneumonia": word})
    assert worklist.is_done(desk.case)
    assert words(desk) == [("li", word)]


def test_done_is_taken_back_where_it_leads_to(desk: Desk) -> None:
    doctor, worklist = desk.person("li"), CaseLists(desk.clinical)
    post(doctor, f"/case/{desk.case}/verdict", finding="pneumonia", verdict="agree")
    after = post(doctor, f"/case/{desk.case}/done").headers["Location"]
    undo = f"/case/{desk.case}/reopen"
    assert undo in doctor.get(after, headers=HTML).text
    assert undo in doctor.get(f"/case/{desk.case}", headers=HTML).text
    assert undo not in doctor.get("/", headers=HTML).text
    post(doctor, undo, **form_of(worklist, desk.case))
    assert not worklist.is_done(desk.case)
    assert undo not in doctor.get(after, headers=HTML).text
    assert Audit(desk.clinical.database).latest(1)[0].action == "case.reopened"
    assert [row.case for row in worklist.list_rows("open", 9)] == [desk.case]


def test_a_late_film_asks_for_another_look_and_another_word(desk: Desk) -> None:
    li, worklist = desk.person("li"), CaseLists(desk.clinical)
    page = f"/case/{desk.case}"
    post(li, f"{page}/verdict", finding="pneumonia", verdict="agree")
    token = re.search(r'name="seen" value="([^"]+)"', li.get(page, headers=HTML).text)
    assert token
    come_late(desk)
    for form, fields in (("verdict", {"finding": "pneumonia", "verdict": "disagree"}), ("done", {})):
        answer = post(li, f"{page}/{form}", seen=token[1], **fields)
        assert "please look again" in li.get(answer.headers["Location"], headers=HTML).text, form
    assert words(desk) == [("li", "agree")]
    assert not worklist.is_done(desk.case)
    assert "Agree (on an earlier reading)" in li.get(page, headers=HTML).text
    assert [finding.code for finding in worklist.list_unjudged(desk.case)] == ["pneumonia"]
    assert "ask" in post(li, f"{page}/done").headers["Location"]


def test_a_case_whose_last_word_is_taken_back_is_not_done(desk: Desk) -> None:
    worklist = CaseLists(desk.clinical)
    with pytest.raises(VerdictMissing):
        worklist.finish(desk.case, "li")
    worklist.finish(desk.case, "li", {"pneumonia": "agree"})
    assert worklist.is_done(desk.case)
    worklist.withdraw(desk.case, "pneumonia", "li")
    assert not worklist.is_done(desk.case)


def test_a_late_undo_takes_back_nobody_elses_done(desk: Desk) -> None:
    li, worklist = desk.person("li"), CaseLists(desk.clinical)
    worklist.finish(desk.case, "li", {"pneumonia": "agree"})
    old = form_of(worklist, desk.case)
    worklist.reopen(desk.case, "wang", **old)
    worklist.finish(desk.case, "wang")
    answer = post(li, f"/case/{desk.case}/reopen", **old)
    assert "nothing was changed" in li.get(answer.headers["Location"], headers=HTML).text
    assert worklist.is_done(desk.case)


def test_undo_is_not_offered_the_next_morning(desk: Desk) -> None:
    li, worklist = desk.person("li"), CaseLists(desk.clinical)
    worklist.finish(desk.case, "li", {"pneumonia": "agree"})
    undo = f"/case/{desk.case}/reopen"
    assert undo in li.get(f"/?done={desk.case}", headers=HTML).text
    evening = clock.Stamp(clock.now() - timedelta(hours=12), True).text()
    desk.clinical.database.connection.execute("UPDATE reviews SET at = ?", (evening,))
    assert undo not in li.get(f"/?done={desk.case}", headers=HTML).text
