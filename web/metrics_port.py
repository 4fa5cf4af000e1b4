"""The box's metrics for Prometheus, on a separate port that only this machine reaches.

They are not among the pages: the clinic's network must not see them, and a scraper cannot log in. Without the port the
viewer still works.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from waitress.server import create_server

from firmware_app.appliance import metrics
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

log = logging.getLogger("lantern.viewer")

HOST: Final = "127.0.0.1"
PATH: Final = "/metrics"
_THREADS, _CONNECTIONS = 1, 8


class MetricsServer:
    """The listener for metrics; `port` is None when it is switched off or another program has the port."""

    def __init__(self, config: Config, state: StateDir, clinical: ClinicalDatabase) -> None:
        self._config, self._state, self._clinical = config, state, clinical
        self._closing = False
        self._thread: threading.Thread | None = None
        self.port: int | None = None
        listener = _open_listener(config.viewer.metrics_port)
        if listener is None:
            return
        self.port = int(listener.getsockname()[1])
        self._server = create_server(
            self._answer,
            sockets=[listener],
            threads=_THREADS,
            ident="Lantern",
            connection_limit=_CONNECTIONS,
            channel_timeout=10,
            max_request_body_size=1024,
        )
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self._thread is not None:
            self._closing = True
            self._server.close()

    def _serve(self) -> None:
        try:
            self._server.run()
        except OSError as error:
            if not (self._closing and error.errno == errno.EBADF):  # closed just before its select
                raise

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return []
        body = metrics.format_metrics(self._config, self._state, self._clinical).encode()
        start_response("200 OK", [("Content-Type", metrics.CONTENT_TYPE), ("Content-Length", str(len(body)))])
        return [body]


def _open_listener(port: int | None) -> socket.socket | None:
    if port is None:
        return None
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        log.warning("there are no metrics: %s:%d cannot be listened on (%s)", HOST, port, error.strerror)
        return None
    return listener
