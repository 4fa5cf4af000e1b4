"""Watches what a family of processes takes: memory (PSS, summed), sockets; and what it leaves in a temporary folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(slots=True)
class Peaks:
    """The most that was seen at one moment."""

    pss_mb: float = 0.0
    rss_mb: float = 0.0
    sockets: int = 0
    processes: int = 0


class Watcher(threading.Thread):
    """Looks at *family* every *seconds* until `stop`."""

    def __init__(self, family: Callable[[], Iterable[psutil.Process]], seconds: float = 0.5) -> None:
        super().__init__(name="watcher")
        self._family, self._seconds = family, seconds
        self._enough = threading.Event()
        self.peaks = Peaks()

    def run(self) -> None:
        while not self._enough.wait(self._seconds):
            seen = look(self._family())
            for name in Peaks.__slots__:
                setattr(self.peaks, name, max(getattr(self.peaks, name), getattr(seen, name)))

    def stop(self) -> Peaks:
        self._enough.set()
        self.join()
        return self.peaks


def look(family: Iterable[psutil.Process]) -> Peaks:
    """What *family* takes now; who dies meanwhile takes nothing."""
    now = Peaks()
    for process in family:
        try:
            memory = process.memory_full_info()
            sockets = len(process.net_connections("inet"))
        except psutil.Error:
            continue
        now.pss_mb += memory.pss / 1e6
        now.rss_mb += memory.rss / 1e6
        now.sockets += sockets
        now.processes += 1
    return now


def list_leftovers(folder: Path) -> list[Path]:
    """The files that lie in a temporary folder."""
    return sorted(path for path in folder.rglob("*") if not path.is_dir())
