"""The receiving end by itself: keys, enrolment and the inbox."""

from __future__ import annotations

import json
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_app.appliance import box_identity
from firmware_app.core.records import Priority
from firmware_app.uplink.errors import BUNDLE_INVALID, Contradicted, SignatureForged
from firmware_app.uplink.messages.envelope import BoxBundle, seal
from firmware_app.uplink.messages.summary import Kind, Summary
from hospital import keyring, receiver
from hospital.broker import format_box_acl
from hospital.errors import BOX_ENROLLED, MISADDRESSED, OUTDATED, TOPIC_UNKNOWN, Replayed
from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_db as inbox_module
from hospital.inbox.inbox_db import CountResult, Inbox
from tests.line import presence, summary
from tests.refusals import raises_refusal


def count(inbox: Inbox, message: Summary, envelope: bytes = b"e") -> CountResult:
    with inbox.transaction():
        return inbox.count(message, message.encode(), envelope)


# --- keys and boxes -------------------------------------------------------------------------------------------------


def test_rotation_destroys_the_old_key_and_keeps_the_signature(house: HospitalSite) -> None:
    before = keyring.load_keys(house.keys)
    bundle = house.rotate()
    after = keyring.load_keys(house.keys)
    assert (after.serial, bundle.serial) == (2, 2)
    assert after.verify_public == before.verify_public
    assert before.current in after.retired
    assert len(list(house.keys.glob("seal-*.pem"))) == 1
    for path in [*house.keys.iterdir(), *house.tls.glob("*.key")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_box_is_enrolled_under_its_own_name_only(house: HospitalSite, tmp_path: Path) -> None:
    box_identity.begin_identity(tmp_path / "a", "clinic-7", house.bundle_file)
    box, written = house.enrol(tmp_path / "a" / "box.json")
    certificate = x509.load_pem_x509_certificate(json.loads(written.read_text())["certificate"].encode())
    assert certificate.subject.rfc4514_string() == "CN=clinic-7"
    assert certificate.not_valid_before_utc < datetime.now(UTC) - timedelta(days=1)
    assert house.enrol(tmp_path / "a" / "box.json")[0] == box, "asked again, it answers again"
    box_identity.begin_identity(tmp_path / "b", "clinic-7", house.bundle_file)
    with raises_refusal(BOX_ENROLLED):
        house.enrol(tmp_path / "b" / "box.json")
    house.enrol(tmp_path / "b" / "box.json", replace=True)
    assert format_box_acl("clinic-7").count("lantern/v1/up/clinic-7/") == 6


def test_a_bundle_that_someone_changed_is_refused(house: HospitalSite, tmp_path: Path) -> None:
    made, _ = box_identity.begin_identity(tmp_path / "a", "clinic-7", house.bundle_file)
    changed = tmp_path / "changed.json"
    changed.write_bytes(BoxBundle("clinic-8", made.verify, made.tls, made.proof).encode())
    with pytest.raises(SignatureForged):
        house.enrol(changed)
    changed.write_bytes(BoxBundle.create("clinic-8", Ed25519PrivateKey.generate(), "04" + "1" * 128).encode())
    with raises_refusal(BUNDLE_INVALID):
        house.enrol(changed)


# --- the inbox ------------------------------------------------------------------------------------------------------


def test_a_message_counts_once(inbox: Inbox) -> None:
    assert count(inbox, summary(), b"first") is CountResult.COUNTED
    assert count(inbox, summary(), b"sealed again") is CountResult.KNOWN
    with pytest.raises(Replayed):
        count(inbox, summary(), b"first")
    with pytest.raises(Contradicted):
        count(inbox, summary(case=2), b"other")
    assert len(inbox.list_cases()) == 1


def test_an_older_word_of_a_box_on_itself_changes_nothing(inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    for session, beat in ((1, 0), (1, 1), (1, 10**9), (2, 0)):
        inbox.keep_presence(presence(session, beat))
    for session, beat in ((1, 5), (1, 10**9)):
        with raises_refusal(OUTDATED):
            inbox.keep_presence(presence(session, beat))
    assert inbox.list_boxes()[0].presence is not None


def test_a_transaction_that_fails_changes_nothing_and_stands_before_no_later_one(inbox: Inbox) -> None:
    def contradicting() -> None:
        with inbox.transaction():
            inbox.count(summary(1), b"a", b"first")
            inbox.count(summary(1, case=2), b"b", b"second")

    with pytest.raises(Contradicted):
        contradicting()
    assert inbox.list_cases() == []
    assert count(inbox, summary(1)) is CountResult.COUNTED


def test_a_box_is_known_from_the_moment_it_is_enrolled_and_by_its_newest_key(house: HospitalSite, inbox: Inbox) -> None:
    first, second = (Ed25519PrivateKey.generate().public_key() for _ in range(2))
    other = Inbox(house.inbox_db)
    assert inbox.load_verify_keys() == {}
    other.enrol("clinic-7", first.public_bytes_raw().hex(), replace=False)
    assert inbox.load_verify_keys()["clinic-7"] == first
    other.enrol("clinic-7", second.public_bytes_raw().hex(), replace=True)
    assert inbox.load_verify_keys()["clinic-7"] == second
    inbox.enrol("clinic-8", first.public_bytes_raw().hex(), replace=False)
    assert inbox.load_verify_keys().keys() == {"clinic-7", "clinic-8"}, "its own enrolment too"
    other.close()


def test_what_is_kept_aside_does_not_grow_without_end(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MOST_ASIDE", 10)
    for number in range(25):
        inbox.set_aside(TOPIC_UNKNOWN(), None, None, bytes([number]))
    inbox.set_aside(TOPIC_UNKNOWN(), None, None, bytes([24]))
    assert len(inbox.list_aside(100)) == 10
    assert inbox.list_aside(1)[0]["times"] == 2


@pytest.mark.parametrize(
    "topic", ["", "lantern/v1/up/A/alert", "lantern/v1/up/a/wish", "lantern/v1/up/a/alert/x", "a\n"]
)
def test_a_topic_is_ours_or_none(topic: str) -> None:
    with raises_refusal(TOPIC_UNKNOWN):
        receiver.parse_topic(topic)


@pytest.mark.parametrize(
    ("box", "priority", "kind"),
    [
        ("clinic-8", Priority.URGENT, Kind.ALERT),
        ("clinic-7", Priority.ROUTINE, Kind.ALERT),
        ("clinic-7", Priority.URGENT, Kind.DIGEST),
        ("clinic-7", Priority.URGENT, Kind.HEALTH),
    ],
)
def test_a_message_is_taken_only_under_the_topic_of_its_box_and_kind(
    house: HospitalSite, box: str, priority: Priority, kind: Kind
) -> None:
    signer, keys = Ed25519PrivateKey.generate(), keyring.load_keys(house.keys)
    boxes, public = {"clinic-7": signer.public_key()}, keys.private[keys.current].public_key()
    right = seal(summary().encode(), Kind.ALERT, "clinic-7", signer, public)
    assert receiver.open_message(right, "clinic-7", Kind.ALERT, keys, boxes).message == summary()
    wrong = seal(summary(box=box, priority=priority).encode(), kind, "clinic-7", signer, public)
    with raises_refusal(MISADDRESSED):
        receiver.open_message(wrong, "clinic-7", kind, keys, boxes)


# --- commands -------------------------------------------------------------------------------------------------------


def test_the_rubbish_of_one_box_pushes_out_only_its_own(inbox: Inbox) -> None:
    with inbox.transaction():
        inbox.set_aside(TOPIC_UNKNOWN(), "clinic-a", "alert", b"the one of a")
        for number in range(2 * inbox_module.MOST_ASIDE_OF_A_BOX):
            inbox.set_aside(TOPIC_UNKNOWN(), "clinic-b", "alert", b"%d" % number)
    kept = Counter(row["box"] for row in inbox.list_aside(10_000))
    assert kept == {"clinic-a": 1, "clinic-b": inbox_module.MOST_ASIDE_OF_A_BOX}
