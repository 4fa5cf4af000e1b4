"""The uplink process: keeps the MQTT connection to the hospital open, and records its state."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink import enrolment_client
from firmware_app.uplink.connection import Connection
from firmware_app.uplink.errors import LINE_NOT_SET_UP, UplinkError
from firmware_app.uplink.exchange.exchange_db import UPLINK_INTERRUPTED, UPLINK_OPEN, UPLINK_UNCONFIRMED, Exchange
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.message import MOST_MESSAGE_BYTES
from firmware_app.uplink.messages.summary import Kind
from firmware_app.uplink.publisher import Publisher

log = logging.getLogger("lantern.uplink")

_POLL_S: Final = 0.025
_DELAY_FIRST_S, _DELAY_MOST_S = 0.5, 60.0
_STEADY_S: Final = 30.0
_RELEASE_S: Final = 3600.0
_DOWN: Final = {kind.value: kind for kind in (Kind.ACK, Kind.KEYS, Kind.COMMAND)}
_SIGNED_BYTES: Final = 128


def run(config: Config, ready: Callable[[Mapping[str, str | int | None]], None], stop: threading.Event) -> None:
    """Body of the uplink process, until *stop*.  Of the box's files it opens only exchange.db and its own keys."""
    state, settings = StateDir(config.state.dir), credentials.use_systemd_credentials(config.uplink)
    exchange = Exchange(state.exchange_db)
    exchange.require()
    if not config.uplink.enabled and state.enrol_call.exists():
        ready({"box": config.box.id, "broker": "asks to be enrolled"})
        try:
            enrolment_client.request_enrolment(config.uplink, state, exchange, stop)
        finally:
            exchange.database.close()
        return
    try:
        if not settings.host:
            raise LINE_NOT_SET_UP(key="host")
        hospital, identity = credentials.load_hospital(settings), credentials.load_identity(settings)
    except UplinkError as error:
        exchange.write_status(error)
        raise
    publisher = Publisher(exchange, config.box.id, identity, hospital, state.exchange_db.parent)
    connection = Connection(
        settings,
        f"lantern-{config.box.id}",
        subscribe=f"lantern/v1/down/{config.box.id}/+",
        on_message=lambda topic, payload: _receive(exchange, topic, payload),
        on_posted=publisher.handle_answer,
    )
    ready({"box": config.box.id, "broker": f"{settings.host}:{settings.port}"})
    try:
        _keep_open(exchange, publisher, connection, settings.health_seconds, stop)
    finally:
        connection.close(politely=True)
        exchange.database.close()


def _keep_open(
    exchange: Exchange, publisher: Publisher, connection: Connection, health_seconds: float, stop: threading.Event
) -> None:
    delay = _DELAY_FIRST_S
    while not stop.is_set():
        opened = time.monotonic()
        try:
            connection.open(publisher.begin())
        except UplinkError as error:
            log.warning("%s", error)
            exchange.write_status(error)
        else:
            log.info("the line is open, MQTT %s", connection.protocol)
            exchange.write_status(_describe_open_line(publisher))
            publisher.publish_birth(connection)
            _exchange_messages(exchange, publisher, connection, health_seconds, stop)
            if stop.is_set():
                publisher.publish_goodbye(connection)
                return
            if connection.is_open:
                log.info("the line is opened again: another stream or key has begun")
                connection.close(politely=True)
            else:
                log.warning("the line was interrupted")
                exchange.write_status(Reason(UPLINK_INTERRUPTED))
        delay = _DELAY_FIRST_S if time.monotonic() - opened > _STEADY_S else min(2 * delay, _DELAY_MOST_S)
        stop.wait(delay * random.uniform(0.5, 1.0))  # so that the boxes of a county do not all connect at once


def _exchange_messages(
    exchange: Exchange, publisher: Publisher, connection: Connection, health_seconds: float, stop: threading.Event
) -> None:
    """Send and receive while the connection and its last will are valid.

    An idle box polls `PRAGMA data_version`, and its rows once a second.
    """
    seen, looked, released = -1, 0.0, 0.0
    beat_at = time.monotonic() + health_seconds
    while connection.is_open and not stop.is_set():
        now = time.monotonic()
        if now - released > _RELEASE_S:  # the broker's access rights may have been corrected
            exchange.release("uplink.broker_refused")
            released = now
        mark = exchange.database.read_change_mark()
        if mark != seen or now - looked > 1.0:
            publisher.take_keys()
            if not publisher.is_will_valid():
                return
            while connection.is_open and publisher.send_due(connection):
                connection.loop(0.0)
            exchange.write_status(_describe_open_line(publisher))
            seen, looked = mark, now
        if now >= beat_at:
            publisher.publish_heartbeat(connection)
            beat_at = now + health_seconds
        connection.loop(_POLL_S)


def _describe_open_line(publisher: Publisher) -> Reason:
    return Reason(UPLINK_UNCONFIRMED if publisher.is_unconfirmed() else UPLINK_OPEN)


def _receive(exchange: Exchange, topic: str, payload: bytes) -> None:
    """Store a message of the hospital; the reader process verifies its signature."""
    kind = _DOWN.get(topic.rpartition("/")[2])
    if kind is None or len(payload) > MOST_MESSAGE_BYTES + _SIGNED_BYTES:
        log.warning("a message that no hospital sends was received and ignored")
        return
    exchange.receive(kind, payload)
