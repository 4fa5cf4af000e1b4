"""The viewer's process: the Flask application in waitress, until it is told to stop.

``python -m web.server [--config FILE]`` is what `lantern serve` starts.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from waitress.server import create_server

from firmware_app.appliance import supervisor
from firmware_app.appliance.software_requests import PIECE_BYTES
from firmware_app.cases.accounts import Accounts
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import notify
from firmware_app.core.errors import PORT_TAKEN, LanternError
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import PORT_UNUSABLE
from web.app import create_app
from web.blueprints import lists, live
from web.blueprints.calibration import TABLE_BYTES
from web.health_report import Checkup
from web.metrics_port import MetricsServer
from web.viewer_context import Box
from web.watchdog import ServerWatchdog

log = logging.getLogger("lantern.viewer")

THREADS: Final = lists.STREAMS + live.POLLS + 8
_CONNECTIONS: Final = 200
_BETWEEN: Final = 50  # extra connections while the limit is reached; idle ones are closed first
# The proxy whose headers on the browser's address and scheme are trusted, where a front is configured.
_FRONT: Final[dict[str, Any]] = {
    "trusted_proxy": "127.0.0.1",
    "trusted_proxy_count": 1,
    "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto"},
}


def run(config: Config, ready: supervisor.Ready, stop: threading.Event, config_path: Path | None = None) -> None:
    """Body of the viewer process: calls *ready* with the port when it listens, serves until *stop*.

    Raises `PORT_TAKEN` and `PORT_UNUSABLE`.
    """
    state = StateDir(config.state.dir)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    accounts = Accounts(state.accounts_db)
    accounts.create()
    app = create_app(config, state, clinical, accounts, Checkup(config_path))
    box: Box = app.extensions["lantern"]
    listener = _listen(config.viewer.host, config.viewer.port)
    server = create_server(
        app,
        sockets=[listener],
        threads=THREADS,
        ident="Lantern",
        connection_limit=_CONNECTIONS + _BETWEEN,
        channel_timeout=60,
        max_request_body_size=max(TABLE_BYTES, PIECE_BYTES),
        inbuf_overflow=64 * 1024,  # what is longer waits on the disk
        clear_untrusted_proxy_headers=True,
        channel_request_lookahead=1,  # so that a stream notices at once that its page was closed
        **(_FRONT if config.viewer.behind_front else {}),
    )
    _close_idle_when_full(server)
    box.pulse.start()
    measures = MetricsServer(config, state, clinical)

    def serve() -> None:
        try:
            server.run()
        except OSError as error:
            # Closed below just before its select; it waits for nothing any more.
            if not (stop.is_set() and error.errno == errno.EBADF):
                raise

    serving = threading.Thread(target=serve, name="waitress", daemon=True)
    serving.start()
    notify.depend_on(ServerWatchdog(server).has_responded)
    ready({"port": int(listener.getsockname()[1]), "metrics": measures.port})
    stop.wait()
    box.pulse.stop()  # streams end first, because they occupy the server's threads
    box.checkup.stop()
    measures.close()
    server.close()
    clinical.database.close()
    accounts.database.close()


def _close_idle_when_full(server: Any) -> None:
    """Have *server* (waitress's) close the longest idle connections when a new one comes and all are in use.

    So many slow clients cannot lock others out; a browser whose idle connection is closed opens a new one. A connection
    whose response is being made or sent is not idle.
    """
    accept = server.handle_accept

    def accept_and_make_room() -> None:
        accept()  # first, so that it does not get the descriptor of a connection just closed
        too_many = len(server.active_channels) - _CONNECTIONS
        if too_many > 0:
            # In this order: waitress drops the request once the response is in its buffer, long before all of it is
            # sent.
            idle = [one for one in server.active_channels.values() if not (one.requests or one.total_outbufs_len)]
            for channel in sorted(idle, key=lambda one: one.last_activity)[:too_many]:
                channel.handle_close()

    server.handle_accept = accept_and_make_room


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises `PORT_TAKEN` and `PORT_UNUSABLE`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PORT_TAKEN(host=host, port=port) from None
        raise PORT_UNUSABLE(host=host, port=port, detail=error.strerror or str(error)) from None
    return listener


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the process; every `LanternError` ends as one sentence on stderr and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m web.server", description="The viewer's process of `lantern serve`."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("LANTERN_LOG", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("waitress").setLevel(logging.ERROR)  # it logs every page that was closed before its end
    try:
        return supervisor.run_process("viewer", load_config(options.config), partial(run, config_path=options.config))
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
