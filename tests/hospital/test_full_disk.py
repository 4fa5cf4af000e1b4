"""The hospital's disk is really full: nothing is acknowledged to anyone, and nothing is lost once there is space."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from firmware_app.core.records import Priority
from firmware_app.uplink.messages.envelope import open_signed, seal
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Kind, Receipt, decode
from tests import line
from tests.small_disk import small_disk
from tests.wire.line_rig import Box, HospitalRig, run_hospital, wait_for

_MEGABYTES = 12
_MESSAGES = 40


@pytest.fixture
def hospital_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a hospital, on a file system of a few megabytes of its own."""
    with small_disk(tmp_path / "hospital", f"size={_MEGABYTES}m") as mount:
        yield mount


def fill(file: Path) -> None:
    """Take every byte that is left."""
    with file.open("wb", buffering=0) as filler, pytest.raises(OSError) as full:  # noqa: PT011 - asked below
        for _ in iter(lambda: filler.write(bytes(1024)), 0):
            pass
    assert full.value.errno == errno.ENOSPC


class Publisher:
    """A box that says each thing once: whatever is counted later was kept by the broker and nobody else."""

    def __init__(self, site: HospitalRig, box: Box) -> None:
        self._box, self._bundle = box, site.house.load_bundle()
        self.taken: list[int] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, box.name, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        settings = box.config.uplink
        self._client.tls_set(str(settings.tls_ca), str(settings.tls_cert), str(settings.tls_key))
        self._client.on_message = self._answered
        self._client.on_connect = lambda client, *_: client.subscribe(f"lantern/v1/down/{box.name}/ack", qos=1)
        self._subscribed = False
        self._client.on_subscribe = self._ready
        self._client.connect("127.0.0.1", site.port)
        self._client.loop_start()
        wait_for(lambda: self._subscribed, because="the box's subscription")

    def _ready(self, *_: object) -> None:
        self._subscribed = True

    def _answered(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        signed = open_signed(bytes(message.payload), Kind.ACK, self._box.name, self._bundle.verify_key)
        self.taken += (one.seq for one in decode(signed, Receipt).taken)

    def say(self, seq: int) -> str:
        """Summary *seq*, taken over by the broker; returns its case."""
        message = line.summary(seq, seq, Priority.ROUTINE, box=self._box.name)
        body = message.encode()
        sealed = seal(body, Kind.DIGEST, self._box.name, self._box.identity, parse_seal_key(self._bundle.seal))
        self._client.publish(f"lantern/v1/up/{self._box.name}/digest", sealed, qos=1).wait_for_publish(20)
        return message.brief.case

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_summary_that_could_not_be_committed_is_acknowledged_to_nobody_and_counted_when_there_is_space(
    hospital_disk: Path, tmp_path: Path
) -> None:
    with run_hospital(tmp_path) as site:
        box = site.box("clinic-7")
        publisher = Publisher(site, box)
        try:
            publisher.say(1)
            wait_for(lambda: publisher.taken == [1], because="the receipt of an ordinary day")

            filler = hospital_disk / "filler"
            fill(filler)
            cases = [publisher.say(seq) for seq in range(2, 2 + _MESSAGES)]
            wait_for(lambda: site.receiver.log.read_text().count("could not be written") >= 2, because="a full disk")
            assert publisher.taken == [1], "no receipt before the commit"
            assert len(site.list_revisions()) == 1
            assert site.receiver.alive()

            filler.unlink()
            wait_for(lambda: len(publisher.taken) == 1 + _MESSAGES, because="the receipts of what the broker kept")
            assert sorted(publisher.taken) == list(range(1, 2 + _MESSAGES))
            assert {case for case, _ in site.list_revisions()} == {f"c-{1:020x}", *cases}
            assert site.list_quarantine_codes() == []
        finally:
            publisher.close()
            box.close()
