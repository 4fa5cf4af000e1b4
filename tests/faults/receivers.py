"""The receivers of the durability experiment: how each is started in a folder of its own, and what it then holds.

Every one runs as its makers ship it.  Where a maker offers a more durable setting, the receiver stands a second time
in the list with that setting, under a name that says so.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pynetdicom

from firmware_app.core.version import version as lantern_version
from tests.peers import REPOSITORY, peer

_START_SECONDS: Final = 60
_PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so")
_POSTGRES: Final = Path("/usr/lib/postgresql")


class Receiver(ABC):
    """A DICOM receiver that keeps what it is sent somewhere below the folder that it is given.

    `store` is where a kept image is looked for; `prepare` runs once in an empty folder; `services` are the commands
    to start in turn, each with the port on which it is awaited, the DICOM port last.
    """

    name: str
    version: str
    store: str = "store"
    mounted_sync: bool = False

    def prepare(self, folder: Path) -> None:
        (folder / self.store).mkdir()

    @abstractmethod
    def services(self, folder: Path) -> list[tuple[list[str], int]]: ...

    def list_indexed(self, folder: Path) -> set[str] | None:
        """The SOP Instance UIDs that its index knows, asked while it runs again; None where there is no index."""
        return None

    @contextmanager
    def running(self, folder: Path) -> Iterator[int]:
        """Run it; yields the DICOM port, and kills everything at the end, as a power cut does."""
        children: list[psutil.Popen] = []
        try:
            port = 0
            for command, port in self.services(folder):
                child = psutil.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                children.append(child)
                _await_port(self.name, port, child)
            yield port
        finally:
            _kill(children)


class Lantern(Receiver):
    """This box's gateway, with nothing set but where to listen and where to keep."""

    name = "Lantern"
    version = lantern_version()
    store = "state/images"

    def prepare(self, folder: Path) -> None:
        """Nothing: it makes its own folders."""

    def services(self, folder: Path) -> list[tuple[list[str], int]]:
        port = _free_port()
        config = folder / "lantern.toml"
        config.write_text(f'[state]\ndir = "{folder / "state"}"\n[dicom]\nhost = "127.0.0.1"\nport = {port}\n', "utf-8")
        command = [sys.executable, "-m", "firmware_app", "serve", "--only", "gateway", "--config", str(config)]
        return [(command, port)]

    def list_indexed(self, folder: Path) -> set[str] | None:
        connection = sqlite3.connect(folder / "state" / "clinical" / "clinical.db")
        try:
            rows = connection.execute("SELECT sop_uid, file FROM instances").fetchall()
        finally:
            connection.close()
        return {uid for uid, file in rows if (folder / "state" / file).is_file()}


class Storescp(Receiver):
    """dcmtk's receiver.  None of its options makes it wait for the disk; a file system mounted with -o sync does."""

    def __init__(self, *, mounted_sync: bool = False) -> None:
        self._tool = peer("storescp")
        self.name = "dcmtk storescp" + (", on a file system mounted -o sync" if mounted_sync else "")
        self.version = _package_version("dcmtk")
        self.mounted_sync = mounted_sync

    def services(self, folder: Path) -> list[tuple[list[str], int]]:
        port = _free_port()
        return [([self._tool, "-od", str(folder / self.store), str(port)], port)]


class PynetdicomStorescp(Receiver):
    """The receiver that comes with pynetdicom as an application."""

    name = "pynetdicom storescp app"
    version = pynetdicom.__version__

    def services(self, folder: Path) -> list[tuple[list[str], int]]:
        port = _free_port()
        where = ["-ba", "127.0.0.1", "-od", str(folder / self.store), str(port)]
        return [([sys.executable, "-m", "pynetdicom", "storescp", *where], port)]


class Orthanc(Receiver):
    """Orthanc as it comes; "SyncStorageArea", its fsync of every image, is on by default and is said here aloud."""

    def __init__(self) -> None:
        self._tool = peer("Orthanc")
        self.name = 'Orthanc, defaults ("SyncStorageArea": true, SQLite index)'
        self.version = _package_version("orthanc")
        self._http = 0

    def services(self, folder: Path) -> list[tuple[list[str], int]]:
        port, self._http = _free_port(), _free_port()
        config = folder / "orthanc.json"
        config.write_text(json.dumps(self._settings(folder, port)), "utf-8")
        return [([self._tool, str(config)], port)]

    def _settings(self, folder: Path, port: int) -> dict[str, object]:
        return {
            "Name": "durability",
            "StorageDirectory": str(folder / self.store),
            "IndexDirectory": str(folder / self.store),
            "DicomPort": port,
            "HttpPort": self._http,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "SyncStorageArea": True,
        }

    def list_indexed(self, folder: Path) -> set[str] | None:
        _await_port(self.name, self._http)  # it opens after the DICOM port
        question = json.dumps({"Level": "Instance", "Expand": True, "Query": {}}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/tools/find", question, timeout=60) as answer:
            return {entry["MainDicomTags"]["SOPInstanceUID"] for entry in json.load(answer)}


class OrthancPostgres(Orthanc):
    """Orthanc with its index in PostgreSQL, which commits durably unless told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self._postgres = next(_POSTGRES.glob("*/bin"))
        self.name = "Orthanc, index in PostgreSQL (its plugin)"
        plugin, server = _package_version("orthanc-postgresql"), self._postgres.parent.name
        self.version = f"{self.version}, orthanc-postgresql {plugin}, PostgreSQL {server}"

    @staticmethod
    def is_installed() -> bool:
        return _PLUGIN.exists() and any(_POSTGRES.glob("*/bin/initdb"))

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        folder.chmod(0o755)
        database = folder / "postgres"
        database.mkdir()
        shutil.chown(database, "postgres", "postgres")
        made = self._as_postgres("initdb", "--auth=trust", "--encoding=UTF8", "--pgdata", str(database))
        subprocess.run(made, cwd="/", check=True, capture_output=True)

    def services(self, folder: Path) -> list[tuple[list[str], int]]:
        port = self._database_port = _free_port()
        database = str(folder / "postgres")
        sockets = ("-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1")
        return [
            (self._as_postgres("postgres", "-D", database, "-p", str(port), *sockets), port),
            *super().services(folder),
        ]

    def _settings(self, folder: Path, port: int) -> dict[str, object]:
        index = {
            "EnableIndex": True,
            "EnableStorage": False,
            "Host": "127.0.0.1",
            "Port": self._database_port,
            "Database": "postgres",
            "Username": "postgres",
            "Password": "",
            "Lock": False,  # a killed Orthanc leaves its advisory lock until the server notices
        }
        return {**super()._settings(folder, port), "Plugins": [str(_PLUGIN)], "PostgreSQL": index}

    def _as_postgres(self, program: str, *arguments: str) -> list[str]:
        return ["runuser", "-u", "postgres", "--", str(self._postgres / program), *arguments]


def receivers() -> list[Receiver]:
    """Every receiver that this machine has; skips where a common one is missing."""
    all_receivers = [Lantern(), Storescp(), Storescp(mounted_sync=True), PynetdicomStorescp(), Orthanc()]
    return [*all_receivers, OrthancPostgres()] if OrthancPostgres.is_installed() else all_receivers


def _package_version(package: str) -> str:
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=True
    )
    return f"Debian {asked.stdout}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(name: str, port: int, child: psutil.Popen | None = None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and (child is None or child.poll() is None):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)  # nobody announces a foreign program's port
        else:
            return
    raise TimeoutError(f"{name} did not open its port")


def _kill(children: list[psutil.Popen]) -> None:
    """Kill *children* and theirs, and return when none of them holds a file open any more."""
    family = [member for child in children if child.is_running() for member in (child, *child.children(recursive=True))]
    for member in family:
        if member.is_running():
            os.kill(member.pid, 9)
    psutil.wait_procs(family, timeout=30)
