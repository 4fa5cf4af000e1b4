"""`lantern-hospital serve` and `broker --run` without systemd: what ends or hangs is started again.

`serve` starts itself once more as a child that does the work; where systemd watches over it, it does the work itself.

`broker --run` keeps the uplink's mosquitto and the one for enrolment.  mosquitto 2.0 ends now and then when it reads
its files again (SIGHUP), and then every box is cut off.  A mosquitto that works wakes several times a second, which the
kernel counts.  One that has not woken for a minute is asked over TLS, and killed when it does not answer.
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
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core import notify, programs
from firmware_app.core.errors import LanternError
from firmware_app.core.programs import SupervisedProcess
from hospital import broker
from hospital.errors import BROKER_RUNNING, MOSQUITTO_MISSING
from hospital.hospital_site import HospitalSite

log = logging.getLogger("lantern.hospital")

PATIENCE_S: Final = 60.0
"""Longer than a look-up of a name that fails, and than the inbox waits for another process."""
_START_S: Final = 3600.0  # a damaged inbox of a million rows is rebuilt first
_LOOK_S: Final = 0.1
_STOP_S: Final = 20.0


class StopSignal(threading.Event):
    """Set by SIGTERM and SIGINT.  A main loop asks it often, so asking it is the process's sign of life."""

    def __init__(self) -> None:
        super().__init__()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.set())

    def is_set(self) -> bool:
        notify.ping_watchdog()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return super().wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - time.monotonic())
            if left <= 0:
                break
            super().wait(left)
        return self.is_set()


def is_watched() -> bool:
    """Whether systemd or `supervise_serve` starts this process again when it ends or hangs."""
    return programs.is_supervised() or bool(os.environ.get("NOTIFY_SOCKET") and os.environ.get("WATCHDOG_USEC"))


def supervise_serve(words: Sequence[str]) -> int:
    """Keep `lantern-hospital` with the arguments *words* at work until SIGTERM or SIGINT; returns its exit status."""
    command = [sys.executable, "-m", "hospital.cli", *words]
    child = SupervisedProcess("serve", command, patience=PATIENCE_S, start_s=_START_S, output=None)
    return keep_running([child], StopSignal()) or 0


def keep_running(
    kept: Sequence[SupervisedProcess], stop: threading.Event, before_start: Callable[[], None] = lambda: None
) -> int | None:
    """Keep every one of *kept* at work until *stop*.  Returns the exit status of the first one where that ends before
    it has ever begun, because of what it was asked; None otherwise."""
    try:
        while not stop.is_set():
            for process in kept:
                if process.process is None:
                    if time.monotonic() >= process.due:
                        before_start()
                        process.start()
                elif (status := process.poll_exit()) is not None:
                    if process is kept[0] and not process.proven and status >= 0:
                        return status
                    log.warning(
                        "%s ended with status %d; it is started again in %.1f s", process.name, status, process.delay
                    )
                elif process.is_hung(time.monotonic()):
                    log.error("%s hangs: no sign of life for %.0f s; it is killed", process.name, process.patience_s)
                    process.process.kill()
            stop.wait(_LOOK_S)
    finally:
        _stop_all(kept)
    return None


def _stop_all(kept: Sequence[SupervisedProcess]) -> None:
    for process in kept:
        if process.process is not None:
            process.process.terminate()
            process.process.send_signal(signal.SIGCONT)  # one that was stopped ends, too
    deadline = time.monotonic() + _STOP_S
    for process in kept:
        if not process.wait_for_exit(deadline):
            log.warning("%s did not stop in %.0f s and was killed", process.name, _STOP_S)


BROKER_CONFIGS: Final = {"line": "mosquitto.conf", "enrolment": broker.ENROLMENT_CONFIG}
_ANSWER_S: Final = 10.0
_STEADY_S: Final = 2.0
_SHIM: Final = (
    f"import ctypes, os, sys; ctypes.CDLL(None).prctl(1, {signal.SIGTERM:d}, 0, 0, 0);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)
_SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class SupervisedBroker(SupervisedProcess):
    """One mosquitto; its signs of life are those that the kernel counts."""

    port: int = 0
    _woken: int = -1

    def _has_sign_of_life(self) -> bool:
        if self.process is None:
            return False
        if not self.begun and time.monotonic() - self.started > _STEADY_S and self.process.poll() is None:
            self.begun = self.proven = True
        before, self._woken = self._woken, _count_wakeups(self.process.pid)
        return self._woken != before

    def is_hung(self, now: float) -> bool:
        return super().is_hung(now) and not answers_over_tls(self.port)


def run_brokers(site: HospitalSite, only: Sequence[str], command: str | None = None) -> int:
    """Keep the brokers of *only* (keys of `BROKER_CONFIGS`) at work until SIGTERM or SIGINT.  Returns the exit status.

    Raises `BROKER_RUNNING` or `MOSQUITTO_MISSING`.
    """
    mosquitto = command or shutil.which("mosquitto", path=_SEARCH_PATH)
    if mosquitto is None:
        raise MOSQUITTO_MISSING()
    if "line" in only and (number := broker.find_broker_process(site.broker)) is not None:
        raise BROKER_RUNNING(number=_find_keeper(number))
    kept = [
        SupervisedBroker(
            f"the broker ({name})",
            [*_end_with_parent_command(), mosquitto, "-c", str(file)],
            patience=PATIENCE_S,
            start_s=PATIENCE_S,
            port=_read_listener_port(file),
        )
        for name in only
        if (file := site.broker / BROKER_CONFIGS[name]).exists()
    ]
    stop = StopSignal()
    notify.ready("at work")
    with _forward_reload(kept):
        return keep_running(kept, stop, lambda: _renew_revocation_list(site)) or 0


def answers_over_tls(port: int) -> bool:
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


def _renew_revocation_list(site: HospitalSite) -> None:
    """mosquitto does not start without a list that it can read.  Under systemd `serve` has the key, and renews it."""
    try:
        site.renew_list()
    except (OSError, sqlite3.Error, LanternError) as error:
        log.debug("the list of revoked certificates was not looked at: %s", error)


def _end_with_parent_command() -> list[str]:
    """What ends mosquitto with the one who keeps it, however that one ends; it would go on to hold the port.  Under
    systemd both end with their control group."""
    return [] if os.environ.get("NOTIFY_SOCKET") else [sys.executable, "-c", _SHIM]


def _read_listener_port(config: Path) -> int:
    lines = config.read_text("utf-8").splitlines()
    words = next((line.split() for line in lines if line.startswith("listener ")), ["listener", "1883"])  # its default
    return int(words[1])


def _find_keeper(number: int) -> int:
    """The process that keeps the mosquitto *number* at work, and would start it again; *number* where none does."""
    try:
        status = Path(f"/proc/{number}/status").read_text("utf-8")
        parent = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, StopIteration):
        return number
    return parent if b"broker" in words and b"--run" in words else number


def _count_wakeups(process: int) -> int:
    """How often a process has gone to sleep by itself; -1 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return -1
    return next((int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:")), -1)


@contextmanager
def _forward_reload(kept: Sequence[SupervisedProcess]) -> Iterator[None]:
    """Hand SIGHUP (`systemctl reload`) on: mosquitto then reads its list and its ACL again."""

    def forward(_number: int, _frame: object) -> None:
        for process in kept:
            if process.process is not None:
                process.process.send_signal(signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
