"""What the hospital signs: a number is taken when its summary is committed, also when that was long ago, and never when
another stands there.  A real broker brings the messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from firmware_app.uplink.errors import Contradicted
from firmware_app.uplink.messages.envelope import open_signed, seal
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Kind, Receipt, RefusedMessage, TakenMessage, decode, hash_body
from hospital.receiver import BATCH_MESSAGES, Receiver
from tests.line import brief, summary
from tests.wire.line_rig import Box, HospitalRig, run_hospital, wait_for
from tests.wire.test_order_of_receipts import DOWN, UP, peer_client


def body(seq: int, case: int) -> bytes:
    """A summary as the box writes it."""
    return summary(seq, case).encode()


def make_taken(seq: int, case: int) -> TakenMessage:
    return TakenMessage(seq, hash_body(body(seq, case)))


@dataclass
class Speaker:
    """Sends what box clinic-7 would, and hears the receipts."""

    site: HospitalRig
    box: Box
    client: mqtt.Client
    receipts: list[Receipt] = field(default_factory=list)

    def sealed(self, seq: int, case: int) -> bytes:
        hospital = parse_seal_key(self.site.house.load_bundle().seal)
        return seal(body(seq, case), Kind.ALERT, "clinic-7", self.box.identity, hospital)

    def send(self, *payloads: bytes) -> None:
        for sent in [self.client.publish(UP, payload, qos=1) for payload in payloads]:
            sent.wait_for_publish(10)

    def heard(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        verify = self.site.house.load_bundle().verify_key
        body = open_signed(bytes(message.payload), Kind.ACK, "clinic-7", verify)
        self.receipts.append(decode(body, Receipt))

    def await_receipts(self, count: int) -> list[Receipt]:
        wait_for(lambda: len(self.receipts) >= count, because=f"{count} receipts")
        return self.receipts


@pytest.fixture
def speaker(tmp_path: Path) -> Iterator[Speaker]:
    subscribed = threading.Event()
    with (
        run_hospital(tmp_path, tls=False, extra="max_inflight_messages 1000\n", with_receiver=False) as site,
        closing(site.box("clinic-7")) as box,
        peer_client(site.port) as client,
    ):
        made = Speaker(site, box, client)
        client.on_message = made.heard
        client.on_subscribe = lambda *_: subscribed.set()
        client.subscribe(DOWN, qos=1)
        assert subscribed.wait(10)
        yield made


@contextmanager
def counting(site: HospitalRig) -> Iterator[None]:
    """A receiver that listens."""
    stop, listening = threading.Event(), threading.Event()
    receiver = Receiver(site.house, host="127.0.0.1", port=site.port, tls=False)
    thread = threading.Thread(target=receiver.serve, args=(stop, listening.set))
    thread.start()
    try:
        assert listening.wait(20)
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("again", ["the same bytes", "sealed again"])
def test_what_was_counted_before_is_receipted_again(speaker: Speaker, again: str) -> None:
    first = speaker.sealed(1, case=1)
    with counting(speaker.site):
        speaker.send(first)
        speaker.await_receipts(1)
        speaker.send(first if again == "the same bytes" else speaker.sealed(1, case=1))
        receipts = speaker.await_receipts(2)
    assert [(receipt.taken, receipt.refused) for receipt in receipts] == [((make_taken(1, case=1),), ())] * 2
    assert speaker.site.list_revisions() == [(brief(1).case, 1)]


def test_a_number_that_means_something_else_already_is_refused_and_never_taken(speaker: Speaker) -> None:
    with counting(speaker.site):
        speaker.send(speaker.sealed(1, case=1))
        speaker.await_receipts(1)
        speaker.send(speaker.sealed(1, case=2))
        receipt = speaker.await_receipts(2)[1]
    assert (receipt.taken, receipt.refused) == ((), (RefusedMessage(1, hash_body(body(1, case=2)), Contradicted.code),))
    assert speaker.site.list_revisions() == [(brief(1).case, 1)]


def test_however_much_has_come_no_receipt_speaks_of_more_than_one_batch(speaker: Speaker) -> None:
    many = BATCH_MESSAGES + 50  # more numbers than a receipt may hold
    receiver = Receiver(speaker.site.house, host="127.0.0.1", port=speaker.site.port, tls=False)
    with closing(receiver._inbox):
        client = receiver._make_client()
        receiver._open(client)
        speaker.send(*(speaker.sealed(seq, case=seq) for seq in range(1, many + 1)))

        def all_here() -> bool:
            client.loop(0.02)
            return len(receiver._pending) == many

        wait_for(all_here, because="every message")
        while receiver._pending:
            receiver._count_batch(client)
        receipts = speaker.await_receipts(2)
        client.disconnect()
    assert [len(receipt.taken) for receipt in receipts] == [BATCH_MESSAGES, 50]
    named = [one for receipt in receipts for one in receipt.taken]
    assert named == [make_taken(seq, seq) for seq in range(1, many + 1)]
