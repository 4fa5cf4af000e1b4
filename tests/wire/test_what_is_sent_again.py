"""When the box sends: alerts past a full window, everything again without a receipt, and at once under a new key.

A real broker stands between; the hospital's receipts are what does not come.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware_app.core.records import Priority
from firmware_app.core.settings import UplinkSection
from firmware_app.uplink.connection import Connection
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.envelope import compute_key_id, sign
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Keys, Kind
from firmware_app.uplink.publisher import SEND_WINDOW, Publisher
from hospital import keyring
from tests.line import brief
from tests.wire.line_rig import HospitalRig, run_hospital, wait_for
from tests.wire.test_order_of_receipts import peer_client

UP = "lantern/v1/up/clinic-7"


@dataclass
class Sending:
    """A publisher on an open line, and what the broker hands on of it: (topic, payload)."""

    exchange: Exchange
    publisher: Publisher
    line: Connection
    heard: list[tuple[str, bytes]]

    def pump(self) -> bool:
        return self.publisher.send_due(self.line)

    def await_heard(self, count: int) -> None:
        def all_heard() -> bool:
            self.line.loop(0.02)
            return len(self.heard) >= count

        wait_for(all_heard, because=f"{count} messages")
        assert len(self.heard) == count


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HospitalRig]:
    with run_hospital(tmp_path, tls=False, with_receiver=False) as made:
        yield made


@contextmanager
def sending(site: HospitalRig) -> Iterator[Sending]:
    box, subscribed = site.box("clinic-7"), threading.Event()
    heard: list[tuple[str, bytes]] = []
    hospital = credentials.load_hospital(box.config.uplink)
    publisher = Publisher(box.exchange, box.name, box.identity, hospital, box.folder)
    line = Connection(
        UplinkSection.model_validate({"enabled": True, "host": "127.0.0.1", "port": site.port}),
        "lantern-clinic-7",
        subscribe="lantern/v1/down/clinic-7/+",
        on_message=lambda _topic, _payload: None,
        on_posted=publisher.handle_answer,
    )
    with peer_client(site.port) as peer:
        peer.on_subscribe = lambda *_: subscribed.set()
        peer.on_message = lambda _client, _data, message: heard.append((message.topic, bytes(message.payload)))
        peer.subscribe(f"{UP}/+", qos=1)
        assert subscribed.wait(10)
        line.open(publisher.begin())
        try:
            yield Sending(box.exchange, publisher, line, heard)
        finally:
            line.close(politely=True)


def test_an_alert_goes_past_a_full_window_of_digests(site: HospitalRig) -> None:
    with sending(site) as box:
        box.exchange.take_in(brief(number) for number in range(SEND_WINDOW + 9))
        assert box.pump()
        box.await_heard(SEND_WINDOW)
        assert not box.pump(), "the window is full"
        box.exchange.take_in([brief(1000, Priority.URGENT)])
        assert box.pump()
        box.await_heard(SEND_WINDOW + 1)
        assert box.heard[-1][0] == f"{UP}/alert"


def test_a_row_without_a_receipt_is_sent_again_and_each_time_later(
    site: HospitalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, sent_at = [1000.0], list[int]()
    monkeypatch.setattr("firmware_app.uplink.publisher.time", SimpleNamespace(monotonic=lambda: now[0]))
    with sending(site) as box:
        box.exchange.take_in([brief(1)])
        for second in range(120):
            now[0] = 1000.0 + second
            if box.pump():
                sent_at.append(second)
                box.await_heard(len(sent_at))
    assert sent_at == [0, 15, 45, 105]


def test_what_is_under_way_is_sent_again_at_once_under_a_new_key(site: HospitalRig) -> None:
    with sending(site) as box:
        before = site.house.load_bundle()
        box.exchange.take_in([brief(1)])
        assert box.pump()
        box.await_heard(1)
        assert not box.pump(), "it is under way"
        after = site.house.rotate()
        message = Keys("clinic-7", after.serial, after.seal).encode()
        signed = sign(message, Kind.KEYS, "clinic-7", keyring.load_keys(site.house.keys).signer)
        box.exchange.keep_keys(after.verify, after.serial, signed)
        box.publisher.take_keys()
        assert box.pump()
        box.await_heard(2)
        keys = [payload[4:12] for _, payload in box.heard]
    assert keys == [compute_key_id(parse_seal_key(bundle.seal)) for bundle in (before, after)]
