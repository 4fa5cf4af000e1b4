"""Kept first, acknowledged after: at the hospital and at the box, with a real broker between them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from firmware_app.core.settings import UplinkSection
from firmware_app.uplink.connection import Connection, Post
from firmware_app.uplink.messages.envelope import seal
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Kind
from hospital.receiver import Receiver
from tests.line import summary
from tests.wire.line_rig import HospitalRig, run_hospital, wait_for

UP, DOWN = "lantern/v1/up/clinic-7/alert", "lantern/v1/down/clinic-7/ack"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HospitalRig]:
    with run_hospital(tmp_path, tls=False, with_receiver=False) as made:
        yield made


@contextmanager
def peer_client(port: int) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "a-peer", protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """COMMITs of the inbox, acknowledgements to the broker and receipts, in order; each is also carried out."""
    events: list[str] = []
    connect, ack, publish = sqlite3.connect, mqtt.Client.ack, mqtt.Client.publish

    def traced(database: Any, *arguments: Any, **named: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(database, *arguments, **named)
        if Path(database).name.startswith("inbox.db"):  # a path or a URI
            made.set_trace_callback(lambda statement: events.append("commit") if statement == "COMMIT" else None)
        return made

    def acknowledged(client: mqtt.Client, *arguments: Any) -> Any:
        events.append("ack")
        return ack(client, *arguments)

    def published(client: mqtt.Client, topic: str, *arguments: Any, **named: Any) -> Any:
        if topic == DOWN:
            events.append("receipt")
        return publish(client, topic, *arguments, **named)

    monkeypatch.setattr(sqlite3, "connect", traced)
    monkeypatch.setattr(mqtt.Client, "ack", acknowledged)
    monkeypatch.setattr(mqtt.Client, "publish", published)
    return events


def test_the_hospital_commits_then_acknowledges_then_signs(site: HospitalRig, events: list[str]) -> None:
    box = site.box("clinic-7")
    body = summary().encode()
    payload = seal(body, Kind.ALERT, "clinic-7", box.identity, parse_seal_key(site.house.load_bundle().seal))
    stop, listening = threading.Event(), threading.Event()
    receiver = Receiver(site.house, host="127.0.0.1", port=site.port, tls=False)
    thread = threading.Thread(target=receiver.serve, args=(stop, listening.set))
    thread.start()
    try:
        assert listening.wait(20)
        events.clear()
        with peer_client(site.port) as peer:
            peer.publish(UP, payload, qos=1).wait_for_publish(10)
            wait_for(lambda: "receipt" in events, because="a receipt")
    finally:
        stop.set()
        thread.join()
        box.close()
    assert events[:3] == ["commit", "ack", "receipt"]


def test_the_box_keeps_what_the_hospital_says_before_the_broker_may_forget_it(
    site: HospitalRig, events: list[str]
) -> None:
    line = Connection(
        UplinkSection.model_validate({"enabled": True, "host": "127.0.0.1", "port": site.port}),
        "lantern-clinic-7",
        subscribe="lantern/v1/down/clinic-7/+",
        on_message=lambda _topic, _payload: events.append("kept"),
        on_posted=lambda _number, _refusal, _unheard: None,
    )

    def acknowledged() -> bool:
        line.loop(0.05)
        return "ack" in events

    line.open(Post("lantern/v1/up/clinic-7/death", b""))
    try:
        with peer_client(site.port) as peer:
            events.clear()
            peer.publish(DOWN, b"a receipt", qos=1, retain=True)  # retained: it comes whenever the subscription stands
            wait_for(acknowledged, because="the message")
    finally:
        line.close()
    assert [event for event in events if event != "receipt"] == ["kept", "ack"]
