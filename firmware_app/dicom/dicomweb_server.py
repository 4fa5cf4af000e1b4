"""The DICOMweb server: waitress on a Unix socket in the run-time folder, and the addresses below ``/dicom-web``.

The socket is for the TLS front alone.  Slow clients take no slot from the others.  A slot is a connection.  While all
of them are taken, the client that has moved the fewest bytes in its time loses its own: nothing of its request was
acknowledged, so it sends again.  So a connection that trickles, or a client that lets an answer lie, holds up nobody
for longer than `GRACE_S`, and a slow client keeps its slot as long as nobody needs it.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from flask import Flask, Response, request
from waitress.channel import HTTPChannel
from waitress.server import UnixWSGIServer

from firmware_app.core.language import escape_controls
from firmware_app.core.settings import Config
from firmware_app.dicom.dicomweb import CLIENT_HEADER, socket_path
from firmware_app.dicom.errors import PORT_UNUSABLE
from firmware_app.dicom.storage import ImageDoor
from firmware_app.dicom.stow_rs import (
    InvalidMultipart,
    StowRequest,
    UnsupportedMediaType,
    build_answer,
    http_status,
    parse_boundary,
    read_objects,
)
from firmware_app.dicom.wado_rs import ResultPages

log = logging.getLogger("lantern.gateway")

GRACE_S: Final = 2.0
_TOLD_S: Final = 60.0
_OWN: Final = 2  # waitress counts its own socket and its trigger among the connections


class CountingChannel(HTTPChannel):
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
    def is_client_awaited(self) -> bool:
        """Whether the client is awaited: to send the rest of its request, or to take its answer."""
        return not self.requests or self.total_outbufs_len > 0

    def bytes_per_second(self, now: float) -> float:
        """Bytes a second, over its whole time."""
        return self.moved / max(now - self.begun, GRACE_S)

    def end(self) -> None:
        """Have it closed, also where the client takes no more bytes: `poll` names a socket that was shut down."""
        self.will_close = True
        with suppress(OSError):  # the client has gone
            self.socket.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # open as long as it is served


class FairServer(UnixWSGIServer):
    """The server; *places* connections at once, and the settings of waitress."""

    channel_class = CountingChannel

    def __init__(self, application: Any, places: int, **settings: Any) -> None:
        self._open: dict[int, Any] = {}
        self._ended, self._told_at = 0, -_TOLD_S
        limit = places + _OWN
        super().__init__(application, self._open, connection_limit=limit, asyncore_use_poll=True, **settings)

    def readable(self) -> bool:
        if len(self._open) >= self.adj.connection_limit:
            self._evict_slowest(time.monotonic())
        return bool(super().readable())

    def _evict_slowest(self, now: float) -> None:
        connections = [
            counting_channel
            for counting_channel in self._open.values()
            if isinstance(counting_channel, CountingChannel)
        ]
        if any(connection.will_close for connection in connections):
            return
        slow = [
            connection
            for connection in connections
            if connection.is_client_awaited and now - connection.begun >= GRACE_S
        ]
        if slow:
            min(slow, key=lambda one: one.bytes_per_second(now)).end()
            self._log_eviction()

    def _log_eviction(self) -> None:
        self._ended += 1
        if time.monotonic() - self._told_at >= _TOLD_S:
            log.warning("all places of DICOMweb were taken: the slowest clients lost theirs (so far: %d)", self._ended)
            self._told_at = time.monotonic()


ROOT: Final = "/dicom-web"
_JSON: Final = "application/dicom+json"
_NOT_TAKEN: Final = (
    'Only multipart/related of application/dicom, or one application/dicom, is stored; the Content-Type says "{}".'
)
_MOST_SHOWN: Final = 200
_UID: Final = re.compile(r"[0-9.]{1,64}")


def create_app(door: ImageDoor, results: Callable[[Callable[[], str]], ResultPages] | None = None) -> Flask:
    """The application over *door*; *results* makes the pages of results, where they are given out."""
    app = Flask(__name__, static_folder=None)
    if results is not None:
        app.register_blueprint(results(client_name).blueprint(), url_prefix=ROOT)

    @app.post(f"{ROOT}/studies")
    @app.post(f"{ROOT}/studies/<study>")
    def store(study: str | None = None) -> Response:
        """STOW-RS: keep every object of the request; with *study*, only objects of it."""
        if study is not None and _UID.fullmatch(study) is None:
            return _plain("The address names no Study Instance UID.", 400)
        try:
            boundary = parse_boundary(request.headers.get("Content-Type", ""))
        except UnsupportedMediaType as error:
            return _plain(_NOT_TAKEN.format(escape_controls(str(error))[:_MOST_SHOWN] or "nothing"), 415)
        except InvalidMultipart as error:
            return _plain(str(error), 400)
        if coded := request.headers.get("Content-Encoding", "").strip().lower().removeprefix("identity"):
            return _plain(
                f"Send the body without a content coding; it came as {escape_controls(coded)[:_MOST_SHOWN]}.", 415
            )
        with StowRequest(door, f"dicomweb:{client_name()}", study) as storing:
            try:
                read_objects(cast(BinaryIO, request.stream), boundary, storing)
            except InvalidMultipart as error:
                storing.cut()
                if not any(stored_object.error is None for stored_object in storing.stored):
                    return _plain(str(error), 400)
            if not storing.stored:
                return _plain("The body holds no object.", 400)
            status, body = http_status(storing.stored), build_answer(storing.stored)
        answered = Response(json.dumps(body), status, content_type=_JSON)
        if status == 503:
            answered.headers["Retry-After"] = "60"
        return answered

    @app.teardown_request
    def leave(_: object) -> None:
        door.clinical.database.close_thread()

    return app


def client_name() -> str:
    """Whose request it is, for journal and audit: the common name in the certificate."""
    subject = request.headers.get(CLIENT_HEADER, "")
    name = re.search(r"(?:^|,)CN=((?:[^,\\]|\\.)+)", subject)
    return escape_controls(name[1] if name else subject)[:64] or "?"


def _plain(sentence: str, status: int) -> Response:
    return Response(sentence + "\n", status, content_type="text/plain; charset=utf-8")


_CONNECTIONS: Final = 32
_THREADS: Final = _CONNECTIONS
"""A client that fetches slowly may hold a thread; so each connection has one."""


class DicomwebServer:
    """Serves from `start` to `stop`.  The body of a request waits in ``incoming/``, which counts in the disk's reserve
    and is emptied at start."""

    def __init__(
        self, config: Config, door: ImageDoor, results: Callable[[Callable[[], str]], ResultPages] | None = None
    ) -> None:
        self._config, self._door, self._results = config, door, results
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> Path:
        """Listen; returns the socket's path.  Raises `PORT_UNUSABLE`."""
        logging.getLogger("waitress").setLevel(logging.ERROR)
        tempfile.tempdir = str(self._door.state.incoming)
        path = socket_path(self._door.state.run)
        most = self._config.dicomweb.max_request_mb * 1_000_000
        try:
            path.unlink(missing_ok=True)
            self._server = FairServer(
                create_app(self._door, self._results),
                _CONNECTIONS,
                unix_socket=str(path),
                unix_socket_perms="660",
                threads=_THREADS,
                channel_timeout=60,
                max_request_body_size=most,
                ident="Lantern",
                inbuf_overflow=1 << 18,
            )
        except OSError as error:
            raise PORT_UNUSABLE(host=str(path), port=0, detail=error.strerror or str(error)) from None
        self._thread = threading.Thread(target=self._serve, name="dicomweb", daemon=True)
        self._thread.start()
        return path

    def alive(self) -> bool:
        """Whether the thread that serves is alive."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Accept no more; what was acknowledged is kept."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _serve(self) -> None:
        with suppress(OSError):  # closed just before its select
            self._server.run()
