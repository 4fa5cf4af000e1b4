"""The receivers that are measured side by side: Lantern's gateway, dcmtk's storescp and Orthanc, each as installed.

Most of what dcmtk's receivers need, and Orthanc is one of them, is Nagle's algorithm waiting for a delayed
acknowledgement, 45 ms an image.  So each is measured as it comes and with TCP_NODELAY=1, dcmtk's own switch for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import harness
from bench.outcome import Kind
from bench.series import is_dicom
from firmware_app import __version__


@dataclass(frozen=True)
class Receiver:
    """A DICOM receiver: how to start it in an empty folder, and how to count the images that it has stored."""

    name: str
    version: str
    command: Callable[[Path, int], list[str]]
    held: Callable[[Path], int]
    environment: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = "peer"

    def without_nagle(self) -> Receiver:
        return replace(self, name=f"{self.name}, TCP_NODELAY=1", environment={"TCP_NODELAY": "1"})

    @contextmanager
    def running(self, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
        """Listening on *port* with *folder* for its own; ended with the block."""
        with subprocess.Popen(
            self.command(folder, port),
            cwd=harness.REPOSITORY,
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            try:
                harness.await_true(
                    lambda: child.poll() is not None or harness.answers(port), 30, f"{self.name} opened its port", 0.02
                )
                if child.poll() is not None:
                    harness.give_up(f"{self.name} ended with status {child.returncode} before it opened its port.")
                yield child
            finally:
                child.terminate()
                child.wait(30)


def lantern() -> Receiver:
    """The gateway alone, as systemd starts it."""

    def command(folder: Path, port: int) -> list[str]:
        config = folder / "lantern.toml"
        config.write_text(f'[state]\ndir = "{folder / "state"}"\n[dicom]\nhost = "127.0.0.1"\nport = {port}\n', "utf-8")
        return [sys.executable, "-m", "firmware_app", "serve", "--only", "gateway", "--config", str(config)]

    def held(folder: Path) -> int:
        return len(list((folder / "state" / "images").rglob("*.dcm")))

    return Receiver("Lantern (durable)", f"Lantern {__version__}", command, held, kind="lantern")


def peers(*, fork: bool = False) -> tuple[list[Receiver], list[str]]:
    """The peers that are installed, each as it comes and without Nagle, and a sentence for each that is not.

    storescp serves one association after the other; *fork* is its switch for several at once.
    """
    receivers = {"storescp (dcmtk)": _storescp(fork=fork), "Orthanc (orthanc)": _orthanc()}
    there = [receiver for receiver in receivers.values() if receiver is not None]
    absent = [
        f"{name.split(' ')[0]} is not installed (Debian: {name.split('(')[1][:-1]})."
        for name, receiver in receivers.items()
        if receiver is None
    ]
    return [each for receiver in there for each in (receiver, receiver.without_nagle())], absent


def _storescp(*, fork: bool) -> Receiver | None:
    tool = harness.find_tool("storescp")
    if tool is None:
        return None
    options = ["--fork"] if fork else []

    def command(folder: Path, port: int) -> list[str]:
        (folder / "store").mkdir()
        return [tool, *options, "-od", str(folder / "store"), str(port)]

    return Receiver(
        " ".join(("dcmtk storescp", *options)),
        first_line([tool, "--version"]),
        command,
        lambda folder: len(list((folder / "store").iterdir())),
    )


def _orthanc() -> Receiver | None:
    tool = harness.find_tool("Orthanc")
    if tool is None:
        return None

    def command(folder: Path, port: int) -> list[str]:
        config = folder / "orthanc.json"
        store = str(folder / "store")
        config.write_text(
            json.dumps(
                {
                    "Name": "bench",
                    "StorageDirectory": store,
                    "IndexDirectory": store,
                    "DicomPort": port,
                    "HttpServerEnabled": False,
                    "DicomAlwaysAllowStore": True,
                }
            ),
            "utf-8",
        )
        return [tool, str(config)]

    def held(folder: Path) -> int:
        stored = [path for path in (folder / "store").rglob("*") if path.is_file() and len(path.name) == 36]
        return sum(is_dicom(path) for path in stored)

    return Receiver("Orthanc", first_line([tool, "--version"]), command, held)


def first_line(command: list[str]) -> str:
    """The version that a program reports."""
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return line.strip("$ ").removeprefix("/usr/sbin/").split(" 20")[0]
