"""The front for tests: the viewer in this process and a real nginx before it, from the template that a box is given."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from firmware_app.appliance import certificate_authority, tls_front
from firmware_app.appliance.certificate_authority import PageNames
from firmware_app.cases.accounts import Accounts
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.dicomweb import socket_path
from tests.peers import REPOSITORY, peer
from web import server

NAME = "lantern-test.local"
PASSWORD = "a lamp in the village"
_START_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Front:
    """A running front."""

    state: StateDir
    config: Config
    https: int
    http: int
    viewer: int
    nginx: subprocess.Popen[bytes]
    log: Path

    @property
    def trusting(self) -> ssl.SSLContext:
        """What a PC has that trusts this box's authority and nobody else."""
        return ssl.create_default_context(cafile=str(certificate_authority.AuthorityFiles(self.state.root).public))

    def browser(self, source: str = "127.0.0.1", name: str = NAME) -> Browser:
        return Browser(self, source, name)

    @property
    def audit(self) -> Audit:
        return Audit(ClinicalDatabase(self.state.clinical_db).database)


class Browser:
    """One browser: its address, its cookies, TLS that is checked."""

    def __init__(self, front: Front, source: str, name: str) -> None:
        self._front, self._source, self._name = front, source, name
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []

    def connect(self) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self._front.https), 10, (self._source, 0))
        return self._front.trusting.wrap_socket(raw, server_hostname=self._name)

    def ask(self, method: str, path: str, fields: Mapping[str, str] | None = None, **headers: str) -> tuple[int, str]:
        """Status and body of one request; cookies are kept as a browser keeps them."""
        connection = http.client.HTTPSConnection(self._name, self._front.https)
        connection.sock = self.connect()
        host = f"{self._name}:{self._front.https}"
        sent = {"Host": host, "Accept": "text/html", "Referer": f"https://{host}/", **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if fields is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(fields) if fields is not None else None, sent)
        answer = connection.getresponse()
        self.set_cookies = answer.headers.get_all("Set-Cookie") or []
        for cookie in self.set_cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        """A form that was loaded before it is sent."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.ask("GET", "/claim")[1])
        assert token
        return self.ask("POST", path, {"csrf_token": token[1], **fields})

    def log_in(self, code: str) -> None:
        status, _ = self.post("/claim", code=code, password=PASSWORD, again=PASSWORD)
        assert status == 302


@contextmanager
def running(folder: Path, *, viewer: bool = True, **sections: Mapping[str, Any]) -> Iterator[Front]:
    """The viewer and its front on free ports, ended with the block; without *viewer*, the front alone.

    *sections*: of the configuration, beside the viewer's.
    """
    made = {
        **sections,
        "state": {"dir": folder / "state"},
        "box": {"language": "en"},
        "viewer": {"host": "127.0.0.1", "port": free_port(), "behind_front": True, "allowed_hosts": [NAME]},
    }
    config = Config.model_validate(made)
    state = StateDir(config.state.dir)
    state.prepare()
    for store in (ClinicalDatabase(state.clinical_db), Accounts(state.accounts_db)):
        store.create()
        store.database.close()
    certificate_authority.prepare_certificates(state, PageNames((NAME,), (ip_address("127.0.0.1"),)), datetime.now(UTC))
    with _viewer(config) if viewer else nullcontext(), _nginx(config, state, folder) as front:
        yield front


@contextmanager
def _viewer(config: Config) -> Iterator[None]:
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: server.run(config, lambda _: ready.set(), stop), name="viewer")
    thread.start()
    try:
        assert ready.wait(_START_S)
        yield
    finally:
        stop.set()
        thread.join(_START_S)
        assert not thread.is_alive()


@contextmanager
def _nginx(config: Config, state: StateDir, folder: Path) -> Iterator[Front]:
    run, log = folder / "run", folder / "nginx.log"
    run.mkdir()
    share = REPOSITORY / "systemd"
    https, http = free_port(), free_port()
    text = tls_front.fill_template(
        (share / "nginx.conf.in").read_text("utf-8"),
        viewer=config.viewer.port,
        state=state.root,
        run=run,
        share=share,
        https=f"127.0.0.1:{https}",
        http=f"127.0.0.1:{http}",
        dicomweb=config.dicomweb,
        socket=socket_path(state.run),
    )
    if os.geteuid() == 0:  # on a box it starts as its own user; here that user may not enter the test's folder
        text = f"user root;\n{text}"
    (run / "nginx.conf").write_text(text, "utf-8")
    with log.open("wb") as written:
        process = subprocess.Popen(
            [peer("nginx"), "-e", "stderr", "-p", str(run), "-c", str(run / "nginx.conf")],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
        )
    try:
        _await_port(https, process, log)
        yield Front(state, config, https, http, config.viewer.port, process, log)
    finally:
        process.terminate()
        process.wait(_START_S)


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text("utf-8")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("nginx does not listen")
