"""The exchange: each case revision goes out under one number, nothing urgent gives way, and only the hospital's own
signature takes anything away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firmware_app.errors import BrokerRefused, Contradicted, StoreTooNew
from firmware_app.records import Priority, Reason
from firmware_app.store import exchange as exchange_module
from firmware_app.store.audit import Audit
from firmware_app.store.clinical import Clinical
from firmware_app.store.database import Database
from firmware_app.store.exchange import Exchange
from firmware_app.store.layout import StateDir
from firmware_app.store.relay import Relay
from firmware_app.uplink.envelope import HospitalBundle, sign
from firmware_app.uplink.summary import (
    Brief,
    FindingBrief,
    Keys,
    Kind,
    Modality,
    Receipt,
    Refusal,
    Runtime,
    SizeBand,
    Verdict,
)
from tests.wire.line_rig import make_case

SIGNER = Ed25519PrivateKey.generate()
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def public(seed: bytes) -> str:
    return X25519PrivateKey.from_private_bytes(seed * 32).public_key().public_bytes_raw().hex()


BUNDLE = HospitalBundle(SIGNER.public_key().public_bytes_raw().hex(), public(b"1"), 3, "127.0.0.1", 8883, PEM)


def brief(number: int, priority: Priority = Priority.ROUTINE) -> Brief:
    return Brief(
        f"c-{number:020x}", 1, Modality.CR, "chest-xray-adult", "1.0.0", Runtime.ONNXRUNTIME, priority,
        (FindingBrief("tuberculosis", 93),), 0, SizeBand.NONE, "ok", 9, Verdict.NONE, "2026-11-21T03",
    )  # fmt: skip


@dataclass
class Sides:
    """Both databases of one box, and what the hospital says to it."""

    state: StateDir
    clinical: Clinical
    exchange: Exchange

    def relay(self, budget_bytes: int = 10**9) -> Relay:
        return Relay(self.clinical, self.exchange, "clinic-7", BUNDLE, budget_bytes)

    def say(self, *taken: int, refused: tuple[Refusal, ...] = (), stream: str = "", box: str = "clinic-7") -> None:
        receipt = Receipt(box, stream or self.exchange.line().stream, taken, refused, 0)
        self.exchange.receive(Kind.ACK, sign(receipt.encode(), Kind.ACK, "clinic-7", SIGNER))

    def seqs(self) -> list[int]:
        return [row.seq for row in self.exchange.due(10_000)]


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    state = StateDir(tmp_path)
    state.prepare()
    made = Sides(state, Clinical(state.clinical_db), Exchange(state.exchange_db))
    made.clinical.create()
    made.exchange.create()
    yield made
    made.clinical.database.close()
    made.exchange.database.close()


def test_a_number_is_never_used_twice_even_when_everything_has_left(sides: Sides) -> None:
    stream = sides.exchange.line().stream
    sides.exchange.take_in([brief(1), brief(2)])
    sides.exchange.settle([1, 2])
    sides.exchange.database.close()
    again = Exchange(sides.state.exchange_db)
    again.create()
    again.take_in([brief(3)])
    assert [row.seq for row in again.due(10)] == [3]
    assert again.line().stream == stream
    again.database.close()


def test_a_case_revision_is_taken_in_once(sides: Sides) -> None:
    sides.exchange.take_in([brief(1), brief(1)])
    sides.exchange.take_in([brief(1), replace(brief(1), revision=2)])
    sent = [row.content for row in sides.exchange.due(9)]
    assert sent == [brief(1), replace(brief(1), revision=2)]


def test_the_urgent_go_first_and_then_in_order(sides: Sides) -> None:
    sides.exchange.take_in([brief(1), brief(2), brief(3, Priority.URGENT), brief(4), brief(5, Priority.URGENT)])
    assert sides.seqs() == [3, 5, 1, 2, 4]
    assert [row.seq for row in sides.exchange.due(2, {3, 1})] == [5, 2]
    assert [row.seq for row in sides.exchange.due(9, {3}, urgent_only=True)] == [5]


def test_over_budget_digests_are_merged_and_the_urgent_are_left_alone(sides: Sides) -> None:
    urgent = [brief(number, Priority.URGENT) for number in range(50)]
    sides.exchange.take_in([*urgent, *(brief(number) for number in range(50, 1250))])
    before = sides.exchange.used_bytes()
    assert sides.exchange.make_room(before // 2)
    assert sides.exchange.used_bytes() <= before // 2
    rows = sides.exchange.due(10_000)
    assert [row.content for row in rows[:50]] == urgent
    carried = [row.content if isinstance(row.content, tuple) else (row.content,) for row in rows]
    assert sorted(one.case for part in carried for one in part) == sorted(brief(number).case for number in range(1250))
    assert len(sides.exchange.carried()) == 1250


def test_thirty_days_of_a_busy_clinic_fit_the_default_budget(sides: Sides) -> None:
    sides.exchange.take_in([brief(number, Priority.SOON) for number in range(30 * 300)])
    assert sides.exchange.used_bytes() < 32_000_000
    assert sides.exchange.make_room(2_000_000), "and a tenth of it, once merged"


def test_when_merging_is_not_enough_digests_wait_in_the_outbox_and_alerts_go_on(sides: Sides) -> None:
    relay = sides.relay(budget_bytes=1)
    make_case(sides.clinical, 1, Priority.ROUTINE)
    relay.step()
    make_case(sides.clinical, 2, Priority.ROUTINE)
    relay.step()
    make_case(sides.clinical, 3, Priority.URGENT)
    relay.step()
    assert sides.clinical.outbox.count() == 3
    assert (
        sum(isinstance(row.content, Brief) and row.content.priority is Priority.URGENT for row in sides.exchange.due(9))
        == 1
    )
    assert len(sides.clinical.outbox.waiting(9)) == 2
    sides.relay().step()
    assert sides.clinical.outbox.waiting(9) == []


def test_a_receipt_takes_the_row_from_both_sides(sides: Sides) -> None:
    relay = sides.relay()
    for number in range(3):
        make_case(sides.clinical, number, Priority.ROUTINE)
    relay.step()
    assert (sides.clinical.outbox.count(), sides.seqs()) == (3, [1, 2, 3])
    sides.say(1, 3, 99)
    relay.step()
    assert (sides.clinical.outbox.count(), sides.seqs()) == (1, [2])
    assert sides.exchange.incoming() == []


def test_only_this_hospitals_word_for_this_box_and_stream_counts(sides: Sides) -> None:
    relay = sides.relay()
    make_case(sides.clinical, 1, Priority.URGENT)
    relay.step()
    receipt = Receipt("clinic-7", sides.exchange.line().stream, (1,), (), 0).encode()
    stranger = Ed25519PrivateKey.generate()
    for body in (
        sign(receipt, Kind.ACK, "clinic-7", stranger), sign(receipt, Kind.ACK, "clinic-8", SIGNER),
        sign(receipt, Kind.KEYS, "clinic-7", SIGNER), sign(receipt, Kind.ACK, "clinic-7", SIGNER)[:-2], b"", b"LND1",
        sign(b"{}", Kind.ACK, "clinic-7", SIGNER),
    ):  # fmt: skip
        sides.exchange.receive(Kind.ACK, body)
    sides.exchange.receive(Kind.COMMAND, sign(receipt, Kind.COMMAND, "clinic-7", SIGNER))
    sides.say(1, stream="e" * 32)
    sides.say(1, box="clinic-8")
    relay.step()
    assert sides.seqs() == [1]
    assert sides.exchange.incoming() == [], "what is worth nothing does not pile up"


def test_a_new_key_is_taken_only_when_it_is_newer(sides: Sides) -> None:
    relay = sides.relay()

    def offer(serial: int, key: str, box: str = "clinic-7") -> None:
        sides.exchange.receive(Kind.KEYS, sign(Keys(box, serial, key).encode(), Kind.KEYS, "clinic-7", SIGNER))
        relay.step()

    for serial, key, box in (
        (3, public(b"2"), "clinic-7"),
        (2, public(b"2"), "clinic-7"),
        (9, public(b"2"), "clinic-8"),
    ):
        offer(serial, key, box)
        assert sides.exchange.keys(BUNDLE.verify) is None
    offer(9, "00" * 32)
    assert sides.exchange.keys(BUNDLE.verify) is None, "a key of small order is no key"
    offer(5, public(b"5"))
    offer(4, public(b"4"))
    assert public(b"5").encode() in (sides.exchange.keys(BUNDLE.verify) or b"")
    assert sides.exchange.keep_keys("another hospital", 1, b"its own"), "which counts from 1 again"
    assert sides.exchange.keys(BUNDLE.verify) is None


def test_what_the_hospital_refuses_is_set_aside_and_what_it_knew_under_that_number_gets_another(sides: Sides) -> None:
    relay = sides.relay()
    for number in (1, 2):
        make_case(sides.clinical, number, Priority.URGENT)
    relay.step()
    sides.say(refused=(Refusal(1, Contradicted.code), Refusal(2, "hospital.other")))
    relay.step()
    assert sides.seqs() == [3], "1 goes again as 3, 2 waits for a person"
    assert sides.exchange.line().quarantined == 1
    assert len(sides.exchange.carried()) == 2


def test_a_lost_exchange_is_a_new_stream_and_nothing_is_forgotten(sides: Sides) -> None:
    relay = sides.relay()
    for number in range(3):
        make_case(sides.clinical, number, Priority.ROUTINE)
    relay.step()
    sides.say(1)
    relay.step()
    stream = sides.exchange.line().stream
    relay.close()
    for path in sides.state.exchange_db.parent.glob("exchange.db*"):
        path.unlink()
    sides.exchange = Exchange(sides.state.exchange_db)
    sides.exchange.create()
    sides.relay().step()
    assert sides.exchange.line().stream != stream
    assert len(sides.seqs()) == 2


def test_a_refused_row_lets_the_next_one_pass_until_it_is_released(sides: Sides) -> None:
    sides.exchange.take_in([brief(1), brief(2)])
    sides.exchange.quarantine(1, Reason.of(BrokerRefused(reason="Not authorized")))
    assert sides.seqs() == [2]
    assert sides.exchange.still_waiting([1, 2]) == {2}
    assert sides.exchange.release("uplink.too_large") == 0
    assert sides.exchange.release("uplink.broker_refused") == 1
    assert sides.seqs() == [1, 2]


def test_a_flood_from_outside_fills_nothing(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "MOST_INCOMING", 5)
    for _ in range(9):
        sides.exchange.receive(Kind.ACK, b"x")
    assert len(sides.exchange.incoming()) == 5


def test_a_revision_and_its_outbox_row_are_one_step(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCut(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    monkeypatch.setattr(type(sides.clinical.outbox), "put", cut)
    with pytest.raises(PowerCut):
        make_case(sides.clinical, 1, Priority.URGENT)
    (case,) = sides.clinical.cases()
    assert case.revision == 0
    monkeypatch.undo()
    sides.clinical.close_revisions(-1, report=True)
    assert [one.revision for one in sides.clinical.outbox.waiting(9)] == [1]


def test_a_box_without_a_line_fills_no_outbox(sides: Sides) -> None:
    make_case(sides.clinical, 1, Priority.URGENT)
    before = sides.clinical.outbox.count()
    sides.clinical.close_revisions(-1)
    assert sides.clinical.outbox.count() == before == 1


def test_a_clinical_database_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "clinical" / "clinical.db"
    first = (Path(exchange_module.__file__).parent / "schema.sql").read_text("utf-8")
    old = Database(path)
    old.create([first])
    old.connection.execute("INSERT INTO cases (reference, opened_at, touched) VALUES ('c-1', '', 0)")
    old.close()
    clinical = Clinical(path)
    clinical.create()
    clinical.require()
    assert clinical.counts().cases == 1
    assert clinical.outbox.count() == 0
    clinical.database.close()
    with pytest.raises(StoreTooNew):
        Database(path).create([first])


def test_how_the_line_is_can_be_asked(sides: Sides) -> None:
    sides.exchange.take_in([brief(1, Priority.URGENT), brief(2)])
    sides.exchange.tell(BrokerRefused(reason="Not authorized"))
    sides.exchange.note(unread=4, audit_head="a" * 64)
    line = sides.exchange.line()
    assert (line.outgoing, line.urgent, line.quarantined, line.unread) == (2, 1, 0, 4)
    assert line.reason is not None
    assert "Not authorized" in line.reason.text("en")
    assert json.dumps(dict(line.reason.details)) == '{"reason": "Not authorized"}'


def test_the_head_of_the_audit_travels_with_the_health(sides: Sides) -> None:
    audit = Audit(sides.clinical.database)
    audit.record("li", "login")
    sides.relay().step()
    assert sides.exchange.line().audit_head == audit.head().hash
