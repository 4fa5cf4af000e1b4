"""A broker that answers is not a hospital that receives: within three minutes without a receipt the box says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_app.appliance.checks import hospital_uplink
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.connection import Connection, Post
from firmware_app.uplink.exchange.exchange_db import UPLINK_OPEN, UPLINK_UNCONFIRMED, Exchange
from firmware_app.uplink.messages.summary import Kind
from firmware_app.uplink.publisher import Publisher
from tests.line import BUNDLE, brief

THREE_MINUTES = 180


class Line:
    """An open connection to a broker that takes everything."""

    def __init__(self) -> None:
        self.posts = 0

    def post(self, _post: Post) -> int:
        self.posts += 1
        return self.posts


class Box:
    """A box with an open line, on a counter of seconds that the test turns."""

    def __init__(self, state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exchange = Exchange(state.exchange_db)
        self.exchange.create()
        self.seconds = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)
        self.publisher = Publisher(self.exchange, "clinic-7", Ed25519PrivateKey.generate(), BUNDLE, state.root)
        self.publisher.begin()
        self.line, self._answered = Line(), 0

    def summary(self, number: int) -> int:
        return self.exchange.take_in([brief(number)])[0].seq

    def passes(self, seconds: int, *, broker_answers: bool = True) -> str:
        """Time passes, the box looks each second as the uplink does; returns the state of its line."""
        for _ in range(seconds):
            self.seconds += 1
            self.publisher.send_due(cast("Connection", self.line))
            while broker_answers and self._answered < self.line.posts:
                self._answered += 1
                self.publisher.handle_answer(self._answered, None, False)
            self.exchange.write_status(Reason(UPLINK_UNCONFIRMED if self.publisher.is_unconfirmed() else UPLINK_OPEN))
        reason = self.exchange.read_status().reason
        assert reason is not None
        return reason.code


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.prepare()
    return made


@pytest.fixture
def box(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    made = Box(state, monkeypatch)
    yield made
    made.exchange.database.close()


def test_a_broker_that_answers_for_a_hospital_that_does_not_is_said_within_three_minutes(
    box: Box, state: StateDir
) -> None:
    box.summary(1)
    assert box.passes(60) == UPLINK_OPEN
    assert box.passes(THREE_MINUTES - 60) == "uplink.unconfirmed"
    config = Config.model_validate(
        {"state": {"dir": str(state.root)}, "uplink": {"enabled": True, "host": "127.0.0.1"}}
    )
    warned = [check.reason.code for check in hospital_uplink.examine(config, state) if check.result == "warn"]
    assert warned == ["uplink.unconfirmed", "line.waiting"]


def test_a_receipt_ends_the_complaint(box: Box) -> None:
    seq = box.summary(1)
    box.passes(THREE_MINUTES)
    box.exchange.delete([seq])
    assert box.passes(1) == UPLINK_OPEN


def test_receipts_that_wait_for_the_reader_are_not_the_hospitals_fault(box: Box) -> None:
    box.summary(1)
    box.exchange.receive(Kind.ACK, b"not looked at yet")
    assert box.passes(THREE_MINUTES) == UPLINK_OPEN


def test_a_box_with_nothing_to_confirm_is_well(box: Box) -> None:
    assert box.passes(THREE_MINUTES) == UPLINK_OPEN
