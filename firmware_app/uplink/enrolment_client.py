"""Asks the hospital to enrol the box, over the line, while it has no certificate.

The uplink is the only one that dials, and here too it is only a postman: root made the request and keeps the key with
which the answer is proved.  The request is repeated until root has taken an answer and starts the box again.
"""

from __future__ import annotations

import logging
import random
import secrets
import ssl
import threading
import time
from pathlib import Path
from typing import Final

from firmware_app.core.certificates import check_dates_by_box_time
from firmware_app.core.records import Reason
from firmware_app.core.settings import UplinkSection
from firmware_app.core.state_dir import StateDir, write_atomically
from firmware_app.uplink.connection import Connection, Post
from firmware_app.uplink.errors import UplinkError
from firmware_app.uplink.exchange.exchange_db import ENROLMENT_REQUESTED, ENROLMENT_UNHEARD, Exchange
from firmware_app.uplink.messages.credentials import load_bundle
from firmware_app.uplink.messages.enrolment import ENROLMENT_TOPIC, MOST_ENROLMENT_BYTES, EnrolCall, enrolment_port

log = logging.getLogger("lantern.uplink")

_AGAIN_S: Final = 30.0
_DELAY_MOST_S: Final = 60.0
_TURN_S: Final = 0.2


def request_enrolment(config: UplinkSection, state: StateDir, exchange: Exchange, stop: threading.Event) -> None:
    """Ask until *stop*.  What comes back is put down for root, unread."""
    call, authority = load_bundle(state.enrol_call, EnrolCall), state.line_keys / "authority.crt"
    settings = config.model_copy(
        update={
            "host": call.host,
            "port": enrolment_port(call.port),
            "tls_ca": authority if authority.exists() else None,
            "tls_cert": None,
            "tls_key": None,
        }
    )
    token, answers = secrets.token_hex(16), _AnswerFile(state.enrol_answer)
    connection = Connection(
        settings,
        token,
        subscribe=f"{ENROLMENT_TOPIC}/down/{token}",
        tls=_make_tls_context,
        on_message=lambda _topic, payload: answers.store_answer(payload),
        on_posted=lambda _number, refused, unheard: exchange.write_status(
            Reason(ENROLMENT_UNHEARD if refused or unheard else ENROLMENT_REQUESTED)
        ),
    )
    post, delay = Post(f"{ENROLMENT_TOPIC}/up/{token}", call.request.encode()), 1.0
    while not stop.is_set():
        try:
            connection.open(None)
        except UplinkError as error:
            log.warning("%s", error)
            exchange.write_status(error)
        else:
            delay = 1.0
            _repeat_request(connection, post, answers, stop)
            connection.close(politely=True)
        delay = min(2 * delay, _DELAY_MOST_S)
        stop.wait(delay * random.uniform(0.5, 1.0))


def _repeat_request(connection: Connection, post: Post, answers: _AnswerFile, stop: threading.Event) -> None:
    asked = -_AGAIN_S
    while connection.is_open and not stop.is_set():
        if time.monotonic() - asked >= _AGAIN_S:
            answers.due = True
            connection.post(post)
            asked = time.monotonic()
        connection.loop(_TURN_S)


class _AnswerFile:
    """Leaves one answer to each request for root, which removes it when it has looked.

    More would let whoever is on the way wake root again and again.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self.due = False

    def store_answer(self, payload: bytes) -> None:
        if not self.due or len(payload) > MOST_ENROLMENT_BYTES or self._place.exists():
            log.warning("an answer that no hospital gives, or one too many, was ignored")
            return
        self.due = False
        write_atomically(self._place, payload, 0o640)
        log.info("the hospital's answer has come")


def _make_tls_context(settings: UplinkSection) -> ssl.SSLContext:
    """TLS without a certificate of the box.  Where the box does not know its hospital yet, the broker's is not checked:
    the label's code proves the answer, and nothing that is sent is secret."""
    if settings.tls_ca is not None:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return check_dates_by_box_time(context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
