"""The sign of life that systemd hears: from the main loop, and not while a part that does the work hangs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server

from firmware_app.dicom.scp import association_server
from web.watchdog import ServerWatchdog

WATCHDOG_S = 0.3
_GIVEN_UP_S = 10.0

# What a process does with the socket, in a process of its own: the module keeps the socket for a process's life.
_PREAMBLE = "import os, subprocess, sys, threading, time\nfrom firmware_app.core import notify\n"


@contextmanager
def systemd(folder: Path) -> Iterator[socket.socket]:
    """The socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.settimeout(_GIVEN_UP_S)
        yield listening


def run(folder: Path, code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), **environment},
    )
    return done.stdout


def read_messages(listening: socket.socket) -> list[str]:
    listening.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(listening.recv(4096).decode())
        except BlockingIOError:
            return messages


def watchdog_environment() -> dict[str, str]:
    return {"WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


def test_systemd_hears_that_a_process_is_ready_and_how_it_is(tmp_path: Path) -> None:
    with systemd(tmp_path) as listening:
        run(tmp_path, "notify.set_status('starting'); notify.ready('at work')")
        assert read_messages(listening) == ["STATUS=starting", "READY=1\nSTATUS=at work"]


def test_a_loop_that_goes_round_gives_three_signs_in_the_time_of_the_watchdog(tmp_path: Path) -> None:
    with systemd(tmp_path) as listening:
        run(
            tmp_path,
            "until = time.monotonic() + 0.65\nwhile time.monotonic() < until: notify.ping_watchdog()",
            **watchdog_environment(),
        )
        signs = read_messages(listening)
    assert set(signs) == {"WATCHDOG=1"}
    assert 3 <= len(signs) <= 7  # a loop of a million rounds says no more than it must


def test_a_side_thread_gives_no_sign_for_a_main_loop_that_hangs(tmp_path: Path) -> None:
    code = "side = threading.Thread(target=notify.ping_watchdog)\nside.start(); side.join()"
    with systemd(tmp_path) as listening:
        run(tmp_path, code, **watchdog_environment())
        assert read_messages(listening) == []


def test_there_is_no_sign_while_a_part_that_does_the_work_hangs(tmp_path: Path) -> None:
    code = "works = []\nnotify.depend_on(lambda: bool(works))\nnotify.ping_watchdog()\n"
    code += "notify.set_status('it comes back')\n"
    code += "works.append(1)\nnotify.ping_watchdog()"
    with systemd(tmp_path) as listening:
        run(tmp_path, code, **watchdog_environment())
        assert read_messages(listening) == ["STATUS=it comes back", "WATCHDOG=1"]


# --- the parts that do the work --------------------------------------------------------------------------------------


def wait_for(what: str, asked: Callable[[], bool], seconds: float = _GIVEN_UP_S) -> None:
    deadline = time.monotonic() + seconds
    while not asked():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_port_whose_accepting_thread_hangs_does_not_pass_for_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association_server, "_TURNS_S", 2.0)
    listener = association_server.open_listener("127.0.0.1", 0)
    port = association_server.Transport(listener, None, lambda connection, address, deadline: None, lambda: None)
    port.start()
    with port._lock:  # whoever speaks is handed over under this lock: the accepting thread waits here for good
        assert port.is_responsive()
        with socket.create_connection(("127.0.0.1", port.port)) as speaker:
            speaker.sendall(b"x")
            wait_for("the hang to be noticed", lambda: not port.is_responsive())
    wait_for("the thread to go on", port.is_responsive)
    port.stop()


@contextmanager
def web_server(threads: int) -> Iterator[tuple[Any, ServerWatchdog]]:
    server: Any = create_server(lambda environ, start: [b""], host="127.0.0.1", port=0, threads=threads)
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    try:
        yield server, ServerWatchdog(server)
    finally:
        server.trigger.pull_trigger(server.close)


class Hanging:
    """A channel at which the web server's loop waits. A thunk of the trigger would wait under the trigger's lock."""

    def __init__(self) -> None:
        self.reached, self.end = threading.Event(), threading.Event()

    def readable(self) -> bool:
        self.reached.set()
        self.end.wait()
        return False

    def writable(self) -> bool:
        return False


def test_a_web_server_whose_loop_hangs_does_not_pass_for_alive() -> None:
    hanging = Hanging()
    with web_server(threads=2) as (server, lap):
        server._map[1 << 20] = hanging
        server.trigger.pull_trigger()
        try:
            assert hanging.reached.wait(10)
            assert lap.has_responded()  # the lap is on its way
            assert not any(lap.has_responded() for _ in range(5))
        finally:
            hanging.end.set()
        wait_for("the lap to come home", lap.has_responded)
