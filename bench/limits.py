"""What the machine itself can do with the same bytes: the least time that any receiver could need.

    python -m bench.limits durable|copy|loopback WORK FOLDER...

Each prints its seconds.  `durable` does with every file what a receiver that keeps its word must do, and nothing else:
write, fsync, give it its name, fsync the folder, commit one row under synchronous=FULL; one file after the other.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import harness

_BUFFER: Final = 1 << 20
NAMES: Final = {
    "durable": "limit: write, fsync, commit",
    "loopback": "limit: socket on this machine",
    "copy": "limit: memory copy",
}


def measure(what: str, work: Path, folders: Sequence[Path]) -> float:
    """The seconds of *what*, in a process of its own."""
    harness.empty(work)
    command = [sys.executable, "-m", "bench.limits", what, str(work), *map(str, folders)]
    done = subprocess.run(command, cwd=harness.REPOSITORY, capture_output=True, text=True, check=True)
    return float(done.stdout)


def durable(contents: Sequence[bytes], work: Path) -> float:
    """Write every content to *work*, durably."""
    images = work / "images"
    images.mkdir(parents=True)
    folder = os.open(images, os.O_RDONLY | os.O_DIRECTORY)
    rows = sqlite3.connect(work / "rows.db", isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE rows (name TEXT)"):
        rows.execute(statement)
    os.sync()
    begun = time.perf_counter()
    for number, content in enumerate(contents):
        arriving, name = work / "arriving", str(number)
        with arriving.open("wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
        arriving.rename(images / name)
        os.fsync(folder)
        rows.execute("INSERT INTO rows VALUES (?)", (name,))
    seconds = time.perf_counter() - begun
    rows.close()
    os.close(folder)
    return seconds


def copy(contents: Sequence[bytes]) -> float:
    """Copy every content once, into memory that has been touched before."""
    target = bytearray(max(map(len, contents)))
    target[:] = bytes(len(target))
    begun = time.perf_counter()
    for content in contents:
        target[: len(content)] = content
    return time.perf_counter() - begun


def loopback(contents: Sequence[bytes]) -> float:
    """Send every content through one TCP connection on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = threading.Thread(target=_drain, args=(listener,))
        receiver.start()
        begun = time.perf_counter()
        with socket.create_connection(listener.getsockname()) as sender:
            for content in contents:
                sender.sendall(content)
        receiver.join()
        return time.perf_counter() - begun


def _drain(listener: socket.socket) -> None:
    buffer = bytearray(_BUFFER)
    connection, _ = listener.accept()
    with connection:
        while connection.recv_into(buffer):
            pass


def main() -> None:
    what, work, *folders = sys.argv[1:]
    contents = [path.read_bytes() for folder in folders for path in sorted(Path(folder).iterdir())]
    if what == "durable":
        print(durable(contents, Path(work)))
    else:
        print({"copy": copy, "loopback": loopback}[what](contents))


if __name__ == "__main__":
    main()
