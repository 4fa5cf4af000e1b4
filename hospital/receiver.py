"""Listens to the broker and counts: commit first, then acknowledge to the broker, then sign the receipt for the box.

If it is killed in between, the broker or the box sends the message again, and it is recognised. A message that cannot
be counted is set aside with its reason and never blocks the next one.
"""

from __future__ import annotations

import logging
import random
import re
import select
import sqlite3
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware_app.core.errors import LanternError
from firmware_app.uplink.errors import BOX_UNKNOWN, Contradicted
from firmware_app.uplink.messages.box_reports import Report, UpMessage, decode_up
from firmware_app.uplink.messages.envelope import open_sealed, sign
from firmware_app.uplink.messages.summary import (
    BOX_ID,
    Keys,
    Kind,
    Presence,
    Receipt,
    RefusedMessage,
    TakenMessage,
    hash_body,
)
from hospital import certificate_authority, keyring
from hospital.errors import BOX_REVOKED, MISADDRESSED, TOPIC_UNKNOWN, InboxGone, Replayed
from hospital.hospital_site import HospitalSite
from hospital.inbox import receiver_status
from hospital.inbox.inbox_db import ORDINARY_CODES, Inbox
from hospital.inbox.receiver_status import KEEP_ALIVE_S, InboxProblem, ReceiverStatusRecorder
from hospital.keyring import Keyring
from hospital.receiver_clock import ReceiverClock

log = logging.getLogger("lantern.hospital")

BATCH_MESSAGES: Final = 200
"""Messages of one transaction, at most; a receipt has room for all of them."""

_MOST_REFUSED: Final = 50  # in one receipt, so that it stays short enough; the box asks again for the others

# Several batches on their way, so that the broker delivers the next while one is being opened and committed.
_IN_FLIGHT: Final = 5 * BATCH_MESSAGES
_SESSION_S: Final = 14 * 86_400
_ANSWER_S: Final = 10.0
_DELAY_FIRST_S, _DELAY_MOST_S = 0.5, 15.0
_DELAY_UNWRITTEN_S: Final = 3.0
_KEYS_S: Final = 1.0

_TOPIC = re.compile(rf"lantern/v1/up/({BOX_ID})/(birth|death|alert|digest|health|drift)", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenedMessage:
    """A message that is what it says, from the box whose topic it came under."""

    message: UpMessage
    body: bytes


def parse_topic(topic: str) -> tuple[str, Kind]:
    """The box and the kind a topic names; raises `TOPIC_UNKNOWN`."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        raise TOPIC_UNKNOWN()
    return match[1], Kind(match[2])


def open_message(
    payload: bytes, box: str, kind: Kind, keys: Keyring, boxes: Mapping[str, Ed25519PublicKey | None]
) -> OpenedMessage:
    """The verified message in *payload*; raises the `LanternError` that says why there is none."""
    if box not in boxes:
        raise BOX_UNKNOWN(box=box)
    verify = boxes[box]
    if verify is None:
        raise BOX_REVOKED(box=box)
    body = open_sealed(payload, kind, box, signer=verify, private=keys.private, retired=keys.retired)
    message = decode_up(body)
    if message.origin.box != box or message.kind is not kind:
        raise MISADDRESSED()
    return OpenedMessage(message, body)


@dataclass(slots=True)
class _DueReceipts:
    """The receipts due to one stream of one box."""

    taken: list[TakenMessage] = field(default_factory=list)
    refused: list[RefusedMessage] = field(default_factory=list)

    def encode(self, box: str, stream: str, at: int | None) -> bytes:
        """The receipt; *at* is None while the hospital's clock is doubtful."""
        return Receipt(box, stream, tuple(self.taken), tuple(self.refused[:_MOST_REFUSED]), at).encode()


class Receiver:
    """Counts what a broker delivers.  `serve` runs until told to stop."""

    def __init__(
        self, site: HospitalSite, *, host: str, port: int, tls: bool = True, live: InboxProblem | None = None
    ) -> None:
        """*host* and *port* are where this process reaches the broker, which need not be the address of the boxes."""
        self._site, self._host, self._port, self._tls = site, host, port, tls
        self._inbox = Inbox(site.inbox_db)
        self._clock = ReceiverClock(site.clock_word)
        self._standing = ReceiverStatusRecorder(self._inbox, live)
        self._keys: Keyring = keyring.load_keys(site.keys)
        self._keys_mark, self._looked = keyring.read_change_mark(site.keys), 0.0
        self._pending: list[mqtt.MQTTMessage] = []
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._answer = self._farewell = ""
        self._told: dict[str, int] = {}  # box -> number of the keys it was told on this connection

    def serve(self, stop: threading.Event, listening: Callable[[], None]) -> None:
        """Stay connected until *stop*; *listening* is called whenever the subscription stands.

        Raises `InboxGone` when the inbox was removed or replaced.
        """
        delay = _DELAY_FIRST_S
        while not stop.is_set():
            client: mqtt.Client | None = None
            try:
                client = self._make_client()
                self._open(client)
                self._told.clear()  # the broker may have lost its retained messages
                self._standing.record_connected()
                self._clock.record_connected()
                listening()
                delay = _DELAY_FIRST_S
                self._listen(client, stop)
                self._standing.record_disconnected("stopped" if stop.is_set() else self._explain_disconnect())
                if not stop.is_set():
                    log.warning(
                        "the broker %s:%d ended the connection: %s", self._host, self._port, self._explain_disconnect()
                    )
                self._protocol = MQTTProtocolVersion.MQTTv5  # it may only have been restarting
            except sqlite3.OperationalError as error:  # nothing was acknowledged
                self._handle_write_error(error)
                delay = _DELAY_UNWRITTEN_S
            except (OSError, ValueError) as error:
                why = self._find_date_fault() or str(error)
                self._standing.record_disconnected(why)
                log.warning("the broker %s:%d cannot be reached: %s", self._host, self._port, why)
            finally:
                self._pending.clear()
                if client is not None:
                    client.disconnect()
                    client.loop(0.05)
            stop.wait(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _DELAY_MOST_S)
        self._inbox.close()

    # --- the inbox -----------------------------------------------------------------------------------------------

    def _handle_write_error(self, error: sqlite3.OperationalError) -> None:
        """Say why at once, also where nothing can be written."""
        why = receiver_status.explain_write_error(self._site.inbox_db, error)
        self._standing.record_write_error(why)
        log.error("the inbox could not be written: %s (%s)", why, error)

    # --- the connection ------------------------------------------------------------------------------------------

    def _make_client(self) -> mqtt.Client:
        is_5 = self._protocol is MQTTProtocolVersion.MQTTv5
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="lantern-hospital",
            clean_session=None if is_5 else False,
            protocol=self._protocol,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if self._tls:
            context = ssl.create_default_context(cafile=self._site.tls / "ca.crt")
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            name = certificate_authority.RECEIVER_NAME.lower()
            context.load_cert_chain(self._site.tls / f"{name}.crt", self._site.tls / f"{name}.key")
            client.tls_set_context(context)
        client.on_connect = self._handle_connect
        client.on_subscribe = self._handle_subscribe
        client.on_disconnect = self._handle_disconnect
        client.on_message = lambda _client, _data, message: self._pending.append(message)
        return client

    def _open(self, client: mqtt.Client) -> None:
        self._answer = self._farewell = ""
        if self._protocol is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_S
            properties.ReceiveMaximum = _IN_FLIGHT
            client.connect(self._host, self._port, KEEP_ALIVE_S, clean_start=False, properties=properties)
        else:
            client.connect(self._host, self._port, KEEP_ALIVE_S)
        deadline = time.monotonic() + _ANSWER_S
        while self._answer != "subscribed" and time.monotonic() < deadline:
            if client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS or self._answer not in ("", "Success", "subscribed"):
                break
        if self._answer != "subscribed":
            is_5 = self._protocol is MQTTProtocolVersion.MQTTv5
            self._protocol = MQTTProtocolVersion.MQTTv311 if is_5 else MQTTProtocolVersion.MQTTv5
            raise ConnectionError(self._answer if self._answer not in ("", "Success") else self._explain_disconnect())

    def _handle_connect(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _said: object
    ) -> None:
        self._answer = str(reason)
        if not reason.is_failure:
            client.subscribe("lantern/v1/up/#", qos=1)

    def _handle_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _said: object
    ) -> None:
        self._answer = "subscription refused" if any(reason.is_failure for reason in reasons) else "subscribed"

    def _handle_disconnect(
        self, _client: mqtt.Client, _data: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, _said: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._farewell = str(reason)

    def _explain_disconnect(self) -> str:
        """Why the line is closed: a date that everybody is refused for, or the broker's words where it gave a reason
        (MQTT 5, 3.14.2.1)."""
        if out_of_date := self._find_date_fault():
            return out_of_date
        if self._farewell == "Session taken over":
            return "another client came with this hospital's certificate"
        return (
            self._farewell
            or "it gave no reason; it was stopped, or another client came with this hospital's certificate"
        )

    def _find_date_fault(self) -> str:
        """The date for which the broker refuses everybody, or everybody the broker; empty where all are right."""
        wrong = certificate_authority.find_date_faults(self._site.tls) if self._tls else []
        return str(wrong[0]) if wrong else ""

    def _listen(self, client: mqtt.Client, stop: threading.Event) -> None:
        while not stop.is_set():
            has_news = self._wait_for_data(client, 0.05)
            alive = client.loop(0) == mqtt.MQTT_ERR_SUCCESS
            if alive and has_news:
                self._standing.record_message()
            while alive and self._pending and len(self._pending) < BATCH_MESSAGES:
                before = len(self._pending)
                alive = client.loop_read() == mqtt.MQTT_ERR_SUCCESS
                if len(self._pending) == before:
                    break
            while self._pending:
                self._count_batch(client)
            if not alive:
                return
            self._standing.refresh(is_clock_doubtful=self._clock.is_doubtful())
            self._publish_keys(client)

    def _wait_for_data(self, client: mqtt.Client, seconds: float) -> bool:
        """Whether the broker sends anything within *seconds*; shorter where it takes what is to be sent to it."""
        line = client.socket()
        if line is None or (isinstance(line, ssl.SSLSocket) and line.pending()):
            return line is not None
        return bool(select.select([line], [line] if client.want_write() else [], [], seconds)[0])

    # --- counting ------------------------------------------------------------------------------------------------

    def _count_batch(self, client: mqtt.Client) -> None:
        batch, self._pending = (
            self._pending[:BATCH_MESSAGES],
            self._pending[BATCH_MESSAGES:],
        )  # one turn of paho's may have read more
        receipts: dict[tuple[str, str], _DueReceipts] = defaultdict(_DueReceipts)
        boxes = self._inbox.load_verify_keys()
        with self._inbox.transaction():
            for message in batch:
                self._count_message(message.topic, bytes(message.payload), message.dup, boxes, receipts)
        if not self._inbox.is_in_place():  # never a receipt for rows that nobody else will find
            raise InboxGone(path=str(self._site.inbox_db))
        self._standing.record_commit()
        for message in batch:
            client.ack(message.mid, message.qos)
        for (box, stream), receipt in receipts.items():
            self._send(client, box, Kind.ACK, receipt.encode(box, stream, self._clock.now()))

    def _count_message(
        self,
        topic: str,
        payload: bytes,
        again: bool,
        boxes: Mapping[str, Ed25519PublicKey | None],
        receipts: dict[tuple[str, str], _DueReceipts],
    ) -> None:
        box: str | None = None
        kind: Kind | None = None
        try:
            box, kind = parse_topic(topic)
            opened = open_message(payload, box, kind, self._keys, boxes)
            message = opened.message
            if isinstance(message, Presence):
                if self._inbox.keep_presence(message, again=again):
                    self._clock.record_witness(message)
                return
            if isinstance(message, Report):
                self._inbox.keep_report(message, again=again)
                return
            receipt = receipts[box, message.origin.stream]
            seq, hashed = message.origin.seq, hash_body(opened.body)
            try:
                self._inbox.count(message, opened.body, payload)
            except Contradicted as error:
                receipt.refused.append(RefusedMessage(seq, hashed, error.code))
                raise
            except Replayed:
                receipt.taken.append(TakenMessage(seq, hashed))  # perhaps our receipt was lost
                if again:  # the broker itself says that it delivers once more
                    return
                raise
            receipt.taken.append(TakenMessage(seq, hashed))
        except LanternError as error:
            level = logging.INFO if error.code in ORDINARY_CODES else logging.WARNING
            log.log(level, "a message from box %s was kept aside (%s)", box, error.code)
            self._inbox.set_aside(error, box, kind.value if kind else None, payload)

    # --- the way down --------------------------------------------------------------------------------------------

    def _publish_keys(self, client: mqtt.Client) -> None:
        """The signed keys message, retained by the broker: at each connection, after a rotation, and for a new box."""
        now = time.monotonic()
        if now - self._looked < _KEYS_S:
            return
        self._looked = now
        mark = keyring.read_change_mark(self._site.keys)
        if mark != self._keys_mark:
            self._keys, self._keys_mark = keyring.load_keys(self._site.keys), mark
            log.info("sealing key number %d is in use", self._keys.serial)
        for box, verify in self._inbox.load_verify_keys().items():
            if verify is not None and self._told.get(box) != self._keys.serial:
                keys = Keys(box, self._keys.serial, self._keys.seal_public)
                self._send(client, box, Kind.KEYS, keys.encode(), retain=True)
                self._told[box] = self._keys.serial

    def _send(self, client: mqtt.Client, box: str, kind: Kind, body: bytes, *, retain: bool = False) -> None:
        signed = sign(body, kind, box, self._keys.signer)
        client.publish(f"lantern/v1/down/{box}/{kind.value}", signed, qos=1, retain=retain)
