"""DICOMweb's socket: waitress on a Unix socket in the run-time folder, for the TLS front and nobody else."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from firmware_app.core.errors import PortUnusable
from firmware_app.core.settings import Config
from firmware_app.dicom.storage import ImageDoor
from firmware_app.dicom.web.app import create_app
from firmware_app.dicom.web.connections import Server
from firmware_app.dicom.web.giving import Giving
from firmware_app.dicom.web.socket import socket_path

log = logging.getLogger("lantern.gateway")

_CONNECTIONS: Final = 32
_THREADS: Final = _CONNECTIONS
"""A client that fetches slowly may hold a thread; so each connection has one."""


class Listener:
    """Serves from `start` to `stop`.  The body of a request waits in ``incoming/``, which counts in the disk's reserve
    and is emptied at start."""

    def __init__(
        self, config: Config, door: ImageDoor, results: Callable[[Callable[[], str]], Giving] | None = None
    ) -> None:
        self._config, self._door, self._results = config, door, results
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> Path:
        """Listen; returns the socket's path.  Raises `PortUnusable`."""
        logging.getLogger("waitress").setLevel(logging.ERROR)
        tempfile.tempdir = str(self._door.state.incoming)
        path = socket_path(self._door.state.run)
        most = self._config.dicomweb.max_request_mb * 1_000_000
        try:
            path.unlink(missing_ok=True)
            self._server = Server(
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
            raise PortUnusable(host=str(path), port=0, detail=error.strerror or str(error)) from None
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
