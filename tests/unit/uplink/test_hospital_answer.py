"""The page of a case says of the hospital what is known by its signed receipt, and never more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import run_status
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.results import remote_status
from firmware_app.uplink.exchange.exchange_db import UPLINK_OPEN, Exchange
from firmware_app.uplink.outbox import Outbox
from tests.finished import open_state

CASE = "c-" + "0" * 20
NOON = 1_796_212_800


class Box:
    def __init__(self, folder: Path) -> None:
        self.state: StateDir
        self.clinical: ClinicalDatabase
        self.state, self.clinical, _ = open_state(folder)
        self.exchange = Exchange(self.state.exchange_db)
        self.exchange.create()
        self.config = Config.model_validate({"state": {"dir": folder}, "uplink": {"enabled": True, "host": "h"}})
        with self.clinical.database.transaction() as connection:
            connection.execute(
                "INSERT INTO cases (reference, study_uid, opened_at, touched, revision, fresh)"
                " VALUES (?, '1.2', '', 0, 1, 0)",
                (CASE,),
            )

    def put(self, revision: int) -> None:
        with self.clinical.database.transaction() as connection:
            connection.execute(
                "INSERT INTO outbox (case_reference, revision, urgent, body) VALUES (?, ?, 0, '{}')", (CASE, revision)
            )
            connection.execute("UPDATE cases SET revision = ?", (revision,))

    def hand_on(self, seq: int) -> None:
        with self.clinical.database.transaction() as connection:
            connection.execute("UPDATE outbox SET relayed = 1, seq = ?, hash = 'h'", (seq,))

    def told(self) -> str | None:
        self.answer = remote_status.describe_hospital_delivery(self.config, self.state, self.clinical, CASE)
        return self.answer.state.code if self.answer else None


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "state")
    yield made
    made.exchange.database.close()
    made.clinical.database.close()


def test_from_sealed_to_signed_for_the_page_says_only_what_is_sure(box: Box) -> None:
    assert box.told() is None  # read before there was a line
    box.put(1)
    assert box.told() == remote_status.SUMMARY_SEALED
    assert box.answer is not None
    assert box.answer.line is not None
    box.hand_on(7)
    assert box.told() == remote_status.SUMMARY_SEALED  # the line is down: nobody knows that it left
    with run_status.hold_process_lock(box.state, "uplink"):
        box.exchange.write_status(Reason(UPLINK_OPEN))
        assert box.told() == remote_status.SUMMARY_SENT
    Outbox(box.clinical.database).settle([(7, "another")], NOON)
    assert box.told() == remote_status.SUMMARY_SEALED
    Outbox(box.clinical.database).settle([(7, "h")], NOON)
    assert box.told() == remote_status.SUMMARY_RECEIVED
    assert box.answer.at is not None
    assert int(box.answer.at.at.timestamp()) == NOON
    box.put(2)
    assert box.told() == remote_status.SUMMARY_OUTDATED


def test_what_the_hospital_will_not_take_is_not_called_sent(box: Box) -> None:
    box.put(1)
    box.hand_on(1)
    with box.exchange.database.transaction() as connection:
        connection.execute(
            "INSERT INTO outgoing (seq, urgent, boot, form, body, state)"
            " VALUES (1, 0, 'b', 'brief', '{}', 'quarantined')"
        )
    assert box.told() == remote_status.SUMMARY_SET_ASIDE


def test_a_box_without_a_line_says_nothing(box: Box) -> None:
    box.put(1)
    box.config = Config.model_validate({"state": {"dir": box.state.root}})
    assert box.told() is None
