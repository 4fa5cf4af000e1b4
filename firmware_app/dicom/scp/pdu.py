"""Reads protocol data units (PS3.8 9.3): each length is checked before any of its content is read.

Each association has one reusable buffer, filled by large receives.  `next` returns a view into it, so the pixels of an
image are copied only twice: from the kernel, and to the file.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator
from struct import Struct
from typing import Final

A_ASSOCIATE_RQ: Final = 0x01
P_DATA_TF: Final = 0x04
A_RELEASE_RQ: Final = 0x05
A_RELEASE_RP: Final = 0x06
A_ABORT: Final = 0x07

# A-ABORT reasons of the service provider (PS3.8 Table 9-26)
NOT_SPECIFIED, UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0, 1, 2, 6

_HEADER = Struct(">BxL")
_PDV = Struct(">LBB")
# 128 presentation contexts with every transfer syntax the box knows stay below this.
_ASSOCIATE_LIMIT: Final = 262_144
_KNOWN: Final = range(0x01, 0x08)


class ConnectionLost(Exception):
    """The peer has gone, or was silent for too long."""


class ProtocolViolation(Exception):
    """The peer broke PS3.8; `reason` goes into the A-ABORT."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


class PduReader:
    """The PDUs of one connection.  `idle_seconds` limits each receive, `deadline` (monotonic) all of them together."""

    def __init__(self, connection: socket.socket, max_pdu: int, deadline: float) -> None:
        self._connection = connection
        self._max_pdu = max_pdu
        self.deadline = deadline
        self.idle_seconds = float("inf")
        self._buffer = memoryview(bytearray(2 * max(max_pdu, _ASSOCIATE_LIMIT // 2) + 16))
        self._start = 0
        self._end = 0

    def next(self) -> tuple[int, memoryview]:
        """The type and content of the next PDU; the view is valid until the next call.

        Raises `ProtocolViolation` or `ConnectionLost`.
        """
        self._fill(_HEADER.size)
        kind, length = _HEADER.unpack_from(self._buffer, self._start)
        if kind not in _KNOWN:
            raise ProtocolViolation(UNRECOGNIZED_PDU)
        if length > self._limit(kind):
            raise ProtocolViolation(INVALID_PARAMETER)
        self._fill(_HEADER.size + length)
        start = self._start + _HEADER.size
        self._start = start + length
        return kind, self._buffer[start : self._start]

    def wait_readable(self, seconds: float) -> bool:
        """Whether something of a next PDU comes within *seconds*; the end of the connection counts."""
        if self._end > self._start or (isinstance(self._connection, ssl.SSLSocket) and self._connection.pending()):
            return True
        return bool(select.select([self._connection], [], [], seconds)[0])

    def _limit(self, kind: int) -> int:
        if kind == P_DATA_TF:
            return self._max_pdu
        return _ASSOCIATE_LIMIT if kind <= 0x03 else 4

    def _fill(self, count: int) -> None:
        """Receive until the buffer holds at least *count* unread bytes."""
        while self._end - self._start < count:
            if self._start == self._end:
                self._start = self._end = 0
            elif self._start + count > len(self._buffer):
                self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
                self._start, self._end = 0, self._end - self._start
            received = self._receive(self._buffer[self._end :])
            if received == 0:
                raise ConnectionLost()
            self._end += received

    def _receive(self, into: memoryview) -> int:
        remaining = min(self.deadline - time.monotonic(), self.idle_seconds)
        if remaining <= 0:
            raise ConnectionLost()
        try:
            self._connection.settimeout(remaining)
            return self._connection.recv_into(into)
        except OSError:  # also TimeoutError and ssl.SSLError
            raise ConnectionLost() from None


def split_data_values(content: memoryview) -> Iterator[tuple[int, bool, bool, memoryview]]:
    """The PDVs of a P-DATA-TF (PS3.8 9.3.5, E.2): context id, is command, is last fragment, fragment."""
    position, end = 0, len(content)
    while position < end:
        if end - position < _PDV.size:
            raise ProtocolViolation(INVALID_PARAMETER)
        length, context, control = _PDV.unpack_from(content, position)
        stop = position + 4 + length
        if length < 2 or stop > end:
            raise ProtocolViolation(INVALID_PARAMETER)
        yield context, bool(control & 1), bool(control & 2), content[position + _PDV.size : stop]
        position = stop


def encode_data_pdus(context: int, content: bytes, peer_max_pdu: int, *, is_command: bool = True) -> bytes:
    """A command set or a data set as P-DATA-TF PDUs no longer than *peer_max_pdu*, 0: no limit (PS3.8 D.1.1)."""
    size = max(1, peer_max_pdu - _PDV.size) if peer_max_pdu else len(content)
    pieces: list[bytes] = []
    for start in range(0, len(content), size):
        part = content[start : start + size]
        control = int(is_command) | (0x02 if start + size >= len(content) else 0)
        pieces += (_HEADER.pack(P_DATA_TF, len(part) + _PDV.size), _PDV.pack(len(part) + 2, context, control), part)
    return b"".join(pieces)


def encode_release_response() -> bytes:
    return _HEADER.pack(A_RELEASE_RP, 4) + bytes(4)


def encode_abort(reason: int) -> bytes:
    """An A-ABORT of the service provider (PS3.8 9.3.8)."""
    return _HEADER.pack(A_ABORT, 4) + bytes((0, 0, 2, reason))
