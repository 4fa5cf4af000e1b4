"""Killed or out of disk between any two writes, the two databases of the line agree again at the next step."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import Priority
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages.summary import Brief, Kind
from firmware_app.uplink.outbox import KnownStream, Outbox
from tests.unit.uplink.test_exchange import Sides
from tests.wire.line_rig import make_case

Write = tuple[type, str]
TAKE_IN: Write = (Exchange, "take_in")
SETTLE_OUTBOX: Write = (Outbox, "settle")
SETTLE_EXCHANGE: Write = (Exchange, "settle")
FINISH: Write = (Exchange, "finish")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sides]:
    state = StateDir(tmp_path)
    state.prepare()
    made = Sides(state, ClinicalDatabase(state.clinical_db), Exchange(state.exchange_db))
    made.clinical.create()
    made.exchange.create()
    yield made
    made.clinical.database.close()
    made.exchange.database.close()


def full(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def failing_once(monkeypatch: pytest.MonkeyPatch, write: Write, step: Callable[[], None]) -> None:
    """*step* with a disk that is full just when *write* comes."""
    with monkeypatch.context() as short:
        short.setattr(*write, full)
        step()


def test_what_the_exchange_could_not_take_waits_in_the_outbox(box: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = box.relay()
    make_case(box.clinical, 1, Priority.URGENT)
    failing_once(monkeypatch, TAKE_IN, relay.step)
    assert len(Outbox(box.clinical.database).waiting(9)) == 1
    relay.step()
    assert box.seqs() == [1]


@pytest.mark.parametrize("write", [SETTLE_OUTBOX, SETTLE_EXCHANGE, FINISH], ids=lambda write: write[1])
def test_a_receipt_is_forgotten_only_after_all_that_it_settles(
    box: Sides, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    relay = box.relay()
    for number in range(2):
        make_case(box.clinical, number, Priority.ROUTINE)
    relay.step()
    box.say(1)
    failing_once(monkeypatch, write, relay.step)
    assert len(box.exchange.incoming()) == 1
    relay.step()
    assert box.exchange.incoming() == []
    assert (Outbox(box.clinical.database).count(), box.seqs()) == (1, [2])


@pytest.mark.parametrize("write", [(Outbox, "handed_on"), (KnownStream, "gave")], ids=lambda write: write[1])
def test_a_row_that_was_not_written_down_before_the_kill_goes_out_once(
    box: Sides, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    relay = box.relay()
    make_case(box.clinical, 1, Priority.URGENT)
    failing_once(monkeypatch, write, relay.step)
    assert box.seqs() == [1]
    box.relay().step()
    assert box.seqs() == [2]
    assert len(Outbox(box.clinical.database).numbers()) == 1


def test_rows_that_cannot_be_written_down_do_not_pile_up_in_the_exchange(
    box: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = box.relay()
    make_case(box.clinical, 1, Priority.URGENT)
    for _ in range(3):
        failing_once(monkeypatch, (Outbox, "handed_on"), relay.step)
    assert len(box.seqs()) == 1
    relay.step()
    assert set(box.seqs()) == Outbox(box.clinical.database).numbers()


def test_a_receipt_for_one_revision_settles_no_other_of_the_case(box: Sides) -> None:
    relay = box.relay()
    case = make_case(box.clinical, 1, Priority.ROUTINE)
    make_case(box.clinical, 1, Priority.ROUTINE, 1)
    relay.step()
    box.say(1)
    relay.step()
    left = [row.content for row in box.exchange.due(9)]
    assert [(one.case, one.revision) for one in left if isinstance(one, Brief)] == [(case, 2)]
    assert Outbox(box.clinical.database).count() == 1


def test_an_old_receipt_of_a_former_exchange_settles_nothing(box: Sides) -> None:
    relay = box.relay()
    make_case(box.clinical, 1, Priority.URGENT)
    relay.step()
    box.say(1, stream="0" * 32)
    relay.step()
    assert Outbox(box.clinical.database).count() == 1
    assert Kind.ACK not in {one.kind for one in box.exchange.incoming()}


def test_what_is_urgent_leaves_the_outbox_first(box: Sides) -> None:
    for number, priority in enumerate((Priority.ROUTINE, Priority.URGENT, Priority.ROUTINE)):
        make_case(box.clinical, number, priority)
    assert [one.priority for one in Outbox(box.clinical.database).waiting(2)] == [Priority.URGENT, Priority.ROUTINE]


def test_the_relay_logs_nothing_of_a_case(
    box: Sides, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    relay = box.relay()
    make_case(box.clinical, 77, Priority.URGENT, birth_date="19490213", study_description="Canary Wang")
    with caplog.at_level(logging.DEBUG):
        failing_once(monkeypatch, TAKE_IN, relay.step)
        relay.step()
    assert box.seqs() == [1]
    assert "wait in the outbox" in caplog.text, "it does log"
    for canary in ("19490213", "Canary", "Wang", "1.2.3.77"):
        assert canary not in caplog.text
