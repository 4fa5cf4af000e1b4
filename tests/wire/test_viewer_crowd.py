"""A crowd of slow sockets before the viewer of a bare `lantern serve`: whoever comes to log in is served."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server

from tests.box import run_box, run_lantern
from web.server import _close_idle_when_full

pytestmark = pytest.mark.alone

CROWD = 250
PASSWORD = "a lamp in the village"
SLOW = {
    "nothing": b"",
    "a byte": b"G",
    "half a form": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n",
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crowd")


@pytest.fixture(scope="module")
def port(state: Path) -> Iterator[int]:
    """Of the viewer of a running box."""
    with run_box(state) as box:
        box.wait_ready()
        yield int(box.ready["viewer"]["port"])


@contextmanager
def crowd(port: int, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Sockets that have sent so much and nothing more."""
    with ExitStack() as open_ones:
        slow = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(count)]
        for one in slow:
            one.sendall(sent)
        yield slow


def claim_account(port: int, code: str) -> str:
    """The page that a browser shows whose person has just claimed an account with *code*."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    page = browser.open(f"http://127.0.0.1:{port}/claim", timeout=10).read().decode()
    (token,) = set(re.findall(r'name="csrf_token" value="([^"]+)"', page))
    form = {"csrf_token": token, "code": code, "password": PASSWORD, "again": PASSWORD}
    data = urllib.parse.urlencode(form).encode()
    answer: str = browser.open(f"http://127.0.0.1:{port}/claim", data, timeout=10).read().decode()
    return answer


@pytest.mark.parametrize("sent", SLOW)
def test_two_hundred_and_fifty_slow_sockets_keep_nobody_from_coming_in(state: Path, port: int, sent: str) -> None:
    name = f"li-{sent.replace(' ', '-')}"
    code = json.loads(run_lantern(state, "user", "add", name, "--role", "doctor", "--json").stdout)["code"]
    with crowd(port, CROWD, SLOW[sent]):
        begun = time.monotonic()
        assert 'id="lists"' in claim_account(port, code)
        assert time.monotonic() - begun < 10


def test_an_answer_that_is_read_slowly_is_read_to_its_end_whoever_comes() -> None:
    """waitress itself, with the rule of the viewer's: the box's own big answers are films, behind a log-in."""
    whole = 8 << 20
    server: Any = create_server(
        lambda _, start: (start("200 OK", [("Content-Length", str(whole))]), [bytes(whole)])[1],
        host="127.0.0.1",
        port=0,
        connection_limit=250,
        asyncore_loop_timeout=1,
    )
    _close_idle_when_full(server)
    threading.Thread(target=server.run, daemon=True).start()
    port = server.effective_port
    with socket.create_connection(("127.0.0.1", port), 10) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = len(slow.recv(1000))
        (channel,) = server.active_channels.values()
        deadline = time.monotonic() + 10
        while channel.requests:  # the answer is in waitress's buffer then, and most of it not sent
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with crowd(port, 210, b""):
            while len(server.active_channels) < 200:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            while part := slow.recv(1 << 16):
                got += len(part)
    assert got > whole
