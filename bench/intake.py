"""How fast a modality's images become ours, beside dcmtk's storescp and Orthanc, which do not keep them as surely.

One association from dcmtk's storescu sends the same series to each receiver in turn; each receiver is a process of
its own with a fresh directory on the same file system.  What counts is the sender's time, from connecting to release.

Most of what dcmtk's receivers need, and Orthanc is one of them, is Nagle's algorithm waiting for a delayed
acknowledgement, 45 ms an image.  So each is measured as it comes and with TCP_NODELAY=1, dcmtk's own switch for it.

    python -m bench.intake [--data FOLDER_OR_TAR] [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from bench import harness
from firmware_app import __version__
from firmware_app.errors import IntakeError
from firmware_app.intake.header import MAGIC, PREAMBLE_BYTES, examine

_REPOSITORY: Final = Path(__file__).resolve().parents[1]
_REAL: Final = _REPOSITORY.parent / "shared" / "data" / "ct"
_COPIES: Final = 133
# pynetdicom installs tools of its own under dcmtk's names; in an activated environment they would come first.
_OWN_TOOLS: Final = str(Path(sys.prefix, "bin"))
_PATH: Final = os.pathsep.join(
    (*(name for name in os.environ.get("PATH", "").split(os.pathsep) if name != _OWN_TOOLS), "/usr/sbin")
)


@dataclass(frozen=True)
class Receiver:
    """A DICOM receiver: how to start it in an empty folder, and how many images it then holds."""

    name: str
    version: str
    command: Callable[[Path, int], list[str]]
    held: Callable[[Path], int]
    environment: Mapping[str, str] = field(default_factory=dict)

    def without_nagle(self) -> Receiver:
        return replace(self, name=f"{self.name}, TCP_NODELAY=1", environment={"TCP_NODELAY": "1"})


def main() -> None:
    options = _options()
    storescu = _tool("storescu", "dcmtk")
    storescp, orthanc = _storescp(), _orthanc()
    receivers = [_lantern(), storescp, storescp.without_nagle(), orthanc, orthanc.without_nagle()]
    with tempfile.TemporaryDirectory(prefix="lantern-bench-", dir=options.work) as folder:
        series = _series(options.data, Path(folder) / "series")
        size = sum(len(path.read_bytes()) for path in series.iterdir())  # reading them all also warms the cache
        images = len(list(series.iterdir()))
        results = harness.alternate(
            [
                harness.Variant(
                    receiver.name,
                    receiver.version,
                    partial(_send, storescu, receiver, series, images, Path(folder) / "receiver"),
                )
                for receiver in receivers
            ],
            options.rounds,
        )
    facts = {
        "images": images,
        "megabytes": round(size / 1e6, 1),
        "images_per_second": round(images / results[0].median, 1),
        "sender": _first_line([storescu, "--version"]),
    }
    harness.report("durable C-STORE, one association", facts, results, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.intake", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=_REAL if _REAL.exists() else None,
        help="a folder of DICOM files or a tar of them (default: ../shared/data/ct, else pydicom-data)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--work", type=Path, default=None, help="where receivers store (default: the temporary folder)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


# --- one measurement ----------------------------------------------------------------------------------------------


def _send(storescu: str, receiver: Receiver, series: Path, images: int, folder: Path) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = _free_port()
    with _running(receiver, folder, port):
        os.sync()  # what the last round left in the cache is not this one's to write
        before = time.perf_counter()
        sent = subprocess.run(
            [storescu, "+sd", "127.0.0.1", str(port), str(series)], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - before
    if sent.returncode != 0:
        harness.give_up(f"storescu could not send to {receiver.name}: {sent.stderr.strip().splitlines()[-1:]}")
    held = receiver.held(folder)
    if held != images:
        harness.give_up(f"{receiver.name} holds {held} of {images} images, so its time means nothing.")
    return seconds


@contextmanager
def _running(receiver: Receiver, folder: Path, port: int) -> Iterator[None]:
    with subprocess.Popen(
        receiver.command(folder, port),
        cwd=_REPOSITORY,
        env={**os.environ, **receiver.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            _await_port(receiver.name, port, child)
            yield
        finally:
            child.terminate()
            child.wait(30)


def _await_port(name: str, port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    harness.give_up(f"{name} did not open its port.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- receivers ----------------------------------------------------------------------------------------------------


def _lantern() -> Receiver:
    def command(folder: Path, port: int) -> list[str]:
        config = folder / "lantern.toml"
        config.write_text(f'[state]\ndir = "{folder / "state"}"\n[dicom]\nhost = "127.0.0.1"\nport = {port}\n', "utf-8")
        return [sys.executable, "-m", "firmware_app.cli", "serve", "--only", "gateway", "--config", str(config)]

    def held(folder: Path) -> int:
        return len(list((folder / "state" / "images").rglob("*.dcm")))

    return Receiver("Lantern (durable)", f"Lantern {__version__}", command, held)


def _storescp() -> Receiver:
    tool = _tool("storescp", "dcmtk")

    def command(folder: Path, port: int) -> list[str]:
        (folder / "store").mkdir()
        return [tool, "-od", str(folder / "store"), str(port)]

    return Receiver(
        "dcmtk storescp",
        _first_line([tool, "--version"]),
        command,
        lambda folder: len(list((folder / "store").iterdir())),
    )


def _orthanc() -> Receiver:
    tool = _tool("Orthanc", "orthanc")

    def command(folder: Path, port: int) -> list[str]:
        config = folder / "orthanc.json"
        config.write_text(
            json.dumps(
                {
                    "Name": "bench",
                    "StorageDirectory": str(folder / "store"),
                    "IndexDirectory": str(folder / "store"),
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
        return sum(_is_dicom(path) for path in stored)

    return Receiver("Orthanc", _first_line([tool, "--version"]), command, held)


def _tool(name: str, package: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        harness.give_up(f"This bench needs the Debian package {package} (for {name}): apt install {package}")
    return found


def _first_line(command: list[str]) -> str:
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return told.strip("$ ").removeprefix("/usr/sbin/")


# --- what is sent -------------------------------------------------------------------------------------------------


def _series(data: Path | None, folder: Path) -> Path:
    """A flat folder of whole DICOM files."""
    folder.mkdir(parents=True)
    if data is None:
        _copies_of_one_slice(folder)
        return folder
    source = data
    archives = [data] if data.is_file() else sorted(data.glob("*.tar*"))
    if archives:
        source = folder.parent / "unpacked"
        source.mkdir()
        for archive in archives:
            subprocess.run([_tool("tar", "tar"), "-xf", str(archive), "-C", str(source)], check=True)
    for number, path in enumerate(sorted(path for path in source.rglob("*") if _is_dicom(path))):
        shutil.copyfile(path, folder / f"{number:05}.dcm")
    if not any(folder.iterdir()):
        harness.give_up(f"There is no whole DICOM file in {data}.")
    return folder


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(PREAMBLE_BYTES + len(MAGIC))[PREAMBLE_BYTES:] != MAGIC:
            return False
    try:
        examine(path)
    except IntakeError:
        return False
    return True


def _copies_of_one_slice(folder: Path) -> None:
    """Without real data: one CT slice of pydicom-data under as many identities as a chest series has slices."""
    try:
        import data_store
    except ImportError:
        harness.give_up("There is no CT series to send: give one with --data, or pip install pydicom-data.")
    [slice_file] = Path(next(iter(data_store.__path__))).rglob("693_UNCI.dcm")
    content, identity = slice_file.read_bytes(), examine(slice_file).header.sop_instance_uid.encode()
    for number in range(_COPIES):
        own = identity[:-4] + f"{1000 + number}".encode()
        (folder / f"{number:05}.dcm").write_bytes(content.replace(identity, own))


if __name__ == "__main__":
    main()
