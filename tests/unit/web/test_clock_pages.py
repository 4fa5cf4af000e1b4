"""Times on the pages: what was written under a clock that nobody vouched for says so, in Chinese and in English."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from markupsafe import escape

from firmware_app.cases.audit import Audit, AuditEntry
from firmware_app.cases.clinical_db import CLOCK_CHANGED, ClockChanges
from firmware_app.core import clock
from firmware_app.core.clock import Clock, TimeSource
from firmware_app.core.language import translate
from tests.cases import admit, make_header
from tests.machine import IN_1970, TODAY, FakeClock
from tests.viewer import HTML, Desk, post

MARK = "(clock not confirmed)"
BANNER = "The box's clock is not confirmed; its times are marked until it is."


@pytest.fixture
def machine() -> Iterator[FakeClock]:
    """The box's machine, its clock in 1970; the clock of the tests is restored afterwards."""
    before, made = clock.current_clock(), FakeClock(IN_1970)
    clock.use_clock(Clock(kernel=made))
    yield made
    clock.use_clock(before)


def read_page(client: FlaskClient, page: str, language: str = "en") -> str:
    with client.session_transaction() as session:
        session["language"] = language
    return str(client.get(page, headers=HTML).text)


def entries(desk: Desk) -> list[AuditEntry]:
    """The audit, newest first."""
    return Audit(desk.clinical.database).latest(50)


def admit_image(desk: Desk, number: int) -> None:
    admit(desk.clinical, 10 + number, make_header(number, f"1.2.8.{number}"))


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_list_marks_what_came_under_a_clock_nobody_vouched_for_and_goes_on_marking_it(
    machine: FakeClock, desk: Desk, language: str
) -> None:
    doctor = desk.person("li")
    admit_image(desk, 1)
    shown = read_page(doctor, "/", language)
    assert escape(translate(BANNER, language)) in shown
    clock.current_clock().learn(TODAY, TimeSource.PERSON)
    admit_image(desk, 2)
    shown = read_page(doctor, "/", language)
    assert escape(translate(BANNER, language)) not in shown
    times = re.findall(r"<time datetime=[^>]*>([^<]*)</time>", shown)
    marked = [translate(MARK, language) in text for text in times]
    assert sorted(marked) == [False, True, True]  # the newest, and the two from before


def test_a_person_at_the_screen_sets_the_clock_forward_and_is_audited(machine: FakeClock, desk: Desk) -> None:
    doctor = desk.person("li")
    assert 'name="time"' in read_page(doctor, "/box")
    typed = time.strftime("%Y-%m-%dT%H:%M", time.localtime(TODAY))
    assert post(doctor, "/box/clock", time=typed).status_code == 302
    assert clock.stamp().trusted
    assert clock.stamp().at.timestamp() == TODAY
    assert 'name="time"' not in read_page(doctor, "/box")
    entry = next(one for one in entries(desk) if one.action == "clock.set")
    assert entry.actor == "li"
    assert str(entry.details["before"]).endswith("?")


def test_the_audit_says_by_how_much_the_time_moved(machine: FakeClock, desk: Desk, tmp_path: Path) -> None:
    changes = ClockChanges(desk.clinical)
    before = clock.stamp().at.timestamp()
    machine.wait(60.0)
    changes.check()
    clock.current_clock().learn(TODAY, TimeSource.HOSPITAL)
    changes.check()
    changes.check()
    actual = [entry for entry in entries(desk) if entry.action == CLOCK_CHANGED]
    assert len(actual) == 1
    assert actual[0].details["source"] == "hospital_alone"
    assert actual[0].details["seconds"] == round(TODAY - before - 60)
