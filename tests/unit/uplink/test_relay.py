"""The relay: each case revision goes out under one number, and only the hospital's own signature takes anything away.

Killed or out of disk between any two writes, the two databases agree again at the next step.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import Priority, Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.errors import BROKER_REFUSED, Contradicted
from firmware_app.uplink.exchange import exchange_db as exchange_module
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages.envelope import sign
from firmware_app.uplink.messages.summary import (
    MOST_SEQ,
    Brief,
    Keys,
    Kind,
    Receipt,
    RefusedMessage,
    TakenMessage,
    hash_body,
)
from firmware_app.uplink.outbox import KnownStream, Outbox
from firmware_app.uplink.relay import Relay
from tests.line import BUNDLE, SIGNER, brief
from tests.wire.line_rig import make_case


@dataclass
class Sides:
    """Both databases of one box, and what the hospital says to it."""

    state: StateDir
    clinical: ClinicalDatabase
    exchange: Exchange

    def relay(self, budget_bytes: int = 10**9) -> Relay:
        return Relay(self.clinical, self.exchange, "clinic-7", BUNDLE, budget_bytes)

    def wait(self, briefs: list[Brief]) -> None:
        """These wait in the outbox, as the reader left them."""
        with self.clinical.database.transaction() as connection:
            connection.executemany(
                "INSERT INTO outbox (case_reference, revision, urgent, body) VALUES (?, ?, ?, ?)",
                [
                    (one.case, one.revision, one.priority is Priority.URGENT, json.dumps(one.to_object()))
                    for one in briefs
                ],
            )

    def hashes(self) -> dict[int, str]:
        """What the hospital gets under each number that waits."""
        return {row.seq: hash_body(row.message("clinic-7").encode()) for row in self.exchange.list_due(10_000)}

    def say(self, *taken: int, refused: Mapping[int, str] = {}, stream: str = "", box: str = "clinic-7") -> None:
        """The hospital has these, or will not have those, for the reason beside each."""
        hashes, stream = self.hashes(), stream or self.exchange.read_status().stream
        messages = tuple(TakenMessage(seq, hashes.get(seq, "0" * 32)) for seq in taken)
        no = tuple(RefusedMessage(seq, hashes[seq], code) for seq, code in refused.items())
        self.bring(Receipt(box, stream, messages, no, 0).encode())

    def bring(self, receipt: bytes) -> None:
        self.exchange.receive(Kind.ACK, sign(receipt, Kind.ACK, "clinic-7", SIGNER))

    def offer_keys(self, serial: int, key: str, box: str = "clinic-7") -> bytes:
        """The hospital's keys message, and what the relay makes of it."""
        signed = sign(Keys(box, serial, key).encode(), Kind.KEYS, "clinic-7", SIGNER)
        self.exchange.receive(Kind.KEYS, signed)
        self.relay().step()
        return signed

    def waiting(self) -> int:
        """How many case revisions have no receipt yet."""
        return Outbox(self.clinical.database).count()

    def lose_exchange(self, *, put_back: Path | None = None) -> None:
        """exchange.db is gone, or *put_back* from a copy."""
        self.exchange.database.close()
        for path in self.state.exchange_db.parent.glob("exchange.db*"):
            path.unlink()
        if put_back is not None:
            shutil.copy(put_back, self.state.exchange_db)
        self.exchange = Exchange(self.state.exchange_db)
        self.exchange.create()

    def seqs(self) -> list[int]:
        return [row.seq for row in self.exchange.list_due(10_000)]


# --- the exchange ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    state = StateDir(tmp_path)
    state.prepare()
    made = Sides(state, ClinicalDatabase(state.clinical_db), Exchange(state.exchange_db))
    made.clinical.create()
    made.exchange.create()
    yield made
    made.clinical.database.close()
    made.exchange.database.close()


def test_a_number_is_never_used_twice_even_when_everything_has_left(sides: Sides) -> None:
    stream = sides.exchange.read_status().stream
    sides.exchange.take_in([brief(1), brief(2)])
    sides.exchange.delete([1, 2])
    sides.exchange.database.close()
    again = Exchange(sides.state.exchange_db)
    again.create()
    again.take_in([brief(3)])
    assert [row.seq for row in again.list_due(10)] == [3]
    assert again.read_status().stream == stream
    again.database.close()


def test_the_urgent_go_first_and_then_in_order(sides: Sides) -> None:
    sides.exchange.take_in([brief(1), brief(2), brief(3, Priority.URGENT), brief(4), brief(5, Priority.URGENT)])
    assert sides.seqs() == [3, 5, 1, 2, 4]
    assert [row.seq for row in sides.exchange.list_due(2, {3, 1})] == [5, 2]
    assert [row.seq for row in sides.exchange.list_due(9, {3}, urgent_only=True)] == [5]


def test_a_refused_row_lets_the_next_one_pass_until_it_is_released(sides: Sides) -> None:
    sides.exchange.take_in([brief(1), brief(2)])
    sides.exchange.quarantine(1, Reason.from_error(BROKER_REFUSED(reason="Not authorized")))
    assert sides.seqs() == [2]
    assert sides.exchange.filter_waiting([1, 2]) == {2}
    assert sides.exchange.release("uplink.too_large") == 0
    assert sides.exchange.release("uplink.broker_refused") == 1
    assert sides.seqs() == [1, 2]


def test_a_flood_from_outside_fills_nothing(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "MOST_INCOMING", 5)
    for _ in range(9):
        sides.exchange.receive(Kind.ACK, b"x")
    assert len(sides.exchange.list_incoming()) == 5


def test_over_budget_digests_wait_in_the_outbox_and_alerts_go_on(sides: Sides) -> None:
    sides.wait([brief(1), brief(2, Priority.URGENT)])
    sides.relay(budget_bytes=1).step()
    assert [row.brief.priority for row in sides.exchange.list_due(9)] == [Priority.URGENT]
    assert (sides.waiting(), len(Outbox(sides.clinical.database).list_waiting(9))) == (2, 1)
    sides.relay().step()
    assert Outbox(sides.clinical.database).list_waiting(9) == []


# --- the hospital's word --------------------------------------------------------------------------------------------


def test_a_receipt_takes_the_row_from_both_sides(sides: Sides) -> None:
    relay = sides.relay()
    for number in range(3):
        make_case(sides.clinical, number, Priority.ROUTINE)
    relay.step()
    assert (sides.waiting(), sides.seqs()) == (3, [1, 2, 3])
    sides.say(1, 3, 99)
    relay.step()
    assert (sides.waiting(), sides.seqs()) == (1, [2])
    assert sides.exchange.list_incoming() == []


def test_only_this_hospitals_word_for_this_box_and_stream_counts(sides: Sides) -> None:
    relay = sides.relay()
    make_case(sides.clinical, 1, Priority.URGENT)
    relay.step()
    taken = (TakenMessage(1, sides.hashes()[1]),)
    receipt = Receipt("clinic-7", sides.exchange.read_status().stream, taken, (), 0).encode()
    stranger = Ed25519PrivateKey.generate()
    for body in (
        sign(receipt, Kind.ACK, "clinic-7", stranger),
        sign(receipt, Kind.ACK, "clinic-8", SIGNER),
        sign(receipt, Kind.KEYS, "clinic-7", SIGNER),
        sign(receipt, Kind.ACK, "clinic-7", SIGNER)[:-2],
        b"",
        b"LND1",
        sign(b"{}", Kind.ACK, "clinic-7", SIGNER),
    ):
        sides.exchange.receive(Kind.ACK, body)
    sides.exchange.receive(Kind.COMMAND, sign(receipt, Kind.COMMAND, "clinic-7", SIGNER))
    sides.say(1, stream="e" * 32)
    sides.say(1, box="clinic-8")
    relay.step()
    assert sides.seqs() == [1]
    assert sides.exchange.list_incoming() == [], "what is worth nothing does not pile up"


def test_a_receipt_for_one_revision_settles_no_other_of_the_case(sides: Sides) -> None:
    relay = sides.relay()
    case = make_case(sides.clinical, 1, Priority.ROUTINE)
    make_case(sides.clinical, 1, Priority.ROUTINE, 1)
    relay.step()
    sides.say(1)
    relay.step()
    left = [row.brief for row in sides.exchange.list_due(9)]
    assert [(one.case, one.revision) for one in left] == [(case, 2)]
    assert sides.waiting() == 1


def test_what_the_hospital_refuses_is_set_aside(sides: Sides) -> None:
    relay = sides.relay()
    for number in (1, 2):
        make_case(sides.clinical, number, Priority.URGENT)
    relay.step()
    sides.say(refused={2: "hospital.other"})
    relay.step()
    assert sides.seqs() == [1]
    assert sides.exchange.read_status().quarantined == 1, "2 waits for a person"
    assert sides.waiting() == 2


def test_numbers_that_the_hospital_knows_from_before_a_restore_begin_one_new_stream(sides: Sides) -> None:
    relay, before = sides.relay(), sides.exchange.read_status().stream
    sides.wait([brief(number, Priority.URGENT) for number in range(3)])
    relay.step()
    sides.say(refused=dict.fromkeys((1, 2), Contradicted.code))
    sides.say(refused={3: Contradicted.code})
    relay.step()
    stream = sides.exchange.read_status().stream
    assert stream != before
    assert [row.brief for row in sides.exchange.list_due(9)] == [brief(number, Priority.URGENT) for number in range(3)]
    sides.say(refused={1: Contradicted.code}, stream=before)
    relay.step()
    assert sides.exchange.read_status().stream == stream, "an old receipt begins no other"


def test_whoever_took_over_the_uplink_cannot_pass_another_summary_off_for_one(sides: Sides) -> None:
    relay, victim = sides.relay(), brief(1, Priority.URGENT)
    sides.wait([victim])
    relay.step()
    other = json.dumps(brief(2, Priority.URGENT).to_object())
    sides.exchange.database.connection.execute("UPDATE outgoing SET body = ?", (other,))
    sides.say(1)  # the hospital has what came: the other one
    relay.step()
    assert sides.waiting() == 1
    assert [row.brief for row in sides.exchange.list_due(9)] == [victim], "it goes again, under another number"
    assert sides.seqs() == [2]


# --- databases that were lost, put back or not written ---------------------------------------------------------------


def test_a_lost_exchange_is_a_new_stream_and_nothing_is_forgotten(sides: Sides) -> None:
    relay = sides.relay()
    for number in range(3):
        make_case(sides.clinical, number, Priority.ROUTINE)
    relay.step()
    sides.say(1)
    relay.step()
    stream = sides.exchange.read_status().stream
    relay.close()
    sides.lose_exchange()
    sides.relay().step()
    assert sides.exchange.read_status().stream != stream
    assert len(sides.seqs()) == 2


def test_after_an_exchange_put_back_from_a_copy_old_receipts_settle_nothing(sides: Sides, tmp_path: Path) -> None:
    relay, copy = sides.relay(), tmp_path / "copy.db"
    sides.exchange.database.connection.execute("VACUUM INTO ?", (str(copy),))
    before = sides.exchange.read_status().stream
    sides.wait([brief(number) for number in range(4)])
    relay.step()
    sides.say(1, 2, 3, 4)
    (receipt,) = sides.exchange.list_incoming()
    relay.step()
    assert sides.waiting() == 0
    sides.lose_exchange(put_back=copy)
    relay = sides.relay()
    sides.wait([brief(number) for number in range(4, 8)])
    relay.step()
    assert sides.exchange.read_status().stream != before, "numbers that went back begin a new stream"
    assert len(sides.seqs()) == 4
    sides.exchange.receive(Kind.ACK, receipt.body)
    relay.step()
    assert sides.waiting() == 4


@pytest.mark.parametrize("highest", [MOST_SEQ, MOST_SEQ - 1, "a text"], ids=["none left", "one left", "a text"])
def test_numbers_that_the_uplinks_user_has_used_up_or_broken_begin_a_new_stream(
    sides: Sides, highest: int | str
) -> None:
    relay, before = sides.relay(), sides.exchange.read_status().stream
    sides.wait([brief(1), brief(2)])
    relay.step()
    sides.exchange.database.connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'outgoing'", (highest,))
    sides.wait([brief(3), brief(4)])
    for _ in range(2):
        relay.step()
    assert sides.exchange.read_status().stream != before
    assert sides.seqs() == [1, 2, 3, 4]


def full(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(
    "write",
    [(Exchange, "take_in"), (Outbox, "record_relayed"), (KnownStream, "record_used")],
    ids=lambda write: write[1],
)
@pytest.mark.parametrize("killed", [False, True], ids=["full once", "killed then"])
def test_a_row_that_could_not_be_written_goes_out_once(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, write: tuple[type, str], killed: bool
) -> None:
    relay = sides.relay()
    make_case(sides.clinical, 1, Priority.URGENT)
    with monkeypatch.context() as short:
        short.setattr(*write, full)
        for _ in range(3):
            relay.step()
    assert len(sides.seqs()) <= 1, "they do not pile up"
    (sides.relay() if killed else relay).step()
    assert len(sides.seqs()) == 1
    assert set(sides.seqs()) == Outbox(sides.clinical.database).list_numbers()


# --- what goes in and what is told ------------------------------------------------------------------------------------


def test_a_revision_and_its_outbox_row_are_one_step(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCut(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    monkeypatch.setattr(Outbox, "put", cut)
    with pytest.raises(PowerCut):
        make_case(sides.clinical, 1, Priority.URGENT)
    (case,) = sides.clinical.load_cases()
    assert case.revision == 0
    monkeypatch.undo()
    sides.clinical.close_revisions(-1, report=Outbox(sides.clinical.database).put)
    assert [one.revision for one in Outbox(sides.clinical.database).list_waiting(9)] == [1]


def test_the_head_of_the_audit_travels_with_the_health(sides: Sides) -> None:
    audit = Audit(sides.clinical.database)
    audit.record("li", "login")
    sides.relay().step()
    assert sides.exchange.read_status().audit_head == audit.read_head().hash


def test_the_relay_logs_nothing_of_a_case(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    relay = sides.relay()
    make_case(sides.clinical, 77, Priority.URGENT, birth_date="19490213", study_description="Canary Wang")
    with caplog.at_level(logging.DEBUG):
        with monkeypatch.context() as short:
            short.setattr(Exchange, "take_in", full)
            relay.step()
        relay.step()
    assert "wait in the outbox" in caplog.text, "it does log"
    for canary in ("19490213", "Canary", "Wang", "1.2.3.77"):
        assert canary not in caplog.text
