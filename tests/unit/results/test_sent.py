"""What page and command say of results on their way: “taken” and “kept” are two things, and a refusal has a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cli import command_line
from firmware_app.core import run_status
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.dicom.errors import PacsFull
from firmware_app.results import due_cases, remote_status
from firmware_app.results.archive_queue import QueuedObject, SendingQueue
from firmware_app.results.due_cases import DueCase
from tests.finished import admit_image, days_ago, film, open_state, read_all
from tests.viewer import HTML, PASSWORD, Silent, post
from web.app import create_app

SR = QueuedObject("sr", "1.2.3", "2.25.1", "c-1-1/sr-01.dcm")
SC = QueuedObject("sc", "1.2.4", "2.25.2", "c-1-1/sc-01.dcm")


class Clinic:
    """A box with one case that is read, and an archive."""

    def __init__(self, folder: Path) -> None:
        self.state, self.clinical, door = open_state(folder / "state")
        self.queue = SendingQueue(self.clinical.database)
        self.queue.set_archives({"pacs": "10.0.0.5:104 ARCHIVE"})
        self.case = admit_image(door, film(folder / "films", 1), days_ago(0))
        read_all(self.state, self.clinical)
        self.config = Config.model_validate(
            {
                "state": {"dir": self.state.root},
                "box": {"language": "en"},
                "pacs": {"host": "10.0.0.5", "ae_title": "ARCHIVE", "send": True},
            }
        )

    def put(self) -> None:
        for case in due_cases.list_due_cases(self.clinical.database):
            due_cases.settle_case(self.clinical.database, case)
        self.queue.put(DueCase(self.case, 1, False), 1, [SC, SR], {"pacs": {"sr", "sc"}})

    def said(self) -> tuple[str, Reason | None]:
        (one,) = remote_status.describe_archive_delivery(self.config, self.clinical.database, self.case)
        return one.state.code, one.problem


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    made = Clinic(tmp_path)
    yield made
    made.clinical.database.close()


@pytest.mark.parametrize(("commits", "code"), [(True, "sent.stored"), (False, "sent.accepted")])
def test_each_step_of_the_way_has_its_sentence(clinic: Clinic, commits: bool, code: str) -> None:
    assert clinic.said() == ("sent.not_yet", None)
    clinic.put()
    assert clinic.said() == ("sent.waits", None)
    first, last = clinic.queue.list_waiting("pacs")
    clinic.queue.record_success(first, commits=commits)
    full = Reason.from_error(PacsFull(pacs="ARCHIVE", status="A700H"))
    clinic.queue.record_failure(last, full)
    assert clinic.said() == ("sent.partly", full)
    clinic.queue.record_success(last, commits=commits)
    assert clinic.said() == (code, None)
    due_cases.request_sending(clinic.clinical.database, clinic.case, "li")
    assert clinic.said() == ("sent.not_yet", None), "the newest word is not there"


def test_page_and_command_tell_a_kept_result_from_one_that_was_only_taken(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic.put()
    for one in clinic.queue.list_waiting("pacs"):
        clinic.queue.record_success(one, commits=False)
    taken_only = "This PACS does not say whether it keeps them."
    assert taken_only in _page(clinic)
    clinic.clinical.database.connection.execute("UPDATE sendings SET stage = 'committed'")
    kept = "PACS ARCHIVE: the results are there, and the PACS keeps them."
    assert kept in _page(clinic)
    for name, value in (
        ("STATE__DIR", str(clinic.state.root)),
        ("BOX__LANGUAGE", "en"),
        ("PACS__HOST", "10.0.0.5"),
        ("PACS__AE_TITLE", "ARCHIVE"),
        ("PACS__SEND", "true"),
    ):
        monkeypatch.setenv(f"LANTERN_{name}", value)
    assert command_line.main(["case", "send", clinic.case, "--state", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == kept
    assert due_cases.list_due_cases(clinic.clinical.database) == []
    assert command_line.main(["case", "send", clinic.case]) == 0
    assert [case.again for case in due_cases.list_due_cases(clinic.clinical.database)] == [True]


def test_the_sender_runs_where_an_archive_is_entered_for_it_may_be_owed_an_answer() -> None:
    for pacs, runs in (({}, False), ({"host": "10.0.0.5"}, True)):
        assert ("sender" in run_status.list_expected_processes(Config.model_validate({"pacs": pacs}))) is runs


def _page(clinic: Clinic) -> str:
    """The page of the case, with plain quotation marks, for a doctor who has just logged in."""
    accounts = Accounts(clinic.state.accounts_db)
    accounts.create()
    app = create_app(clinic.config, clinic.state, clinic.clinical, accounts, Silent(None))
    doctor, name = app.test_client(), f"li{len(accounts.list_users())}"
    assert post(doctor, "/claim", code=accounts.add(name, Role.DOCTOR), password=PASSWORD, again=PASSWORD)
    shown = doctor.get(f"/case/{clinic.case}", headers=HTML).text
    accounts.database.close()
    return shown
