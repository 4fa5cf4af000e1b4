"""What a child says is taken by its measure: whole, bounded, in time, or not at all."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from firmware_app.core import child_messages

Pair = tuple[socket.socket, socket.socket]
OFTEN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@OFTEN
@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=6), elements=st.floats(-9, 9, width=32)), st.text())
def test_a_message_arrives_as_it_was_sent(
    pair: Pair, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], text: str
) -> None:
    child_messages.send(pair[0], child_messages.ChildMessage({"text": text}, {"a": array.data}))
    got = child_messages.receive(pair[1], time.monotonic() + 5)
    assert got.header == {"text": text}
    np.testing.assert_array_equal(got.arrays["a"], array)


@pytest.mark.parametrize(
    "head",
    [
        b"[]",
        b"null",
        b"{}",
        b"nonsense",
        b'{"_arrays": 3}',
        b'{"_arrays": [["a", "O", [1]]]}',
        b'{"_arrays": [["a", "f", []]]}',
        b"[" * 5000,
        json.dumps({"_arrays": [["a", "f", [100_000, 100_000]]]}).encode(),
        json.dumps({"_arrays": [["a", "f", [-1]]]}).encode(),
        json.dumps({"_arrays": [["a", "B", [1]]] * 17}).encode(),
    ],
)
def test_what_is_no_message_is_garbled_and_takes_no_memory(pair: Pair, head: bytes) -> None:
    pair[0].sendall(struct.pack("<I", len(head)) + head)
    with pytest.raises(child_messages.InvalidMessage):
        child_messages.receive(pair[1], time.monotonic() + 5)


def test_a_length_beyond_the_bound_is_not_awaited(pair: Pair) -> None:
    pair[0].sendall(struct.pack("<I", 0xFFFFFFFF))
    with pytest.raises(child_messages.InvalidMessage):
        child_messages.receive(pair[1], time.monotonic() + 5)


@OFTEN
@given(st.binary(min_size=1, max_size=200))
def test_noise_never_raises_anything_else(noise: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(noise)
        with pytest.raises((child_messages.InvalidMessage, child_messages.ChannelClosed)):
            child_messages.receive(theirs, time.monotonic() + 5)


def test_half_a_message_is_late_at_the_deadline_and_closed_at_the_end(pair: Pair) -> None:
    pair[0].sendall(struct.pack("<I", 100) + b"{")
    begun = time.monotonic()
    with pytest.raises(child_messages.DeadlinePassed):
        child_messages.receive(pair[1], begun + 0.05)
    assert time.monotonic() - begun < 3
    pair[0].close()
    with pytest.raises(child_messages.ChannelClosed):
        child_messages.receive(pair[1])


def test_a_receiver_that_does_not_read_is_late(pair: Pair) -> None:
    pair[0].setblocking(False)
    with pytest.raises(child_messages.DeadlinePassed):
        child_messages.send(
            pair[0],
            child_messages.ChildMessage({}, {"a": np.zeros(10_000_000, np.float32).data}),
            time.monotonic() + 0.1,
        )
