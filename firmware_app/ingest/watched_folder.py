"""The watched folder: files that no longer change are copied in through the door, and never modified.

A file is ready when its size and modification time are the same at two polls.  Files taken are remembered in
``run/folder_taken.json``, so that a restart does not journal the whole folder again.  Losing that file is harmless: the
door recognises what it holds.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_app.core.errors import StoreError
from firmware_app.dicom.errors import IntakeError, NotKept, SpaceShort
from firmware_app.ingest.intake import ImageIntake

log = logging.getLogger("lantern.folder")

POLL_SECONDS: Final = 2.0
_DEPTH: Final = 16

_Mark = tuple[int, int]  # size, modification time in ns


class WatchedFolder:
    """Polls one folder in its own thread, because network shares do not notify of changes."""

    def __init__(self, folder: Path, door: ImageIntake, poll_seconds: float = POLL_SECONDS) -> None:
        self._folder = folder
        self._door = door
        self._poll_seconds = poll_seconds
        self._memory = door.state.run / "folder_taken.json"
        self._taken = self._load_taken()
        self._seen: dict[str, _Mark] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watched-folder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.poll()
            self._stop.wait(self._poll_seconds)
        self._door.clinical.database.close_thread()

    def poll(self) -> None:
        """Poll once: take the files that are ready, remember those that still change."""
        marks = dict(_list_files(self._folder))
        settled = [
            path for path, mark in marks.items() if self._seen.get(path) == mark and self._taken.get(path) != mark
        ]
        self._seen = marks
        if settled:
            self._import_files(settled, marks)
        gone = self._taken.keys() - marks.keys()
        if gone and self._folder.is_dir():  # nothing is forgotten while the folder is unmounted
            for path in gone:
                del self._taken[path]
        if settled or gone:
            self._save_taken()

    def _import_files(self, settled: list[str], marks: dict[str, _Mark]) -> None:
        clinical = self._door.clinical
        try:
            self._door.check_space()
        except SpaceShort as error:
            log.warning("watched folder waits: %s", error.code)
            return
        try:
            association = clinical.open_association("folder")
        except (sqlite3.Error, StoreError) as error:
            log.error("watched folder waits: %s", getattr(error, "sqlite_errorname", "error"))
            return
        for path in settled:
            if self._stop.is_set():
                break
            try:
                self._door.accept_file(Path(path), association=association)
            except (SpaceShort, NotKept) as error:
                log.warning("watched folder waits: %s", error.code)
                break  # a fault of the box, not of the file: tried again at the next poll
            except IntakeError as error:
                log.info("watched folder: one file refused: %s", error.code)
            self._taken[path] = marks[path]
        try:
            clinical.close_association(association)
        except (sqlite3.Error, StoreError) as error:
            log.error("watched folder: %s", getattr(error, "sqlite_errorname", "error"))

    def _load_taken(self) -> dict[str, _Mark]:
        try:
            kept = json.loads(self._memory.read_text("utf-8"))
            return {str(path): (int(size), int(time)) for path, (size, time) in kept.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _save_taken(self) -> None:
        fresh = self._memory.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(self._taken), "utf-8")
            fresh.replace(self._memory)
        except OSError as error:
            log.warning("watched folder: what was taken is not remembered: %s", error.strerror)


def _list_files(folder: Path, depth: int = 0) -> Iterator[tuple[str, _Mark]]:
    """Every file below *folder* with its mark, without hidden ones.

    Links, pipes and devices are included and not followed: the door refuses each of them.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth < _DEPTH:
                        yield from _list_files(Path(entry.path), depth + 1)
                else:
                    status = entry.stat(follow_symlinks=False)
                    yield entry.path, (status.st_size, status.st_mtime_ns)
    except OSError:
        return  # gone or unreadable since the listing; the next poll sees its new state
