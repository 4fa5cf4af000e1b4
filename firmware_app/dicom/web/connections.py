"""waitress on a Unix socket, in which slow clients take no place from the others.

A place is a connection.  While all of them are taken, the client that has moved the fewest bytes in its time loses its
own: nothing of its request was acknowledged, so it sends again.  So a line that trickles, or a client that lets an
answer lie, holds up nobody for longer than `GRACE_S`, and a slow line keeps its place as long as nobody needs it.
"""

from __future__ import annotations

import logging
import socket
import time
from contextlib import suppress
from typing import Any, Final

from waitress.channel import HTTPChannel
from waitress.server import UnixWSGIServer

log = logging.getLogger("lantern.gateway")

GRACE_S: Final = 2.0
_TOLD_S: Final = 60.0
_OWN: Final = 2  # waitress counts its own socket and its trigger among the connections


class Connection(HTTPChannel):
    """A connection that counts the bytes it has moved."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.moved, self.begun = 0, time.monotonic()
        super().__init__(*arguments, **settings)

    def recv(self, buffer_size: int) -> bytes:
        data: bytes = super().recv(buffer_size)
        self.moved += len(data)
        return data

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent: int = super().send(data, do_close)
        self.moved += sent
        return sent

    @property
    def waits(self) -> bool:
        """Whether the client is awaited: to send the rest of its request, or to take its answer."""
        return not self.requests or self.total_outbufs_len > 0

    def pace(self, now: float) -> float:
        """Bytes a second, over its whole time."""
        return self.moved / max(now - self.begun, GRACE_S)

    def end(self) -> None:
        """Have it closed, also where the client takes no more bytes: `poll` names a socket that was shut down."""
        self.will_close = True
        with suppress(OSError):  # the client has gone
            self.socket.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # open as long as it is served


class Server(UnixWSGIServer):
    """The server; *places* connections at once, and the settings of waitress."""

    channel_class = Connection

    def __init__(self, application: Any, places: int, **settings: Any) -> None:
        self._open: dict[int, Any] = {}
        self._ended, self._told_at = 0, -_TOLD_S
        limit = places + _OWN
        super().__init__(application, self._open, connection_limit=limit, asyncore_use_poll=True, **settings)

    def readable(self) -> bool:
        if len(self._open) >= self.adj.connection_limit:
            self._free_a_place(time.monotonic())
        return bool(super().readable())

    def _free_a_place(self, now: float) -> None:
        connections = [one for one in self._open.values() if isinstance(one, Connection)]
        if any(one.will_close for one in connections):
            return
        slow = [one for one in connections if one.waits and now - one.begun >= GRACE_S]
        if slow:
            min(slow, key=lambda one: one.pace(now)).end()
            self._tell()

    def _tell(self) -> None:
        self._ended += 1
        if time.monotonic() - self._told_at >= _TOLD_S:
            log.warning("all places of DICOMweb were taken: the slowest clients lost theirs (so far: %d)", self._ended)
            self._told_at = time.monotonic()
