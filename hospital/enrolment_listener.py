"""The receiver's connection to the enrolment broker: requests in, answers out, no more.

It is a thread of `serve` with a connection of its own, so that strangers' messages never wait before an alert.

`RequestQueue` holds requests until they are looked at, which costs an scrypt each: a few of each box, in turn.  Anybody
may send requests under the id of a box that has a label.  A request for one box never takes the place of another box's,
and of the requests for one box a random one gives way: none can be pushed out for certain.  A request that was looked
at and was not made with the label's code is not looked at twice.
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
import secrets
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from firmware_app.core import notify
from firmware_app.uplink.messages.enrolment import ENROLMENT_TOPIC, MOST_ENROLMENT_BYTES, TOKEN_PATTERN
from hospital import box_enrolment, broker, certificate_authority
from hospital.broker import FrontAddress
from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox

log = logging.getLogger("lantern.hospital")

_UP: Final = re.compile(rf"{ENROLMENT_TOPIC}/up/({TOKEN_PATTERN})", re.ASCII)
_MOST_A_SECOND: Final = 4
"""Requests looked at: each may cost an scrypt, and a box asks again."""
_DELAY_S: Final = 15.0
_TURN_S: Final = 0.2
_PATIENCE_S: Final = 180.0  # a look-up of a name that fails, a handshake with a broker that hangs, several scrypts
_KEEP_ALIVE_S: Final = 30
_FRONT_DELAY_S: Final = 3.0


class _NamedContext(ssl.SSLContext):
    """Takes the certificate of the host *named*, whatever address is dialled for it."""

    named: str

    def wrap_socket(self, *given: Any, **settings: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*given, **{**settings, "server_hostname": self.named})


def _is_this_machine(host: str) -> bool:
    """Whether *host* is this machine; raises OSError where the name is unknown."""
    family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as own:
        try:
            own.bind(address)
        except OSError:
            return False
    return True


class EnrolmentListener:
    """Hears the boxes that ask.  `serve` runs until told to stop."""

    def __init__(self, site: HospitalSite, host: str, port: int) -> None:
        self._site, self._host, self._port = site, host, port
        self._front = broker.read_front_address(site.broker)
        self._inbox = Inbox(site.inbox_db)
        self._waiting = RequestQueue()
        self._refused = ""
        self._turned = time.monotonic()

    def start(self, stop: threading.Event) -> None:
        """Serve in a thread, where this hospital has such a broker; and have its front run in a process of its own."""
        if not (self._site.broker / broker.ENROLMENT_CONFIG).exists():
            return
        threading.Thread(target=self.serve, args=(stop,), name="enrolment", daemon=True).start()
        notify.depend_on(self.is_working)
        if self._front is not None:
            threading.Thread(target=self._run_front, args=(self._front, stop), name="front", daemon=True).start()

    def _run_front(self, place: FrontAddress, stop: threading.Event) -> None:
        """Run the front until *stop*: strangers reach it, so it shares neither memory nor time with the receiver."""
        command = [sys.executable, "-m", "hospital.enrolment_front", str(place.port), place.address, str(place.broker)]
        said = ""
        while not stop.is_set():
            front = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                while front.poll() is None and not stop.wait(_TURN_S):
                    pass
                if stop.is_set():
                    return
            finally:
                front.kill()
                _, why = front.communicate()
            why = (why.strip().splitlines() or [f"status {front.returncode}"])[-1]
            if why != said:
                log.warning("boxes cannot come to port %d to be enrolled: %s", place.port, why)
            said = why
            stop.wait(_FRONT_DELAY_S)

    def is_working(self) -> bool:
        """Whether the thread goes on: it turns, or waits for a broker that is not there."""
        return time.monotonic() - self._turned < _PATIENCE_S

    def serve(self, stop: threading.Event) -> None:
        """Stay connected until *stop*; a broker that is not there is tried again and again, and reported once."""
        said = ""
        with closing(self._inbox):
            while not stop.is_set():
                self._turned = time.monotonic()
                client = self._make_client()
                try:
                    self._connect(client)
                    self._listen(client, stop)
                    why = self._refused or "the broker has ended the connection"
                except (OSError, ValueError, sqlite3.Error) as error:
                    why = str(error)
                finally:
                    client.disconnect()
                    client.loop(0.05)
                if why != said and not stop.is_set():
                    log.warning("boxes cannot ask to be enrolled at %s:%d: %s", self._host, self._port, why)
                said = why
                stop.wait(_DELAY_S)

    def _make_client(self) -> mqtt.Client:
        # A client id that nobody knows: whoever comes with the id of another ends that one's connection.
        self._refused = ""
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=secrets.token_hex(20),
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=True,
            reconnect_on_failure=False,
        )
        context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.named = self._host
        context.load_verify_locations(self._site.tls / "ca.crt")
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        client.tls_set_context(context)
        client.username_pw_set(certificate_authority.RECEIVER_NAME, broker.read_receiver_password(self._site.tls))
        client.on_connect = self._handle_connect
        client.on_message = self._handle_message
        return client

    def _connect(self, client: mqtt.Client) -> None:
        """Behind the front where the broker is on this machine, so that no stranger takes the receiver's place."""
        if self._front is not None:
            try:
                client.connect("127.0.0.1", self._front.broker, _KEEP_ALIVE_S)
                return
            except ConnectionRefusedError:
                if _is_this_machine(self._host):  # our own front would answer there
                    raise
        client.connect(self._host, self._port, _KEEP_ALIVE_S)

    def _handle_connect(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _said: object
    ) -> None:
        if reason.is_failure:
            self._refused = str(reason)
        else:
            client.subscribe(f"{ENROLMENT_TOPIC}/up/+", qos=1)
            log.info("boxes may ask to be enrolled at %s:%d", self._host, self._port)

    def _handle_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        """Remember what came until it is looked at, as far as there is room; a box asks again."""
        match = _UP.fullmatch(message.topic)
        if match is None or len(message.payload) > MOST_ENROLMENT_BYTES:
            return
        box = box_enrolment.find_labelled_box(self._inbox, bytes(message.payload))
        if box is not None:
            self._waiting.add(box, match[1], bytes(message.payload))

    def _listen(self, client: mqtt.Client, stop: threading.Event) -> None:
        looked = 0.0
        while client.loop(_TURN_S) == mqtt.MQTT_ERR_SUCCESS and not stop.is_set():
            self._turned = time.monotonic()
            if time.monotonic() - looked < 1.0:
                continue
            looked = time.monotonic()
            for _ in range(_MOST_A_SECOND):
                if (one := self._waiting.take()) is None:
                    break
                came = box_enrolment.receive_request(self._site, self._inbox, *one)
                if came is box_enrolment.RequestOutcome.STRANGE:
                    self._waiting.refuse(one[1])
                log.debug("a request to be enrolled: %s", came.value)
            for answer in box_enrolment.list_due_answers(self._inbox):
                told = client.publish(f"{ENROLMENT_TOPIC}/down/{answer.token}", answer.answer, qos=1)
                if told.rc == mqtt.MQTT_ERR_SUCCESS:
                    box_enrolment.mark_answer_sent(self._inbox, answer)
                    log.info("the certificate of box %s was sent to it", answer.box)


MOST_REQUESTS_OF_A_BOX: Final = 32
_MOST_STRANGERS_KEPT: Final = 4096


class RequestQueue:
    """The last request of each token, by box; `take` gives the oldest of the box whose turn it is."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.SystemRandom()
        self._of: dict[str, dict[str, bytes]] = {}
        self._strange: dict[bytes, None] = {}

    def add(self, box: str, token: str, body: bytes) -> None:
        """Remember a request for *box* that came under *token*; a repeated one keeps its place in the row."""
        if _hash_request(body) in self._strange:
            return
        waiting = self._of.setdefault(box, {})
        waiting[token] = body
        if len(waiting) > MOST_REQUESTS_OF_A_BOX:
            del waiting[self._chance.choice(list(waiting))]

    def take(self) -> tuple[str, bytes] | None:
        """Token and request that are to be looked at next; None where nothing waits."""
        if not self._of:
            return None
        box = next(iter(self._of))
        waiting = self._of.pop(box)
        token = next(iter(waiting))
        body = waiting.pop(token)
        if waiting:
            self._of[box] = waiting  # behind the others
        return token, body

    def refuse(self, body: bytes) -> None:
        """*body* was made by a stranger."""
        self._strange[_hash_request(body)] = None
        if len(self._strange) > _MOST_STRANGERS_KEPT:
            del self._strange[next(iter(self._strange))]


def _hash_request(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
