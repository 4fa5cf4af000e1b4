"""The sender process: makes the results of finished cases and sends them to the clinic's archives.

It also asks the hospital's worklist, where there is one.

It has the lowest priority of all, and nobody waits for it: whatever an archive does, no reading comes later for it.
Objects are made in a child process (`results.rendering`), and each archive has a thread.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import notify, process
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.results.outgoing import OutgoingResults

log = logging.getLogger("lantern.sender")

_NICE: Final = 10
_LOOK_S: Final = 0.25
_MAKING_LOOK_S: Final = 0.5
_TIDY_S: Final = 5.0
_HANGS_S: Final = 900.0
_STOP_S: Final = 5.0


def run(config: Config, ready: Callable[[Mapping[str, str | int | None]], None], stop: threading.Event) -> None:
    """Body of the sender process, until *stop* or until one of its threads has ended."""
    with suppress(PermissionError):  # under systemd the unit says so
        os.nice(_NICE)
    with process.without_garbage_collection():
        from firmware_app.cases.worklist_import import WorklistImporter, find_worklist_peer
        from firmware_app.core.process import WorkerThread
        from firmware_app.dicom.peers import list_archives
        from firmware_app.results.archive_workers import ArchiveSender, CommitmentResponder

    state = StateDir(config.state.dir)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    outgoing = OutgoingResults(config, state, clinical)
    outgoing.begin()
    ending = threading.Event()
    lines = [
        ArchiveSender(peer, clinical.database, state.outgoing, ending)
        for peer in list_archives(config)
        if peer.settings.send
    ]
    workers: list[WorkerThread] = [*lines, CommitmentResponder(config, clinical.database, ending)]
    if (hospital := find_worklist_peer(config)) is not None:
        workers.append(WorklistImporter(config, hospital, clinical.database, ending))
    context = threading.Thread(target=_make_results, args=(outgoing, clinical, ending), name="results", daemon=True)
    for worker in workers:
        worker.start()
    context.start()
    notify.depend_on(lambda: all(time.monotonic() - line.turned < _HANGS_S for line in lines))
    ready({"archives": len(lines)})
    try:
        while not stop.wait(_LOOK_S) and context.is_alive() and all(worker.is_alive for worker in workers):
            pass
    finally:
        ending.set()
        context.join(_STOP_S)
        for worker in workers:
            worker.join(_STOP_S)
        clinical.database.close()


def _make_results(outgoing: OutgoingResults, clinical: ClinicalDatabase, ending: threading.Event) -> None:
    """Runs in a thread: makes what is due, and removes the files of what has arrived."""
    tidied, seen = 0.0, None
    try:
        while not ending.is_set():
            while not ending.is_set() and outgoing.step():
                pass
            mark = clinical.database.read_change_mark()
            if mark != seen and time.monotonic() - tidied > _TIDY_S:
                outgoing.remove_delivered_files()
                seen, tidied = mark, time.monotonic()
            ending.wait(_MAKING_LOOK_S)
    except sqlite3.Error as error:
        log.error("what is due cannot be read or written: %s", getattr(error, "sqlite_errorname", "error"))
    finally:
        clinical.database.close_thread()
