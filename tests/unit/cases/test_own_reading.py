"""The case's page and local calibration: a reading before the result, a word after it, an outcome that comes later."""

from __future__ import annotations

import pytest

from firmware_app.cases.accounts import Role
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.cases.model_scores import SamplingShares
from tests.local_films import FINDING, read_image
from tests.viewer import HTML, Desk, post

OF_THE_RESULT = ("87%", "found", "routine", "Report", "data-heat", "/heat/")


@pytest.fixture
def hidden(desk: Desk) -> str:
    """A case that was drawn to be read first."""
    for number in range(100):
        case = read_image(desk.clinical, number, 0.87, shares=SamplingShares(0.9, 0.1))
        if Confirmations(desk.clinical.database).list_withheld(case):
            return case
    raise AssertionError("none of a hundred cases was drawn")


def with_heat(desk: Desk, case: str) -> str:
    """The image of *case*, beside which lies a heat map now."""
    (instance,) = [str(file.instance) for file in desk.clinical.load_case(case).files]
    heat = desk.state.display / instance / f"{FINDING}.png"
    heat.parent.mkdir(parents=True, exist_ok=True)
    heat.write_bytes(b"")
    return instance


def words(desk: Desk, case: str) -> list[tuple[Truth, Source]]:
    return [(one.truth, one.source) for one in Confirmations(desk.clinical.database).list_for_case(case)]


def test_nothing_of_the_result_is_shown_before_the_own_reading(desk: Desk, hidden: str) -> None:
    doctor = desk.person("li")
    page = doctor.get(f"/case/{hidden}", headers=HTML).text
    assert [one for one in OF_THE_RESULT if one in page.split("<main")[1]] == []
    assert "Please read this film first" in page
    row = doctor.get("/lists", headers=HTML).text.split(hidden)[0].rsplit("<li", 1)[1]
    assert "first" in row
    after = doctor.get("/lists", headers=HTML).text.split(f'data-key="{hidden}"')[1].split("</li>")[0]
    assert [one for one in OF_THE_RESULT if one in after] == []
    assert doctor.get(f"/case/{hidden}/report", headers=HTML).headers["Location"].endswith(hidden)
    instance = with_heat(desk, hidden)
    assert doctor.get(f"/film/{instance}/heat/{FINDING}.png").status_code == 404
    assert post(doctor, f"/case/{hidden}/verdict", finding=FINDING, verdict="agree").status_code == 302
    assert CaseLists(desk.clinical).list_verdicts(hidden) == ()


def test_the_own_reading_is_kept_and_opens_the_result(desk: Desk, hidden: str) -> None:
    doctor = desk.person("li")
    assert post(doctor, f"/case/{hidden}/reading", **{f"said-{FINDING}": "perhaps"}).status_code == 400
    assert post(doctor, f"/case/{hidden}/reading", **{f"said-{FINDING}": "negative"}).status_code == 302
    assert words(desk, hidden) == [(Truth.NEGATIVE, Source.OWN_BEFORE)]
    page = doctor.get(f"/case/{hidden}", headers=HTML).text
    assert "87%" in page
    assert "read before the result was shown" in page
    instance = with_heat(desk, hidden)
    sent = doctor.get(f"/film/{instance}/heat/{FINDING}.png")
    sent.close()
    assert sent.status_code == 200


def test_a_reading_after_somebody_has_opened_the_result_is_not_kept_as_one_before(desk: Desk, hidden: str) -> None:
    li, wang = desk.person("li"), desk.person("wang")
    assert post(wang, f"/case/{hidden}/show").status_code == 302
    answer = post(li, f"/case/{hidden}/reading", **{f"said-{FINDING}": "positive"})
    assert "your reading was not kept" in li.get(answer.headers["Location"], headers=HTML).text
    assert words(desk, hidden) == []


def test_a_case_to_be_read_first_stands_among_the_urgent_ones(desk: Desk, hidden: str) -> None:
    rows = CaseLists(desk.clinical).list_rows("open", 9)
    assert [row.case for row in rows if row.hidden or row.case == desk.case][:2] == [desk.case, hidden]
    shown = next(row for row in rows if row.case == hidden)
    assert (shown.hidden, shown.priority, shown.findings) == (True, None, ())


def test_a_verdict_on_what_is_asked_for_is_a_reading_after_the_result(desk: Desk) -> None:
    doctor, called = desk.person("li"), read_image(desk.clinical, 1, 0.87, shares=SamplingShares(0.0, 0.1))
    other = desk.person("wang")
    post(other, f"/case/{called}/verdict", finding=FINDING, verdict="agree")
    post(doctor, f"/case/{called}/verdict", finding=FINDING, verdict="disagree")
    post(doctor, f"/case/{called}/verdict", finding=FINDING, verdict="")
    assert words(desk, called) == [
        (Truth.POSITIVE, Source.AFTER),
        (Truth.NEGATIVE, Source.AFTER),
        (Truth.POSITIVE, Source.AFTER),
    ]
    post(other, f"/case/{called}/verdict", finding=FINDING, verdict="none")
    assert words(desk, called)[-1] == (Truth.UNSURE, Source.AFTER)


def test_a_verdict_on_what_nobody_asks_for_is_no_confirmation(desk: Desk) -> None:
    says, doctor = Confirmations(desk.clinical.database), desk.person("li")
    low = next(case for number in range(99) if not says.find_requests(case := read_image(desk.clinical, number, 0.1)))
    post(doctor, f"/case/{low}/verdict", finding=FINDING, verdict="agree")
    assert words(desk, low) == []


def test_an_outcome_is_entered_on_the_cases_page_and_stands_there(desk: Desk) -> None:
    doctor, case = desk.person("li"), read_image(desk.clinical, 1, 0.87, shares=SamplingShares(0.0, 0.1))
    told = {"finding": FINDING, "truth": "negative", "source": "laboratory"}
    for wrong in ({"source": "own_reading_before_shown"}, {"truth": "none"}, {"finding": "cough"}):
        assert post(doctor, f"/case/{case}/outcome", **{**told, **wrong}).status_code == 400
    assert post(doctor, f"/case/{case}/outcome", **told).status_code == 302
    assert words(desk, case) == [(Truth.NEGATIVE, Source.LABORATORY)]
    assert "<strong>absent</strong>, laboratory" in doctor.get(f"/case/{case}", headers=HTML).text
    assert post(desk.person("wu", Role.TECHNICIAN), f"/case/{case}/outcome", **told).status_code == 403
