"""Accounts as pages: everybody's own password, and for doctors the accounts of doctors and technicians."""

from __future__ import annotations

import re

from firmware_app.cases.accounts import Role
from firmware_app.cases.audit import Audit
from tests.viewer import HTML, PASSWORD, Desk, post

NEW = "three ducks below the bridge"


def test_a_doctor_makes_an_account_whose_code_stands_on_one_page(desk: Desk) -> None:
    doctor = desk.person("li")
    wrong = post(doctor, "/accounts", name="wu", role="technician", own="not the password")
    assert (wrong.status_code, desk.accounts.find("wu")) == (400, None)
    assert 'value="wu"' in wrong.text
    page = post(doctor, "/accounts", name="wu", role="technician", own=PASSWORD).text
    code = re.search(r'class="code">([0-9A-Z-]+)<', page)
    assert code
    assert code[1] not in doctor.get("/accounts", headers=HTML).text
    claimed = post(desk.app.test_client(), "/claim", code=code[1], password=NEW, again=NEW)
    assert claimed.headers["Location"] == "/box"
    assert post(doctor, "/accounts", name="x", role="auditor", own=PASSWORD).status_code == 400


def test_an_account_is_renewed_and_ended_but_never_the_own_one_or_the_auditors(desk: Desk) -> None:
    doctor, technician, auditor = (
        desk.person(*one) for one in (("li",), ("wu", Role.TECHNICIAN), ("jian", Role.AUDITOR))
    )
    assert [one.get("/accounts", headers=HTML).status_code for one in (technician, auditor)] == [403, 403]
    assert post(doctor, "/accounts/change", name="jian", does="disable", own=PASSWORD).status_code == 400
    assert post(doctor, "/accounts/change", name="li", does="disable", own=PASSWORD).status_code == 400
    assert 'class="code"' in post(doctor, "/accounts/change", name="wu", does="renew", own=PASSWORD).text
    assert technician.get("/box", headers=HTML).headers["Location"] == "/login"
    assert post(doctor, "/accounts/change", name="wu", does="disable", own=PASSWORD).status_code == 302
    told = [(one.action, one.actor) for one in Audit(desk.clinical.database).latest(2)]
    assert told == [("user.disabled", "li"), ("user.renewed", "li")]


def test_the_own_password_is_changed_by_who_knows_it_and_other_screens_are_logged_out(desk: Desk) -> None:
    doctor, other = desk.person("li"), desk.app.test_client()
    post(other, "/login", name="li", password=PASSWORD)
    assert other.get("/", headers=HTML).status_code == 200
    common = "1234567890"
    for old, new, again in (
        ("wrong", NEW, NEW),
        (PASSWORD, "short", "short"),
        (PASSWORD, NEW, "x"),
        (PASSWORD, common, common),
    ):
        assert post(doctor, "/password", old=old, password=new, again=again).status_code == 400
    assert "is changed" in post(doctor, "/password", old=PASSWORD, password=NEW, again=NEW).text
    assert doctor.get("/", headers=HTML).status_code == 200
    assert other.get("/", headers=HTML).headers["Location"] == "/login"
    assert post(desk.app.test_client(), "/login", name="li", password=PASSWORD).status_code == 401


def test_an_error_on_the_claim_page_keeps_code_and_name_and_no_password(desk: Desk) -> None:
    code = desk.accounts.create_first_claim()
    assert code
    page = post(desk.app.test_client(), "/claim", code=code, name="王医生", password="1234567890", again="1234567890")
    assert page.status_code == 400
    assert "everybody tries first" in page.text
    assert f'value="{code}"' in page.text
    assert 'value="王医生"' in page.text
    assert "1234567890" not in page.text
