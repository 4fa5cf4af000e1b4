"""Whose keys the line goes by: those of a provisioned hospital, and of small order none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware_app.appliance import box_identity
from firmware_app.core.errors import LanternError
from firmware_app.core.settings import UplinkSection
from firmware_app.uplink.connection import make_tls_context
from firmware_app.uplink.errors import BUNDLE_INVALID
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.envelope import BoxBundle, Enrolment, compute_key_id, sign
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Keys, Kind
from firmware_app.uplink.publisher import Publisher
from hospital import certificate_authority
from hospital.hospital_site import HospitalSite
from tests.line import BUNDLE, SIGNER, public
from tests.refusals import raises_refusal


@pytest.fixture
def house(tmp_path: Path) -> HospitalSite:
    made = HospitalSite(tmp_path / "hospital")
    made.set_up("127.0.0.1", 8883)
    return made


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    made = Exchange(tmp_path / "exchange" / "exchange.db")
    made.create()
    yield made
    made.database.close()


@pytest.mark.parametrize(
    ("serial", "signer", "box", "taken"),
    [
        pytest.param(9, SIGNER, "clinic-7", True, id="a newer key"),
        pytest.param(3, SIGNER, "clinic-7", False, id="no newer key"),
        pytest.param(9, Ed25519PrivateKey.generate(), "clinic-7", False, id="a stranger's key"),
        pytest.param(9, SIGNER, "clinic-8", False, id="a key told to another box"),
    ],
)
def test_only_a_newer_key_that_this_hospital_signed_is_used(
    exchange: Exchange, serial: int, signer: Ed25519PrivateKey, box: str, taken: bool
) -> None:
    keys = Keys("clinic-7", serial, public(b"7"))
    exchange.keep_keys(BUNDLE.verify, serial, sign(keys.encode(), Kind.KEYS, box, signer))
    publisher = Publisher(exchange, "clinic-7", Ed25519PrivateKey.generate(), BUNDLE, exchange.database.path.parent)
    assert publisher.begin().payload[4:12] == compute_key_id(parse_seal_key(public(b"7") if taken else BUNDLE.seal))


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


# Some of the points of small order of edwards25519, and other ways to write them (RFC 8032 5.1.3 refuses those).
SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "ec" + "ff" * 30 + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ee" + "ff" * 31,
]


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_box_with_a_signing_key_of_small_order_is_not_enrolled(
    house: HospitalSite, tmp_path: Path, point: str
) -> None:
    box_identity.begin_identity(tmp_path / "box", "clinic-7", house.bundle_file)
    raw = json.loads((tmp_path / "box" / "box.json").read_bytes())
    weak = {**raw, "verify": point, "proof": "01" + "00" * 63}  # which anybody's word passes under such a key
    (tmp_path / "weak.json").write_text(json.dumps(weak, sort_keys=True, separators=(",", ":")))
    with raises_refusal(BUNDLE_INVALID):
        house.enrol(tmp_path / "weak.json")


@pytest.mark.parametrize("weak", [{"verify": SMALL_ORDER[1]}, {"seal": "00" * 32}, None])
def test_a_hospital_whose_keys_hold_for_anyone_is_refused_wherever_it_comes_in(
    house: HospitalSite, tmp_path: Path, weak: dict[str, str] | None
) -> None:
    file, raw = tmp_path / "hospital.json", json.loads(house.bundle_file.read_bytes())
    content = b"\0" * 900  # as a file is after a power cut
    if weak is not None:
        content = json.dumps({**raw, **weak}, sort_keys=True, separators=(",", ":")).encode()
    file.write_bytes(content)
    with raises_refusal(BUNDLE_INVALID):
        credentials.load_hospital(UplinkSection.model_validate({"hospital": str(file)}))
    with raises_refusal(BUNDLE_INVALID):
        box_identity.begin_identity(tmp_path / "box", "clinic-7", file)


def test_a_certificate_for_another_key_does_not_complete_a_box_of_the_same_name(
    house: HospitalSite, tmp_path: Path
) -> None:
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
    assert make_tls_context(UplinkSection.model_validate({"host": "127.0.0.1"})) is None
    for host in ("192.0.2.7", "mqtt.hospital.example", "127.0.0.1.example"):
        with pytest.raises(LanternError):
            make_tls_context(UplinkSection.model_validate({"host": host}))
