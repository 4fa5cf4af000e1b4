"""What is sent, and who receives: Lantern's gateway, dcmtk's storescp and Orthanc, each as installed.

Most of what dcmtk's receivers need, and Orthanc is one of them, is Nagle's algorithm waiting for a delayed
acknowledgement, 45 ms an image.  So each is measured as it comes and with TCP_NODELAY=1, dcmtk's own switch for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bench import harness
from bench.outcome import Kind
from firmware_app import __version__
from firmware_app.dicom.errors import IntakeError
from firmware_app.dicom.header import MAGIC, PREAMBLE_BYTES, examine_file

REAL: Final = harness.REPOSITORY.parent / "shared" / "data" / "ct"
_COPIES: Final = 133
_FIRST_COPY: Final = 1000


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

    def count_images(folder: Path) -> int:
        return len(list((folder / "state" / "images").rglob("*.dcm")))

    return Receiver("Lantern (durable)", f"Lantern {__version__}", command, count_images, kind="lantern")


def find_peers(*, fork: bool = False) -> tuple[list[Receiver], list[str]]:
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
        store, yes_no = str(folder / "store"), {"HttpServerEnabled": False, "DicomAlwaysAllowStore": True}
        places = {"StorageDirectory": store, "IndexDirectory": store, "DicomPort": port}
        config.write_text(json.dumps({"Name": "bench", **places, **yes_no}), "utf-8")
        return [tool, str(config)]

    def count_images(folder: Path) -> int:
        stored = [path for path in (folder / "store").rglob("*") if path.is_file() and len(path.name) == 36]
        return sum(is_dicom(path) for path in stored)

    return Receiver("Orthanc", first_line([tool, "--version"]), command, count_images)


def first_line(command: list[str]) -> str:
    """The version that a program reports."""
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return line.strip("$ ").removeprefix("/usr/sbin/").split(" 20")[0]


# --- what is sent: a real CT series where there is one, else one slice under many identities --------------------------


def lay_out(data: Path | None, folder: Path) -> list[Path]:
    """The series as whole DICOM files, flat in the new *folder*; *data* is a folder of files or of tars, or one tar."""
    folder.mkdir(parents=True)
    if data is None:
        _copies_of_one_slice(folder)
    else:
        for number, path in enumerate(sorted(path for path in _unpack(data, folder).rglob("*") if is_dicom(path))):
            shutil.copyfile(path, folder / f"{number:05}.dcm")
    paths = sorted(folder.iterdir())
    if not paths:
        harness.give_up(f"There is no whole DICOM file in {data}.")
    return paths


def for_several(series: list[Path], senders: int, images: int, folder: Path) -> list[Path]:
    """One folder for each of *senders*, with *images* images and a study of its own."""
    folders = [folder / f"sender-{number}" for number in range(senders)]
    running = _FIRST_COPY
    for number, own in enumerate(folders):
        own.mkdir(parents=True)
        for image in range(images):
            source = series[(number * images + image) % len(series)]
            header = examine_file(source).header
            content = _replace(source.read_bytes(), header.sop_instance_uid, running)
            if header.study_instance_uid:
                content = _replace(content, header.study_instance_uid, _FIRST_COPY + number)
            (own / f"{image:05}.dcm").write_bytes(content)
            running += 1
    return folders


def is_dicom(path: Path) -> bool:
    """Whether the box would accept *path* as a complete DICOM file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(PREAMBLE_BYTES + len(MAGIC))[PREAMBLE_BYTES:] != MAGIC:
            return False
    try:
        examine_file(path)
    except IntakeError:
        return False
    return True


def _unpack(data: Path, folder: Path) -> Path:
    archives = [data] if data.is_file() else sorted(data.glob("*.tar*"))
    if not archives:
        return data
    target = folder.parent / "unpacked"
    target.mkdir()
    for archive in archives:
        subprocess.run([harness.need_tool("tar", "tar"), "-xf", str(archive), "-C", str(target)], check=True)
    return target


def _copies_of_one_slice(folder: Path) -> None:
    """Without real data: one CT slice of pydicom-data under as many identities as a chest series has slices."""
    try:
        import data_store
    except ImportError:
        harness.leave_out("there is no CT series to send: give one with --data, or pip install pydicom-data")
    [source] = Path(next(iter(data_store.__path__))).rglob("693_UNCI.dcm")
    content, identity = source.read_bytes(), examine_file(source).header.sop_instance_uid
    for number in range(_COPIES):
        (folder / f"{number:05}.dcm").write_bytes(_replace(content, identity, _FIRST_COPY + number))


def _replace(content: bytes, uid: str, number: int) -> bytes:
    """*content* with *number* as the last four digits of *uid*, so that the length of every element stays the same."""
    return content.replace(uid.encode(), uid[:-4].encode() + f"{number:04d}".encode())
