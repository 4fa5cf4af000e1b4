"""Messages between a process and its children: a length, a JSON header, then raw arrays.

There is no pickle: the decode child opens hostile files and is not trusted.  Every length is checked before memory is
allocated, and arrays have one of two formats.  They are `memoryview`s: the reader only passes them on and does not load
numpy.
"""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from firmware_app.core import notify

LARGEST_HEADER_BYTES: Final = 1024 * 1024
LARGEST_ARRAYS_BYTES: Final = 128 * 1024 * 1024
MOST_ARRAYS: Final = 16
MOST_AXES: Final = 5
_SLICE_S: Final = 1.0
_LENGTH: Final = struct.Struct("<I")
FLOAT32: Final = "f"
UINT8: Final = "B"
"""Formats of a `memoryview`, as numpy gives and takes them; both ends are on one machine."""
_FORMATS: Final[Mapping[str, Literal["f", "B"]]] = {FLOAT32: FLOAT32, UINT8: UINT8}
_ARRAYS: Final = "_arrays"

Arrays = Mapping[str, "memoryview[Any]"]


class ChannelClosed(Exception):
    """The other side is gone."""


class DeadlinePassed(Exception):
    """The deadline passed before the whole message had come."""


class InvalidMessage(Exception):
    """The received bytes are not a valid message."""


@dataclass(frozen=True, slots=True)
class ChildMessage:
    """A JSON object with arrays beside it."""

    header: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)


def send(channel: socket.socket, message: ChildMessage, deadline: float | None = None) -> None:
    """Send *message* by the monotonic *deadline*; raises `ChannelClosed` or `DeadlinePassed`."""
    described = [[name, array.format, list(array.shape or ())] for name, array in message.arrays.items()]
    head = json.dumps({**message.header, _ARRAYS: described}).encode()
    _send_all(channel, _LENGTH.pack(len(head)) + head, deadline)
    for array in message.arrays.values():
        _send_all(channel, array.cast("B"), deadline)


def receive(channel: socket.socket, deadline: float | None = None) -> ChildMessage:
    """The next message, whole; raises `ChannelClosed`, `DeadlinePassed` or `InvalidMessage`.  *deadline*: monotonic
    seconds, None for ever."""
    length = _LENGTH.unpack(_receive_exactly(channel, _LENGTH.size, deadline))[0]
    if not 2 <= length <= LARGEST_HEADER_BYTES:
        raise InvalidMessage
    try:
        header = json.loads(bytes(_receive_exactly(channel, length, deadline)))
        described = header.pop(_ARRAYS)
        kinds = [(str(name), _FORMATS[kind], tuple(int(side) for side in shape)) for name, kind, shape in described]
        sizes = [math.prod(shape) * struct.calcsize(kind) for _, kind, shape in kinds]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise InvalidMessage from None
    if (
        len(kinds) > MOST_ARRAYS
        or sum(sizes) > LARGEST_ARRAYS_BYTES
        or any(len(shape) > MOST_AXES or min(shape, default=0) < 1 for _, _, shape in kinds)
    ):
        raise InvalidMessage
    arrays = {
        name: memoryview(_receive_exactly(channel, size, deadline)).cast(kind, shape)
        for (name, kind, shape), size in zip(kinds, sizes, strict=True)
    }
    return ChildMessage(header, arrays)


def _send_all(channel: socket.socket, data: bytes | memoryview, deadline: float | None) -> None:
    rest = memoryview(data)
    while rest:
        _wait(channel, deadline, writing=True)
        try:
            rest = rest[channel.send(rest) :]
        except BlockingIOError:
            continue
        except OSError:
            raise ChannelClosed from None


def _receive_exactly(channel: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        _wait(channel, deadline, writing=False)
        try:
            got = channel.recv_into(rest)
        except BlockingIOError:
            continue
        except OSError:
            raise ChannelClosed from None
        if got == 0:
            raise ChannelClosed
        rest = rest[got:]
    return data


def _wait(channel: socket.socket, deadline: float | None, *, writing: bool) -> None:
    if deadline is None:
        return
    poll = select.poll()
    poll.register(channel, select.POLLOUT if writing else select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if poll.poll(1000 * min(left, _SLICE_S)):
            return
        notify.ping_watchdog()  # a wait with a deadline is no hang
    raise DeadlinePassed
