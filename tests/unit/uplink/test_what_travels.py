"""Every message of the line, field by field, and the one form it is written in: nothing else is built, sent or read."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware_app.appliance import box_identity
from firmware_app.core import clock
from firmware_app.core.errors import LanternError
from firmware_app.core.records import (
    Case,
    Finding,
    Lesion,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Scope,
    Timing,
)
from firmware_app.core.settings import UplinkSection
from firmware_app.uplink.connection import tls_context
from firmware_app.uplink.errors import BUNDLE_INVALID, MessageInvalid, SignatureForged
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.box_reports import LeftSlot, MeasureDrift, RunningSoftware, SiteDrift, SiteFigures
from firmware_app.uplink.messages.enrolment import EnrolAnswer, EnrolCall, EnrolRequest
from firmware_app.uplink.messages.envelope import (
    BoxBundle,
    Enrolment,
    HospitalBundle,
    Provisioning,
    SignedProvisioning,
    key_id,
    seal,
)
from firmware_app.uplink.messages.message import Message
from firmware_app.uplink.messages.summary import (
    Brief,
    ClinicFigures,
    Digest,
    DriftWatch,
    FindingBrief,
    FirstPresence,
    FirstReceipt,
    Keys,
    Kind,
    Mark,
    Modality,
    Opinion,
    Origin,
    PackBrief,
    Presence,
    Receipt,
    Refusal,
    RefusedMessage,
    SizeBand,
    SoftwareState,
    Summary,
    TakenMessage,
    decode_up,
)
from firmware_app.uplink.outbox import make_brief
from hospital import certificate_authority, keyring, message_verification
from hospital.errors import MISADDRESSED
from hospital.hospital_site import HospitalSite
from tests.refusals import raises_refusal

FIELDS: dict[type[Message], str] = {
    Origin: "box stream seq boot",
    FindingBrief: "code hundredths",
    Brief: "case revision modality pack pack_version runtime priority findings lesions size_band quality latency_ms"
    " verdict hour",
    Mark: "case revision priority hour",
    Summary: "origin brief",
    Digest: "origin marks",
    FirstPresence: "origin state beat version outgoing quarantined unread free_mb audit_head hour",
    Presence: "origin state beat version outgoing quarantined unread free_mb audit_head hour faults packs",
    PackBrief: "pack version",
    SiteFigures: "pack version machine finding state threshold read confirmed positives auc sensitivity specificity",
    ClinicFigures: "origin beat places hour",
    MeasureDrift: "measure first now psi state",
    SiteDrift: "pack version machine seen measures",
    DriftWatch: "origin beat place hour",
    LeftSlot: "slot version code parts",
    RunningSoftware: "machine version slot left",
    SoftwareState: "origin beat software hour",
    TakenMessage: "seq body",
    RefusedMessage: "seq body code",
    Receipt: "box stream taken refused at",
    Refusal: "seq code",
    FirstReceipt: "box stream taken refused at",
    Keys: "box serial seal",
    HospitalBundle: "verify seal serial host port authority",
    BoxBundle: "box verify tls proof",
    Enrolment: "box certificate",
    Provisioning: "box clinic language zone ae_title calling pacs_host pacs_port pacs_ae_title device hospital claim"
    " nonce made expires",
    SignedProvisioning: "content signature",
    EnrolRequest: "box nonce proof",
    EnrolAnswer: "request hospital enrolment proof",
    EnrolCall: "host port request",
}


def summary(priority: Priority = Priority.ROUTINE) -> Summary:
    return Summary(
        Origin("clinic-7", "5" * 32, 1, "b" * 16),
        Brief(
            "c-" + "0" * 20,
            1,
            Modality.CR,
            None,
            None,
            None,
            priority,
            (),
            0,
            SizeBand.NONE,
            "ok",
            9,
            Opinion.NONE,
            "2026-11-21T03",
        ),
    )


def descendants(kind: type[Message]) -> set[type[Message]]:
    return set(kind.__subclasses__()).union(*(descendants(one) for one in kind.__subclasses__()))


def test_every_kind_of_message_has_these_fields_and_no_other() -> None:
    ours = {kind for kind in descendants(Message) if kind.__module__.startswith(("firmware_app.", "hospital."))}
    built = {
        kind for kind in ours if getattr(sys.modules[kind.__module__], kind.__name__) is kind
    }  # not its slotless twin
    assert {
        kind: " ".join(field.name for field in fields(kind)) for kind in built if hasattr(kind, "__dataclass_fields__")
    } == FIELDS


@pytest.mark.parametrize(
    "hour", ["2026-11-21", "2026-11-21T03:15", "2026-11-21T03:15:09", "2026-11-21T24", "2026-02-31T03"]
)
def test_an_hour_is_an_hour(hour: str) -> None:
    with pytest.raises(MessageInvalid):
        Mark("c-" + "0" * 20, 1, Priority.ROUTINE, hour)
    assert (
        clock.trusted_hour(clock.Stamp(datetime(2026, 11, 21, 3, 15, 9, tzinfo=UTC), trusted=True)) == "2026-11-21T03"
    )


@pytest.mark.parametrize("hundredths", [-1, 101, 9312, 93.1, True])
def test_a_probability_has_two_decimals(hundredths: int) -> None:
    with pytest.raises(MessageInvalid):
        FindingBrief("tuberculosis", hundredths)


def test_a_case_is_rounded_and_counted_within_bounds() -> None:
    identity = PackIdentity("p", "1.0.0", "onnxruntime", "int8")
    findings = tuple(Finding(f"f{number}", {}, number / 100, 0.5) for number in (7, 28, 29, 57, 58))
    lesions = (Lesion("i-1", 0, (0, 0, 1, 1), 0.9, 1),) * 10_000
    reading = Reading(Scope.INSTANCE, ("i-1",), ReadingStatus.READ, None, identity, Timing(1, 1, 1), findings, lesions)
    case = Case("c-" + "0" * 20, None, "CR", 1, Priority.ROUTINE, (), (reading,), findings, lesions)
    brief = make_brief(case, clock.Stamp(datetime(2026, 11, 21, tzinfo=UTC), trusted=True))
    assert {one.code: one.hundredths for one in brief.findings} == {f"f{n}": n for n in (7, 28, 29, 57, 58)}
    assert brief.lesions == 9999


def test_numbers_are_written_in_ascii() -> None:
    for version in ("1.0.0", "١.٠.٠"):
        with nullcontext() if version.isascii() else pytest.raises(MessageInvalid):
            replace(summary().brief, pack="p", pack_version=version)


@pytest.mark.parametrize(
    "other",
    [
        lambda said: said.replace(b",", b", ", 1),
        lambda said: said + b"\n",
        lambda said: b'{"message":"summary",' + said[1:],
        lambda said: said.replace(b'"ok"', b'"\\u006fk"'),
    ],
)
def test_one_message_has_one_form(other: object) -> None:
    said = summary().encode()
    assert decode_up(said) == summary()
    with pytest.raises(MessageInvalid):
        decode_up(other(said))  # type: ignore[operator]


def test_a_message_of_one_kind_is_not_taken_under_the_topic_of_another() -> None:
    signer, private = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    keys = keyring.Keyring(signer, 1, key := key_id(private.public_key()), {key: private}, frozenset())
    boxes = {"clinic-7": signer.public_key()}

    def arrives(message: Summary, kind: Kind) -> None:
        sealed = seal(message.encode(), kind, "clinic-7", signer, private.public_key())
        message_verification.open_message(sealed, "clinic-7", kind, keys, boxes)

    arrives(summary(), Kind.DIGEST)
    arrives(summary(Priority.URGENT), Kind.ALERT)
    for message, kind in ((summary(), Kind.ALERT), (summary(Priority.URGENT), Kind.DIGEST), (summary(), Kind.HEALTH)):
        with raises_refusal(MISADDRESSED):
            arrives(message, kind)


# --- whose keys -----------------------------------------------------------------------------------------------------


def test_the_proof_of_a_box_covers_both_of_its_keys() -> None:
    made = BoxBundle.made("clinic-7", Ed25519PrivateKey.generate(), "04" + "1" * 128)
    made.prove()
    with pytest.raises(SignatureForged):
        BoxBundle(made.box, made.verify, "04" + "2" * 128, made.proof).prove()


def test_an_identity_is_a_signing_key(tmp_path: Path) -> None:
    file = tmp_path / "identity.pem"
    for key, fits in ((Ed25519PrivateKey.generate(), True), (X25519PrivateKey.generate(), False)):
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        settings = UplinkSection.model_validate({"identity": str(file)})
        if fits:
            credentials.load_identity(settings)
        else:
            with raises_refusal(BUNDLE_INVALID):
                credentials.load_identity(settings)


# The points of small order of edwards25519, and other ways to write them (RFC 8032 5.1.3 refuses those).
SMALL_ORDER = [
    "00" * 32,
    "00" * 31 + "80",
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "ec" + "ff" * 30 + "7f",
    "ec" + "ff" * 31,
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
    "ed" + "ff" * 31,
    "ee" + "ff" * 31,
]


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_box_with_a_signing_key_of_small_order_is_not_enrolled(tmp_path: Path, point: str) -> None:
    house = HospitalSite(tmp_path / "hospital")
    house.establish("127.0.0.1", 8883)
    box_identity.begin_identity(tmp_path / "box", "clinic-7", house.bundle_file)
    raw = json.loads((tmp_path / "box" / "box.json").read_bytes())
    weak = {**raw, "verify": point, "proof": "01" + "00" * 63}  # which anybody's word passes under such a key
    (tmp_path / "weak.json").write_text(json.dumps(weak, sort_keys=True, separators=(",", ":")))
    with raises_refusal(BUNDLE_INVALID):
        house.enrol(tmp_path / "weak.json")


@pytest.mark.parametrize("weak", [{"verify": SMALL_ORDER[2]}, {"seal": "00" * 32}, {"verify": "00" * 32}, None])
def test_a_hospital_whose_keys_hold_for_anyone_is_refused_wherever_it_comes_in(
    tmp_path: Path, weak: dict[str, str] | None
) -> None:
    house = HospitalSite(tmp_path / "hospital")
    house.establish("127.0.0.1", 8883)
    file, raw = tmp_path / "hospital.json", json.loads(house.bundle_file.read_bytes())
    content = b"\0" * 900  # as a file is after a power cut
    if weak is not None:
        content = json.dumps({**raw, **weak}, sort_keys=True, separators=(",", ":")).encode()
    file.write_bytes(content)
    with raises_refusal(BUNDLE_INVALID):
        credentials.load_hospital(UplinkSection.model_validate({"hospital": str(file)}))
    with raises_refusal(BUNDLE_INVALID):
        box_identity.begin_identity(tmp_path / "box", "clinic-7", file)


def test_a_certificate_for_another_key_does_not_complete_a_box_of_the_same_name(tmp_path: Path) -> None:
    house = HospitalSite(tmp_path / "hospital")
    house.establish("127.0.0.1", 8883)
    box_identity.begin_identity(tmp_path / "a", "clinic-7", house.bundle_file)
    box_identity.begin_identity(tmp_path / "b", "clinic-7", house.bundle_file)
    other = credentials.load_bundle(tmp_path / "b" / "box.json", BoxBundle)
    answer = Enrolment(
        "clinic-7", certificate_authority.issue(house.tls, "clinic-7", certificate_authority.parse_box_key(other.tls))
    )
    (tmp_path / "answer.json").write_bytes(answer.encode())
    with raises_refusal(BUNDLE_INVALID):
        box_identity.complete_identity(tmp_path / "a", tmp_path / "answer.json")


def test_an_unprotected_line_leaves_no_machine() -> None:
    assert tls_context(UplinkSection.model_validate({"host": "127.0.0.1"})) is None
    for host in ("192.0.2.7", "mqtt.hospital.example", "127.0.0.1.example"):
        with pytest.raises(LanternError):
            tls_context(UplinkSection.model_validate({"host": host}))
