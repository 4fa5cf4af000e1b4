"""Two doctors read a case blind to each other, and a third settles where they differ."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.verdicts import VerdictsLocked
from firmware_app.core.settings import ReviewSection
from firmware_app.results.case_view import gather_numbered_view
from tests.viewer import HTML, Desk, post


@pytest.fixture
def two(desk: Desk) -> Desk:
    desk.config = desk.config.model_copy(update={"review": ReviewSection(two_readers=True)})
    desk.app = desk.restarted()
    return desk


def worklist(two: Desk) -> CaseLists:
    return CaseLists(two.clinical, two_readers=True)


def read_all_pages(doctor: FlaskClient, case: str) -> str:
    """All that a doctor may look at."""
    pages = (f"/case/{case}", f"/case/{case}/report", "/", "/?tab=done", "/own")
    return "".join(doctor.get(page, headers=HTML).text for page in pages)


def test_neither_reader_sees_a_word_of_the_other_before_both_have_spoken(two: Desk) -> None:
    li, wang, page = two.person("li"), two.person("wang"), f"/case/{two.case}"
    post(li, f"{page}/remark", kind="missed", text="A broken rib.")
    post(li, f"{page}/verdict", finding="pneumonia", verdict="disagree")
    after = post(li, f"{page}/done").headers["Location"]
    assert two.case not in after.split("?")[0]  # on to somebody else's case
    assert not worklist(two).is_done(two.case)
    assert [row.case for row in worklist(two).list_rows("open", 9)] == [two.case]
    shown = read_all_pages(wang, two.case)
    assert "Two doctors read it" in shown
    assert "li:" not in shown
    assert "li," not in shown
    assert "broken rib" not in shown
    told = wang.post(
        f"{page}/verdict",
        headers={"Accept": "application/json"},
        data={"finding": "pneumonia", "verdict": "", "csrf_token": _token(wang), "seen": ""},
    )
    assert "li" not in told.text.replace("title", "")
    result = gather_numbered_view(two.config, two.clinical, two.case)
    assert (result.opinions, result.written) == ((), ())  # nor does an archive
    assert "waits for a second doctor" in li.get(page, headers=HTML).text
    post(wang, f"{page}/done", **{"said-pneumonia": "disagree"})
    assert worklist(two).is_done(two.case)
    assert "li and wang have read it and agree." in li.get(page, headers=HTML).text
    assert "A broken rib." in wang.get(page, headers=HTML).text


def _token(client: FlaskClient) -> str:
    from tests.viewer import token

    return token(client, "/claim")


def test_where_they_differ_a_third_who_sees_both_has_the_last_word(two: Desk) -> None:
    li, wang, zhao, page = two.person("li"), two.person("wang"), two.person("zhao"), f"/case/{two.case}"
    for doctor, verdict in ((li, "agree"), (wang, "disagree")):
        post(doctor, f"{page}/done", **{"said-pneumonia": verdict})
    assert not worklist(two).is_done(two.case)
    assert "li and wang differ on: Pneumonia. A third doctor settles it." in li.get(page, headers=HTML).text
    post(li, f"{page}/verdict", finding="pneumonia", verdict="disagree")  # what was said stands
    with pytest.raises(VerdictsLocked):
        worklist(two).withdraw(two.case, "pneumonia", "wang")
    third = zhao.get(page, headers=HTML).text
    assert "Please settle it as the third." in third
    assert "li: Agree" in third
    post(zhao, f"{page}/done", **{"said-pneumonia": "disagree"})
    assert worklist(two).is_done(two.case)
    assert "zhao has settled it." in li.get(page, headers=HTML).text
    said = [(one.actor, one.verdict) for one in worklist(two).list_verdicts(two.case)]
    assert said == [("li", "agree"), ("wang", "disagree"), ("zhao", "disagree")]
    actions = [(one.actor, one.action) for one in Audit(two.clinical.database).latest(30)]
    assert ("li", "case.read") in actions
    assert ("zhao", "case.done") in actions


def test_with_one_reader_nothing_changes(desk: Desk) -> None:
    assert CaseLists(desk.clinical).load_double_reading(desk.case) is None
    post(desk.person("li"), f"/case/{desk.case}/done", **{"said-pneumonia": "agree"})
    assert CaseLists(desk.clinical).is_done(desk.case)
