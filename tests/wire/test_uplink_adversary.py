"""Everything an adversary may put on the wire is refused with its reason, and the next good message is counted."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from firmware_app.core.records import Priority
from firmware_app.uplink.messages.envelope import seal
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Kind, Summary
from tests import line
from tests.wire.line_rig import Box, HospitalRig, ManagedProcess, run_hospital, wait_for

ALERT = "lantern/v1/up/{}/alert"


@dataclass
class Wire:
    """A client of the broker with a box's certificate, that sends whatever bytes it likes."""

    box: Box
    client_id: str = "adversary"
    refused: list[str] = field(default_factory=list)
    accepted: int = 0

    def __post_init__(self) -> None:
        uplink = self.box.config.uplink
        context = ssl.create_default_context(cafile=uplink.tls_ca)
        assert uplink.tls_cert is not None
        context.load_cert_chain(uplink.tls_cert, uplink.tls_key)
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, self.client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.tls_set_context(context)
        self.client.on_publish = self._answered
        self.client.connect("127.0.0.1", uplink.port)
        self.client.loop_start()

    def _answered(self, _client: object, _data: object, _mid: int, reason: ReasonCode, _said: object) -> None:
        if reason.is_failure:
            self.refused.append(str(reason))
        else:
            self.accepted += 1

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Stage:
    """Box A, box B, and a hospital that counts."""

    site: HospitalRig
    a: Box
    b: Box
    wire: Wire
    sent: int = 0

    @property
    def hospital(self) -> X25519PublicKey:
        return parse_seal_key(self.site.house.load_bundle().seal)

    def summary(self, seq: int, box: str = "clinic-a", **changes: Any) -> Summary:
        return Summary(line.origin(seq, box=box), line.brief(seq, Priority.URGENT, **changes))

    def sealed(self, seq: int, signer: Ed25519PrivateKey | None = None, box: str = "clinic-a") -> bytes:
        body = self.summary(seq, box).encode()
        return seal(body, Kind.ALERT, box, signer or self.a.identity, self.hospital)

    def good(self) -> bytes:
        """Send a good message of box A and see it counted within 5 s; returns its bytes."""
        self.sent += 1
        payload = self.sealed(1000 + self.sent)
        self.wire.send(ALERT.format("clinic-a"), payload)
        wait_for(lambda: (f"c-{1000 + self.sent:020x}", 1) in self.site.list_revisions(), 5, "the next good message")
        return payload

    def expect(self, code: str, payload: bytes, topic: str = ALERT.format("clinic-a")) -> None:
        """*payload* is kept aside for the reason *code*, and the next good message is counted within 5 s."""
        before, counted = self.site.list_quarantine_codes().count(code), len(self.site.list_revisions())
        self.wire.send(topic, payload)
        self.good()
        assert self.site.list_quarantine_codes().count(code) == before + 1, (code, self.site.list_quarantine_codes())
        assert len(self.site.list_revisions()) == counted + 1


def resident_mb(process: ManagedProcess) -> float:
    assert process.process is not None
    return psutil.Process(process.process.pid).memory_info().rss / 1e6


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with run_hospital(tmp_path_factory.mktemp("adversary")) as site:
        a, b = site.box("clinic-a"), site.box("clinic-b")
        wire = Wire(a)
        yield Stage(site, a, b, wire)
        wire.close()


def test_box_b_that_signs_as_a(stage: Stage) -> None:
    stage.expect("uplink.forged", stage.sealed(1, signer=stage.b.identity))


def test_the_bytes_of_a_again(stage: Stage) -> None:
    stage.expect("hospital.replayed", stage.good())


def test_the_bytes_of_a_under_the_name_of_b(stage: Stage) -> None:
    payload, wire = stage.good(), Wire(stage.b)
    wire.send(ALERT.format("clinic-b"), payload)
    wait_for(lambda: "uplink.undecryptable" in stage.site.list_quarantine_codes(), 20)
    stage.good()
    assert {row.box for row in stage.site.inbox.list_cases()} == {"clinic-a"}
    wire.close()


def test_the_bytes_of_an_alert_as_a_digest(stage: Stage) -> None:
    stage.expect("uplink.undecryptable", stage.good(), "lantern/v1/up/clinic-a/digest")


def test_a_number_used_twice_for_different_things(stage: Stage) -> None:
    seq = 1000 + stage.sent
    stage.good()
    other = stage.summary(seq + 1, case=f"c-{7:020x}").encode()
    stage.expect("hospital.contradicted", seal(other, Kind.ALERT, "clinic-a", stage.a.identity, stage.hospital))


def test_a_body_that_names_another_box(stage: Stage) -> None:
    body = stage.summary(3, "clinic-b").encode()
    stage.expect("hospital.misaddressed", seal(body, Kind.ALERT, "clinic-a", stage.a.identity, stage.hospital))


@pytest.mark.parametrize("at", [0, 5, 44, -1])
def test_a_flipped_bit_anywhere(stage: Stage, at: int) -> None:
    payload = bytearray(stage.sealed(4))
    payload[at] ^= 0x10
    code = "uplink.malformed" if at == 0 else "uplink.key_unknown" if 4 <= at < 12 else "uplink.undecryptable"
    stage.expect(code, bytes(payload))


def test_a_message_for_another_hospital(stage: Stage) -> None:
    body, other = stage.summary(6).encode(), X25519PrivateKey.generate().public_key()
    stage.expect("uplink.key_unknown", seal(body, Kind.ALERT, "clinic-a", stage.a.identity, other))


def test_a_packet_longer_than_the_broker_takes(stage: Stage) -> None:
    wire = Wire(stage.b)
    wire.send(ALERT.format("clinic-b"), bytes(40_000))
    stage.good()
    wait_for(lambda: "oversize" in stage.site.broker.log.read_text(), 20)
    wire.close()


def test_a_topic_that_the_acl_denies(stage: Stage) -> None:
    wire = Wire(stage.b)
    before = len(stage.site.list_quarantine_codes())
    wire.send(ALERT.format("clinic-a"), stage.sealed(10, signer=stage.b.identity))
    wait_for(lambda: wire.refused == ["Not authorized"], 20, "the broker's reason")
    stage.good()
    assert len(stage.site.list_quarantine_codes()) == before
    wire.close()


def test_what_is_kept_under_topics_that_nobody_reads_is_refused(stage: Stage) -> None:
    before, wire = resident_mb(stage.site.broker), Wire(stage.b)
    for number in range(20_000):
        wire.send(f"lantern/v1/up/clinic-b/wish-{number}", bytes(2000), retain=True)
    wait_for(lambda: len(wire.refused) == 20_000, 60, "the broker's answer to each")
    assert set(wire.refused) == {"Not authorized"}
    assert resident_mb(stage.site.broker) - before < 8, "40 MB were sent"
    wire.close()


@pytest.mark.parametrize("client_id", ["HOSPITAL", "lantern-hospital", "clinic-a"])
def test_a_box_that_takes_the_name_of_another_silences_nobody(stage: Stage, client_id: str) -> None:
    lost, ended = stage.site.receiver.log.read_text().count("ended the connection"), threading.Event()

    def in_a_loop() -> None:
        while not ended.is_set():
            wire = Wire(stage.b, client_id)
            wait_for(wire.client.is_connected)
            wire.close()

    adversary = threading.Thread(target=in_a_loop)
    adversary.start()
    try:
        for _ in range(20):
            stage.good()
    finally:
        ended.set()
        adversary.join()
    assert stage.site.receiver.log.read_text().count("ended the connection") == lost


def test_the_old_key_of_the_hospital(stage: Stage) -> None:
    payload = stage.sealed(12)
    stage.site.house.rotate()
    wait_for(lambda: "number 2" in stage.site.receiver.log.read_text(), 20, "the receiver takes the new key")
    stage.expect("uplink.key_retired", payload)


def test_forged_words_of_the_hospital_change_nothing_in_the_box(stage: Stage, tmp_path: Path) -> None:
    from firmware_app.uplink.messages.envelope import sign
    from firmware_app.uplink.messages.summary import Receipt, TakenMessage, hash_body

    box = stage.b
    case = box.add_image(1, Priority.URGENT)
    relay = box.relay()
    relay.step()
    (row,) = box.exchange.list_due(9)
    named = (TakenMessage(row.seq, hash_body(row.message("clinic-b").encode())),)
    receipt = Receipt("clinic-b", row.stream, named, (), 0).encode()
    other = Receipt("clinic-a", row.stream, named, (), 0).encode()
    own = stage.site.house.keys / "sign.pem"
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    signer = load_pem_private_key(own.read_bytes(), None)
    assert isinstance(signer, Ed25519PrivateKey)
    for forged in (
        sign(receipt, Kind.ACK, "clinic-b", Ed25519PrivateKey.generate()),
        sign(receipt, Kind.KEYS, "clinic-b", signer),
        sign(receipt, Kind.ACK, "clinic-a", signer),
        sign(other, Kind.ACK, "clinic-b", signer),
        sign(receipt, Kind.ACK, "clinic-b", signer)[:-1],
        b"",
    ):
        box.exchange.receive(Kind.ACK, forged)
    relay.step()
    assert box.exchange.read_status().outgoing == 1
    assert box.exchange.list_incoming() == []
    box.exchange.receive(Kind.ACK, sign(receipt, Kind.ACK, "clinic-b", signer))
    relay.step()
    assert box.exchange.read_status().outgoing == 0
    assert case in {row[0] for row in box.list_closed_revisions()}


# --- the broker is gone ---------------------------------------------------------------------------------------------
