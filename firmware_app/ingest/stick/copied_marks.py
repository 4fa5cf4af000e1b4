"""Remembers what was copied from sticks, so that a stick that comes again is not read in full.

A file is recognised by a mark: a hash over its name, size, time, and its first and last 64 kB.  Name, size and time
alone are not enough: a device without a clock writes IM000001 with the same size and date for every patient, while the
first 64 kB hold the SOP Instance UID.  The marks in ``usb/marks`` are hashes and identify nobody.  Losing that file is
harmless, because the door recognises what it holds; a mark whose image has left the box is ignored.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firmware_app.ingest.given_file import read_at
from firmware_app.ingest.stick.search import StickFile

log = logging.getLogger("lantern.stick")

END_BYTES: Final = 65536
MOST_MARKS: Final = 200_000
_MARK: Final = 32  # hexadecimal digits of a mark: 128 bits


def mark(file: StickFile, descriptor: int, size: int, head: bytes) -> str:
    """The mark of an open file whose first `END_BYTES` are *head*; raises `FileUnreadable`."""
    tail = read_at(descriptor, END_BYTES, max(END_BYTES, size - END_BYTES))
    name = "/".join(file.parts).encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(b"%d %d %d " % (len(name), size, file.mtime_ns) + name)
    digest.update(head)
    digest.update(tail)
    return digest.hexdigest()[:_MARK]


class Memory:
    """The marks of one state directory: a line per file, appended when the file was accepted."""

    def __init__(self, path: Path, holds: Callable[[str], bool], most: int = MOST_MARKS) -> None:
        """*holds* says whether the box still has an instance."""
        self._path, self._holds = path, holds
        self._known: dict[str, str] = {}
        self._recall(most)

    def known(self, mark: str) -> str | None:
        """The instance of the file with this *mark*, if the box still has it."""
        instance = self._known.get(mark)
        return instance if instance is not None and self._holds(instance) else None

    def keep(self, mark: str, instance: str) -> None:
        """Remember a file; called only after the door has returned."""
        self._known[mark] = instance
        try:
            with self._path.open("a", encoding="ascii") as handle:
                handle.write(f"{mark} {instance}\n")
        except OSError as error:
            log.warning("what was copied is not remembered: %s", error.strerror)

    def _recall(self, most: int) -> None:
        """Read the newest *most* lines, and shorten a file that has grown beyond twice that."""
        try:
            with self._path.open(encoding="ascii", errors="replace") as handle:
                lines = deque((line.split() for line in handle), maxlen=most)
                was = handle.tell()
        except OSError:
            return
        self._known = {words[0]: words[1] for words in lines if len(words) == 2 and len(words[0]) == _MARK}
        if was > 2 * most * (_MARK + 24):
            self._shorten()

    def _shorten(self) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text("".join(f"{mark} {instance}\n" for mark, instance in self._known.items()), "ascii")
            os.replace(fresh, self._path)
        except OSError as error:
            log.warning("the marks of sticks are not shortened: %s", error.strerror)
