"""The processes of `bench.hospital`: boxes, receivers, and each part of a receiver alone.

    python -m bench.ingest_parts PART FOLDER PORT MESSAGES

Each says on stdout, one JSON object a line, what it has reached and when (monotonic clock, the same for all).
"""

from __future__ import annotations

import json
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench import harness
from firmware_app.appliance import box_identity
from firmware_app.core.records import Priority
from firmware_app.uplink.messages.box_reports import decode_up
from firmware_app.uplink.messages.envelope import open_signed, seal
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import (
    Brief,
    FindingBrief,
    Kind,
    Modality,
    Opinion,
    Origin,
    Receipt,
    SizeBand,
    Summary,
    SummaryRuntime,
    decode,
)
from hospital import certificate_authority, keyring, receiver
from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox

BOXES: Final = 4
_PATIENCE_S: Final = 120.0
_RECEIPT_AT, _CLEAR_AT = 76, 110  # where the body begins in a receipt and in an unsealed message


@dataclass(frozen=True)
class Where:
    """The arguments of every process."""

    folder: Path
    port: int
    messages: int

    @property
    def house(self) -> HospitalSite:
        return HospitalSite(self.folder / "hospital")


def main() -> None:
    part, folder, port, messages = sys.argv[1:]
    _PARTS[part](Where(Path(folder), int(port), int(messages)))


def _print_event(word: str) -> None:
    print(json.dumps({"event": word, "at": time.monotonic()}), flush=True)


def _box(number: int) -> str:
    return f"clinic-{number}"


def provision_boxes(house: HospitalSite, folder: Path, messages: int) -> int:
    """Enrol the boxes and write what they will send, sealed and in the clear; returns the bytes of an envelope."""
    hospital = parse_seal_key(house.load_bundle().seal)
    for number in range(BOXES):
        keys = folder / _box(number)
        box_identity.begin_identity(keys, _box(number), house.bundle_file)
        _, enrolment = house.enrol(keys / "box.json")
        box_identity.complete_identity(keys, enrolment)
        signer = load_pem_private_key((keys / "identity.pem").read_bytes(), None)
        assert isinstance(signer, Ed25519PrivateKey)
        share = range(number, messages, BOXES)
        _write(keys / "sealed", (_seal(number, seq, signer, hospital) for seq in share))
        _write(keys / "clear", (_clear(number, seq) for seq in share))
    return len(next(_read(folder / _box(0) / "sealed")))


def summary(box: str, seq: int, hundredths: int) -> Summary:
    brief = Brief(
        case=f"c-{seq:020x}",
        revision=1,
        modality=Modality.DX,
        pack="chest-xray-adult",
        pack_version="1.0.0",
        runtime=SummaryRuntime.ONNXRUNTIME,
        priority=Priority.ROUTINE,
        findings=(FindingBrief("tuberculosis", hundredths),),
        lesions=0,
        size_band=SizeBand.NONE,
        quality="ok",
        latency_ms=214,
        verdict=Opinion.NONE,
        hour="2026-11-21T03",
    )
    return Summary(Origin(box, "0" * 32, seq, "0" * 16), brief)


def _body(number: int, seq: int) -> bytes:
    return summary(_box(number), seq + 1, seq % 100).encode()


def _seal(number: int, seq: int, signer: Ed25519PrivateKey, hospital: X25519PublicKey) -> bytes:
    return seal(_body(number, seq), Kind.DIGEST, _box(number), signer, hospital)


def _clear(number: int, seq: int) -> bytes:
    """A message as long as the sealed one, with its parts at the same offsets, but unencrypted."""
    body = _body(number, seq)
    inside = bytes(64) + len(body).to_bytes(2) + body
    return b"LNU2".ljust(44, b"\0") + inside.ljust(2_048, b"\0") + bytes(16)


def _write(file: Path, envelopes: Iterator[bytes]) -> None:
    with file.open("wb") as out:
        for envelope in envelopes:
            out.write(len(envelope).to_bytes(4) + envelope)


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as handle:
        while head := handle.read(4):
            yield handle.read(int.from_bytes(head))


def _client(name: str, authority_file: Path, pair: tuple[Path, Path]) -> mqtt.Client:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=name == "lantern-hospital"
    )
    context = ssl.create_default_context(cafile=authority_file)
    context.load_cert_chain(*pair)
    client.tls_set_context(context)
    return client


def _receivers_client(house: HospitalSite) -> mqtt.Client:
    name = certificate_authority.RECEIVER_NAME.lower()
    return _client("lantern-hospital", house.tls / "ca.crt", (house.tls / f"{name}.crt", house.tls / f"{name}.key"))


def _make_session_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    return properties


def subscribe(house: HospitalSite, port: int) -> None:
    """Create the receiver's session, subscribe and disconnect: from now on the broker queues what comes."""
    subscribed = threading.Event()
    client = _receivers_client(house)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port, clean_start=True, properties=_make_session_properties())
    client.subscribe("lantern/v1/up/#", qos=1)
    client.loop_start()
    if not subscribed.wait(_PATIENCE_S):
        harness.give_up("mosquitto did not take the subscription.")
    client.disconnect()
    client.loop_stop()


def _boxes(what: str, where: Where) -> None:
    """Every box: send all, then count the receipts."""
    sent, answered = threading.Semaphore(0), threading.Event()
    receipts: list[tuple[str, bytes]] = []
    waiting = [where.messages]

    def take(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        receipts.append((message.topic.split("/")[3], bytes(message.payload)))
        waiting[0] -= len(json.loads(message.payload[_RECEIPT_AT:])["taken"])
        if waiting[0] <= 0:
            _print_event("answered")
            answered.set()

    clients = []
    for number in range(BOXES):
        keys = where.folder / _box(number)
        client = _client(_box(number), keys / "authority.crt", (keys / "tls.crt", keys / "tls.key"))
        client.on_publish = lambda *_: sent.release()
        client.on_message = take
        ready = threading.Event()
        client.on_subscribe = lambda *_, ready=ready: ready.set()
        client.connect("127.0.0.1", where.port)
        client.loop_start()
        client.subscribe(f"lantern/v1/down/{_box(number)}/ack", qos=1)
        ready.wait(_PATIENCE_S)
        clients.append(client)
    for number, client in enumerate(clients):
        for envelope in _read(where.folder / _box(number) / what):
            client.publish(f"lantern/v1/up/{_box(number)}/digest", envelope, qos=1)
    for _ in range(where.messages):
        sent.acquire()
    _print_event("sent")
    if not answered.wait(_PATIENCE_S):
        return
    if what == "sealed":  # the measurement is over
        key = where.house.load_bundle().verify_key
        for box, signed in receipts:
            decode(open_signed(signed, Kind.ACK, box, key), Receipt)


def _receive(where: Where) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _print_event("begun")
    receiver.Receiver(where.house, host="127.0.0.1", port=where.port).serve(stop, lambda: None)


def _receive_clear(where: Where) -> None:
    def open_envelope(envelope: bytes, *_: object) -> bytes:
        end = _CLEAR_AT + int.from_bytes(envelope[_CLEAR_AT - 2 : _CLEAR_AT])
        return envelope[_CLEAR_AT:end]

    def skip_signing(body: bytes, *_: object) -> bytes:
        return bytes(_RECEIPT_AT) + body

    vars(receiver)["open_sealed"] = open_envelope
    vars(receiver)["sign"] = skip_signing
    _receive(where)


def _acknowledge(where: Where) -> None:
    """What mosquitto and paho can do without looking at messages, acknowledged in batches as the receiver does."""
    client = _receivers_client(where.house)
    pending: list[int] = []
    client.on_message = lambda _client, _data, message: pending.append(message.mid)
    _print_event("begun")
    client.connect("127.0.0.1", where.port, clean_start=False, properties=_make_session_properties())
    left = where.messages
    while left > 0:
        before = len(pending)
        client.loop(0.0 if pending else 0.05)
        if pending and (len(pending) == before or len(pending) >= receiver.BATCH_MESSAGES):
            for mid in pending:
                client.ack(mid, 1)
            left -= len(pending)
            pending.clear()
    _print_event("acknowledged")
    client.disconnect()


def _open(where: Where) -> None:
    house = where.house
    keys, inbox = keyring.load_keys(house.keys), Inbox(house.inbox_db)
    boxes = inbox.load_verify_keys()
    envelopes = [(_box(number), list(_read(where.folder / _box(number) / "sealed"))) for number in range(BOXES)]
    _print_event("begun")
    for box, sealed in envelopes:
        for envelope in sealed:
            receiver.open_message(envelope, box, Kind.DIGEST, keys, boxes)
    _print_event("done")


def _commit(where: Where) -> None:
    house = where.house
    for path in house.root.glob("alone.db*"):
        path.unlink()
    inbox = Inbox(house.root / "alone.db")
    inbox.create()
    bodies = [_body(seq % BOXES, seq) for seq in range(where.messages)]
    rows = [(decode_up(body), body) for body in bodies]
    _print_event("begun")
    for at in range(0, len(rows), receiver.BATCH_MESSAGES):
        with inbox.transaction():
            for message, body in rows[at : at + receiver.BATCH_MESSAGES]:
                assert isinstance(message, Summary)
                inbox.count(message, body, body)
    _print_event("done")


_PARTS: Final[dict[str, Callable[[Where], None]]] = {
    "boxes-sealed": partial(_boxes, "sealed"),
    "boxes-clear": partial(_boxes, "clear"),
    "sealed": _receive,
    "clear": _receive_clear,
    "acknowledge": _acknowledge,
    "open": _open,
    "commit": _commit,
}


if __name__ == "__main__":
    main()
