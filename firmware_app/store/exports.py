"""The export's side of clinical.db: which files a case has, under which secret they are renamed, who took them.

The audit is told of an export before anything leaves, and of its end.  An end that could not be written (a full disk, a
power cut) leaves the beginning open; whoever makes the box ready next closes it as one of which nobody knows the end.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.errors import StateUnusable
from firmware_app.store import audit, staging
from firmware_app.store.audit import Entry
from firmware_app.store.casebook import Casebook
from firmware_app.store.database import Database
from firmware_app.store.layout import StateDir
from firmware_app.store.references import References

log = logging.getLogger("lantern.export")

_PURPOSE: Final = "de-identification"
BEGUN: Final = "export.begun"
DONE: Final = "export.done"
STOPPED: Final = "export.stopped"
UNKNOWN: Final = "export.unknown"
_BOX: Final = "box"  # nobody's hand
_LOCK: Final = "-export"  # beside the database: held by every export that is under way


@dataclass(frozen=True, slots=True)
class Kept:
    """One image of a case: its reference, its file below the state directory, and whether that is a DICOM object."""

    reference: str
    file: str
    is_dicom: bool


class Exports:
    """What an export needs of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def images(self, case: str) -> tuple[Kept, ...]:
        """The images of *case* in the order in which they came; raises `CaseUnknown`."""
        Casebook(self._database).case(case)
        rows = self._database.connection.execute(
            "SELECT reference, file, header IS NOT NULL FROM instances WHERE case_reference = ? ORDER BY sequence",
            (case,),
        )
        return tuple(Kept(row[0], row[1], bool(row[2])) for row in rows)

    def key(self) -> bytes:
        """The secret behind the new identities; raises `ReferencesLost`.

        It follows from the secret of the references, so it is as durable, and a rescue restores it.
        """
        references = References(self._database.path.parent)
        references.load(self._database.connection)
        return references.subkey(_PURPOSE)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Until the block ends, what was begun and has no end yet may still get one.  Raises `StateUnusable`."""
        with ExitStack() as held:
            try:
                held.enter_context(self._locked(fcntl.LOCK_SH))
            except OSError as error:
                path = str(self._database.path.parent)
                raise StateUnusable(path=path, detail=error.strerror or str(error)) from None
            yield

    def begin(self, case: str, person: str, **counts: int) -> int:
        """An entry of the audit, durable on return: who stands at the console as *person*; returns its number."""
        with self._database.transaction() as connection:
            audit.append(connection, audit.CONSOLE, BEGUN, case, {"account": person, **counts})
            return int(connection.execute("SELECT MAX(sequence) FROM audit").fetchone()[0])

    def end(self, begun: int, action: str, case: str, person: str, **counts: int) -> None:
        """The entry that ends the one with the number *begun*, durable on return."""
        audit.Audit(self._database).record(audit.CONSOLE, action, case, account=person, begun=begun, **counts)

    def close_left(self) -> None:
        """Say of each export that died without a word that its end is unknown; not while one is under way.

        A disk too full for that leaves them as they are, for the next time.
        """
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                for entry in self._open():
                    account = str(entry.details.get("account", ""))
                    audit.Audit(self._database).record(_BOX, UNKNOWN, entry.case, account=account, begun=entry.sequence)
        except BlockingIOError:
            return
        except (OSError, sqlite3.Error) as error:
            log.warning("an export that was cut off cannot be closed in the audit: %s", str(error))

    def of_unknown_end(self) -> list[Entry]:
        """The beginnings, oldest first, of which nobody knows the end, closed or not."""
        told = self._entries()
        unknown = {one.details.get("begun") for one in told if one.action == UNKNOWN}
        with suppress(OSError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):  # else one is under way
            unknown |= {one.sequence for one in self._open()}
        return [one for one in told if one.action == BEGUN and one.sequence in unknown]

    def _open(self) -> list[Entry]:
        """Beginnings without an end.  An end that names no beginning, of an earlier version, ends its case's last."""
        found: dict[int, Entry] = {}
        for entry in self._entries():
            if entry.action == BEGUN:
                found[entry.sequence] = entry
            elif isinstance(begun := entry.details.get("begun"), int):
                found.pop(begun, None)
            else:
                same = [number for number, one in found.items() if one.case == entry.case]
                found.pop(max(same, default=0), None)
        return list(found.values())

    def _entries(self) -> list[Entry]:
        rows = self._database.connection.execute(
            "SELECT * FROM audit WHERE action IN (?, ?, ?, ?) ORDER BY sequence", (BEGUN, DONE, STOPPED, UNKNOWN)
        )
        found = []
        for row in rows:
            try:
                found.append(audit.entry_of(row))
            except ValueError:  # it was altered; `lantern audit verify` names it
                continue
        return found

    def _locked(self, how: int) -> AbstractContextManager[None]:
        return _locked(self._database.path, how)


def sweep_stages(state: StateDir) -> None:
    """Take away what killed exports left on the box's own disk, unless one is under way."""
    with suppress(OSError), _locked(state.clinical_db, fcntl.LOCK_EX | fcntl.LOCK_NB):
        staging.sweep(state)


@contextmanager
def _locked(database: Path, how: int) -> Iterator[None]:
    """Raises `OSError`, with `LOCK_NB` also where another process holds it otherwise."""
    path = database.with_name(database.name + _LOCK)
    # An export is root's at the console, in a folder that others write: no link is followed.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, 0o660)  # whatever the umask: the box's other users close what it leaves
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
