"""The supervisor checks each database, repairs or migrates it, and tries again where that fails.

Only the processes that need a database wait for it: without accounts.db nobody can log in, and without exchange.db
nothing is sent, but images are still taken in.  The reason is in the log, and in ``run/mending.json`` for `lantern
doctor`.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.appliance import rescue
from firmware_app.cases.accounts import Accounts
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.exports import Exports
from firmware_app.core import database_health, disk, locks
from firmware_app.core.errors import DiskFull, LanternError, StoreVersionError
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange

log = logging.getLogger("lantern.service")

_PAUSE_FIRST_S: Final = 1.0
_PAUSE_MOST_S: Final = 60.0
_FILE: Final = "mending.json"


def list_needed_databases(state: StateDir, process: str) -> tuple[Path, ...]:
    """The databases that *process* opens; the uplink has no access to the others."""
    return {
        "gateway": (state.clinical_db,),
        "reader": (state.clinical_db, state.exchange_db),
        "viewer": (state.clinical_db, state.accounts_db),
        "uplink": (state.exchange_db,),
        "sender": (state.clinical_db,),
    }[process]


def may_rebuild(state: StateDir, database: Path) -> bool:
    """Whether this process may open all files that are needed to rebuild *database*.

    Under systemd the viewer cannot see images, the reader cannot change them, and the uplink cannot see backups.  So
    lantern-setup (at boot) or the gateway rebuilds clinical.db, the reader exchange.db; meanwhile the others restart.
    """
    if database == state.clinical_db and not os.access(state.images, os.R_OK | os.W_OK | os.X_OK):
        return False
    return not state.backup.exists() or os.access(state.backup, os.R_OK | os.X_OK)


def prepare_database(state: StateDir, database: Path, stop: threading.Event | None = None) -> None:
    """Mend, make or migrate *database*, and close it, because a database that is open cannot be rebuilt.

    Raises what `rescue.rescue_database` and `create` raise.
    """
    rescue.rescue_database(state, database, stop)
    one: ClinicalDatabase | Exchange | Accounts
    if database == state.clinical_db:
        one = ClinicalDatabase(database)
    else:
        one = Exchange(database) if database == state.exchange_db else Accounts(database)
    try:
        one.create()
        if isinstance(one, ClinicalDatabase):
            Exports(one.database).close_abandoned()
    except sqlite3.Error as error:
        raise disk.classify_disk_error(database.parent, error) from None
    finally:
        one.database.close()


def mark_clean(databases: Iterable[Path]) -> None:
    """Mark each database that is no longer open as cleanly closed."""
    for database in databases:
        if database.exists() and not database_health.has_damage_note(database):
            with suppress(locks.NoLocks, LanternError), locks.lock_exclusively(database, 0.0) as alone:
                if alone:
                    database_health.write_clean_mark(database)


def list_troubles(state: StateDir) -> list[Reason]:
    """Why the running box could not make its databases ready, by its latest report."""
    try:
        written = json.loads((state.run / _FILE).read_text("utf-8"))
        return [Reason(str(code), dict(details)) for code, details in written]
    except (OSError, ValueError, TypeError):
        return []


@dataclass(slots=True)
class _FailedRepair:
    reason: Reason
    pause: float
    due: float


@dataclass(slots=True)
class DatabaseRepair:
    """The databases that are not ready yet, and when each is tried again."""

    state: StateDir
    stop: threading.Event
    _troubles: dict[Path, _FailedRepair] = field(default_factory=dict)

    def repair_all(self) -> None:
        """Mend every database; raises only `StoreVersionError`, which neither time nor disk space can solve."""
        (self.state.run / _FILE).unlink(missing_ok=True)
        for database in self.state.databases:
            self._try(database)

    def may_run(self, process: str) -> bool:
        """Whether every database that *process* needs is ready."""
        return not any(
            database in self._troubles or database_health.has_damage_note(database)
            for database in self._list_needed(process)
        )

    def list_due(self) -> list[Path]:
        """The databases to be mended now; the processes that need them must have ended before `repair`."""
        now = time.monotonic()
        noted = {database for database in self.state.databases if database_health.has_damage_note(database)}
        return [
            database
            for database in self.state.databases
            if (database in noted or database in self._troubles)
            and (database not in self._troubles or now >= self._troubles[database].due)
        ]

    def repair(self, databases: Iterable[Path]) -> None:
        for database in databases:
            if not self.stop.is_set():
                self._try(database)

    def _list_needed(self, process: str) -> tuple[Path, ...]:
        return list_needed_databases(self.state, process)

    def _try(self, database: Path) -> None:
        before = self._troubles.get(database)
        try:
            prepare_database(self.state, database, self.stop)
        except StoreVersionError:
            raise
        except LanternError as error:
            if isinstance(error, DiskFull):
                self.state.release_ballast()  # for the next time
            pause = min(before.pause * 2, _PAUSE_MOST_S) if before else _PAUSE_FIRST_S
            self._troubles[database] = _FailedRepair(Reason.from_error(error), pause, time.monotonic() + pause)
            if not self.stop.is_set():
                log.error("%s (%s; tried again in %.0f s)", error, database.name, pause)
        else:
            if before is not None:
                log.warning("%s is ready again", database.name)
            self._troubles.pop(database, None)
        if before is not None or self._troubles:
            self._write_report()

    def _write_report(self) -> None:
        written = [[trouble.reason.code, trouble.reason.details] for trouble in self._troubles.values()]
        with suppress(OSError):  # on a full disk the log must be enough
            (self.state.run / _FILE).write_text(json.dumps(written), "utf-8")
