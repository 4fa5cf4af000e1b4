"""`lantern-hospital broker --run`: the line's mosquitto and the one for enrolment, started again when they end or hang.

mosquitto 2.0 ends now and then when it reads its files again (SIGHUP), and then every box is cut off.  A mosquitto that
works wakes several times a second, which the kernel counts; one that has not woken for a minute is asked over TLS, and
killed when it does not answer.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core import notify
from firmware_app.core.errors import BrokerRunning, LanternError, MosquittoMissing
from firmware_app.core.supervised import Supervised
from hospital import supervisor
from hospital.house import House
from hospital.line import broker, enrol_broker

log = logging.getLogger("lantern.hospital")

CONFIGS: Final = {"line": "mosquitto.conf", "enrolment": enrol_broker.CONFIG}
_ANSWER_S: Final = 10.0
_STEADY_S: Final = 2.0
_SHIM: Final = (
    f"import ctypes, os, sys; ctypes.CDLL(None).prctl(1, {signal.SIGTERM:d}, 0, 0, 0);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)
_PLACES: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class KeptBroker(Supervised):
    """One mosquitto; its signs of life are those that the kernel counts."""

    port: int = 0
    _woken: int = -1

    def _has_spoken(self) -> bool:
        if self.process is None:
            return False
        if not self.begun and time.monotonic() - self.started > _STEADY_S and self.process.poll() is None:
            self.begun = self.proven = True
        before, self._woken = self._woken, _woken(self.process.pid)
        return self._woken != before

    def hangs(self, now: float) -> bool:
        return super().hangs(now) and not answers(self.port)


def run(house: House, only: Sequence[str], command: str | None = None) -> int:
    """Keep the brokers of *only* (keys of `CONFIGS`) at work until SIGTERM or SIGINT.  Returns the exit status.

    Raises `BrokerRunning` or `MosquittoMissing`.
    """
    mosquitto = command or shutil.which("mosquitto", path=_PLACES)
    if mosquitto is None:
        raise MosquittoMissing
    if "line" in only and (number := broker.process(house.broker)) is not None:
        raise BrokerRunning(number=_keeper_of(number))
    kept = [
        KeptBroker(
            f"the broker ({name})",
            [*_with_its_parent(), mosquitto, "-c", str(file)],
            patience=supervisor.PATIENCE_S,
            start_s=supervisor.PATIENCE_S,
            port=_port(file),
        )
        for name in only
        if (file := house.broker / CONFIGS[name]).exists()
    ]
    stop = supervisor.StopSignal()
    notify.ready("at work")
    with _reloading(kept):
        return supervisor.keep(kept, stop, lambda: _renew(house)) or 0


def answers(port: int) -> bool:
    """Whether a broker on this machine shakes hands; what it thinks of a client without a certificate is no matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as line, context.wrap_socket(line):
            return True
    except ssl.SSLError:  # it has answered
        return True
    except OSError:
        return False


def _renew(house: House) -> None:
    """mosquitto does not start without a list that it can read.  Under systemd `serve` has the key, and renews it."""
    try:
        house.renew_list()
    except (OSError, sqlite3.Error, LanternError) as error:
        log.debug("the list of revoked certificates was not looked at: %s", error)


def _with_its_parent() -> list[str]:
    """What ends mosquitto with the one who keeps it, however that one ends; it would go on to hold the port.  Under
    systemd both end with their control group."""
    return [] if os.environ.get("NOTIFY_SOCKET") else [sys.executable, "-c", _SHIM]


def _port(config: Path) -> int:
    lines = config.read_text("utf-8").splitlines()
    words = next((line.split() for line in lines if line.startswith("listener ")), ["listener", "1883"])  # its default
    return int(words[1])


def _keeper_of(number: int) -> int:
    """The process that keeps the mosquitto *number* at work, and would start it again; *number* where none does."""
    try:
        status = Path(f"/proc/{number}/status").read_text("utf-8")
        parent = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, StopIteration):
        return number
    return parent if b"broker" in words and b"--run" in words else number


def _woken(process: int) -> int:
    """How often a process has gone to sleep by itself; -1 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return -1
    return next((int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:")), -1)


@contextmanager
def _reloading(kept: Sequence[Supervised]) -> Iterator[None]:
    """Hand SIGHUP (`systemctl reload`) on: mosquitto then reads its list and its ACL again."""

    def hand_on(_number: int, _frame: object) -> None:
        for one in kept:
            if one.process is not None:
                one.process.send_signal(signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, hand_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
