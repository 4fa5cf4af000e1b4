"""A TCP proxy that can be made to misbehave, in front of a broker, a hospital or a DICOM peer."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
import time
from enum import StrEnum

_PIECE = 65536
_DELAY_S = 0.25
_THROTTLE_BYTES = 2048
_THROTTLE_S = 0.1


class Fault(StrEnum):
    """What the proxy does with what comes, in both directions."""

    NONE = "passes everything on"
    DELAY = "holds every piece back"
    THROTTLE = "passes on 20 kB/s"
    CUT = "closes in the middle of a piece"
    RESET = "resets in the middle of a piece"
    BLACKHOLE = "swallows everything and stays open"
    GARBAGE = "answers new connections with random bytes"
    REFUSE = "resets new connections"


class _Connection:
    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.spoiled = False  # bytes are missing, so it must never pass on another one
        self._directions = 2
        self._lock = threading.Lock()

    def leave(self) -> None:
        """One direction has ended; with the second one both sockets are closed."""
        with self._lock:
            self._directions -= 1
            if self._directions == 0:
                self.near.close()
                self.far.close()

    def end(self, *, reset: bool = False) -> None:
        for one in (self.near, self.far):
            with contextlib.suppress(OSError):
                if reset:  # SO_LINGER 0: close sends RST instead of FIN
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.close()
                else:
                    one.shutdown(socket.SHUT_RDWR)


class FaultProxy:
    """Listens on `port` of this machine in front of *target*; `suffer` changes what it does, at once."""

    def __init__(self, target: int, chance: random.Random) -> None:
        self._target, self._chance = target, chance
        self._fault = Fault.NONE
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def suffer(self, fault: Fault) -> None:
        """From now on *fault*; connections whose bytes were swallowed are closed."""
        with self._lock:
            self._fault = fault
            self._connections = [connection for connection in self._connections if connection.near.fileno() >= 0]
            for connection in self._connections:
                if connection.spoiled or fault in (Fault.GARBAGE, Fault.REFUSE):
                    connection.end()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.end()
        for thread in list(self._threads):
            thread.join(10)

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: object, *arguments: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._greet(near)

    def _greet(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 5)
            far.settimeout(None)
        except OSError:
            near.close()  # nobody is at home behind us
            return
        connection = _Connection(near, far)
        with self._lock:
            fault = self._fault
            self._connections.append(connection)
        if fault is Fault.REFUSE:
            connection.end(reset=True)
        if fault is Fault.GARBAGE:
            with contextlib.suppress(OSError):
                near.sendall(os.urandom(512))
                far.sendall(os.urandom(512))
            connection.spoiled = True
        self._run(self._pass, connection, near, far)
        self._run(self._pass, connection, far, near)

    def _pass(self, connection: _Connection, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(_PIECE):
                self._hand_on(connection, sink, piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            connection.end()
        finally:
            connection.leave()

    def _hand_on(self, connection: _Connection, sink: socket.socket, piece: bytes) -> None:
        """Raises OSError when the connection is over."""
        fault = self._fault
        if connection.spoiled or fault is Fault.BLACKHOLE:
            connection.spoiled = True
        elif fault in (Fault.CUT, Fault.RESET):
            connection.spoiled = True
            sink.sendall(piece[: self._chance.randrange(len(piece))])
            connection.end(reset=fault is Fault.RESET)
            raise ConnectionAbortedError
        elif fault is Fault.THROTTLE:
            for start in range(0, len(piece), _THROTTLE_BYTES):
                sink.sendall(piece[start : start + _THROTTLE_BYTES])
                time.sleep(_THROTTLE_S)
        else:
            if fault is Fault.DELAY:
                time.sleep(_DELAY_S)
            sink.sendall(piece)
