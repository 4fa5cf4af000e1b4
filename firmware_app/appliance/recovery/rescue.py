"""Detects a damaged database at start, sets it aside, rebuilds it and reports the loss.  Nothing is thrown away.

Everything is prepared in ``damaged/new/`` beside the database: hard links to the damaged files, the rebuilt database as
``fresh.db``, and the report.  The rename of this folder to its number commits the rescue.  After a kill before it, the
next start begins again; after a kill later, the next start puts the new file in place.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.appliance.recovery import preconditions, ring
from firmware_app.cases.references import References
from firmware_app.core import clock, disk_fault
from firmware_app.core.errors import RescueImpossible, StoreDamaged
from firmware_app.core.sqlite import clean_mark, damage, guard
from firmware_app.core.sqlite.salvage.wreck import DamagedCopy
from firmware_app.core.state_dir import StateDir, make_directory, sync_directory

log = logging.getLogger("lantern.store")

_KEYED_VERSION: Final = 4  # of clinical.db: before, references were drawn at random
_PATIENCE_S: Final = 20.0  # for the other processes to see the note and end
_REVISIONS_EACH: Final = 1000
_MOST_RESCUES: Final = 998
_COUNTER: Final = "-rescues"


@dataclass(slots=True)
class RescueReport:
    """What one rescue kept and what it lost.  `lost` counts the rows known to be missing; there may be more."""

    number: int
    database: str
    at: str
    cause: str
    kept: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    admitted: int = 0  # files that had lost their row
    again: int = 0  # images that are read again
    missing: int = 0  # rows whose file is gone
    unusable: int = 0  # files that are incomplete or unreadable
    cut: list[str] = field(default_factory=list)  # the unusable files to be renamed
    doubtful: int = 0  # commits of the log after the last one that SQLite uses
    repeated: int = 0  # cases sent to the hospital again, because the outbox may have lost them
    restored: int = 0  # entries of people and of the audit that came from a backup
    backup: str = ""  # the time of that backup

    def count_on_from(self, known: int) -> None:
        """Take a higher number than *known*, the number of an earlier rescue.

        Raises `RescueImpossible` when no number is left: none may be used twice.
        """
        self.number = max(self.number, known + 1)
        if self.number > _MOST_RESCUES:
            detail = f"it was rebuilt {known} times, and a revision's number must not be used twice"
            raise RescueImpossible(database=self.database, detail=detail)

    @property
    def revision_floor(self) -> int:
        """The least revision after this rescue.  No case has so many revisions between two rescues; the wire format
        allows a million."""
        return self.number * _REVISIONS_EACH

    @property
    def people(self) -> int:
        """Entries of people that are known to be lost."""
        return sum(
            self.lost.get(name, 0)
            for name in ("identities", "verdicts", "remarks", "reviews", "background", "audit", "users")
        )


Rebuild = Callable[[DamagedCopy, Path, StateDir, RescueReport], None]
"""Makes the database at the given path from what the damaged one still holds, and fills in the report."""


@contextmanager
def ended_by_damage(state: StateDir, databases: Iterable[Path] | None = None) -> Iterator[None]:
    """Around a process that has *databases* open: raises `StoreDamaged` instead of the errors caused by damage."""
    mine = tuple(databases or state.databases)
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not (damage.is_damage(error) and damage.noted_in(mine)):
            raise
    for database in mine:
        if damage.noted(database):
            raise StoreDamaged(database=database.name)


def mend(state: StateDir, database: Path, stop: threading.Event | None = None) -> None:
    """Check *database*, and rebuild it if it is damaged.  Does nothing while others have it open undamaged.

    Raises `StoreDamaged` when others keep a damaged one open (or *stop* is set), `StoreTooNew`, a `StoreError` (see
    `fault.named`) when it cannot be checked, and `RescueNeedsRoom`, `ReferencesLost` and `RescueImpossible` when it
    cannot be rebuilt.
    """
    try:
        preconditions.check_version(state, database)
        noted = damage.noted(database)
        with guard.alone(database, _PATIENCE_S if noted else 0.0, stop) as alone:
            if alone:
                _mend_alone(state, database)
            elif noted:
                raise StoreDamaged(database=database.name)
    except guard.NoLocks:
        if damage.noted(database):
            raise RescueImpossible(database=database.name, detail="the file system of the state has no locks") from None
    except sqlite3.Error as error:
        raise disk_fault.named(database.parent, error) from None
    except OSError as error:
        raise disk_fault.named(database.parent, error) from None


def _mend_alone(state: StateDir, database: Path) -> None:
    _put_in_place(database)
    if not damage.noted(database) and clean_mark.is_clean(database):
        return
    cause = _cause(state, database)
    if cause is None:
        damage.forget(database)
        return
    preconditions.check_version(state, database, rebuilding=True)
    damage.note(database)
    try:
        preconditions.check_room(state, database)
        if database == state.clinical_db:
            unnamed = 0 < clean_mark.version(database) < _KEYED_VERSION or not any(state.images.glob("*/*"))
            backups = (copy.folder / database.name for copy in ring.copies(state))
            References(database.parent).recover(database, unnamed, backups)
        report = _rescue(state, database, cause, _rebuild(state, database))
    except (OSError, sqlite3.Error) as error:
        raise RescueImpossible(database=database.name, detail=str(error)) from None
    log.warning(
        "%s was rebuilt: %d images taken in again, %d readings made again, at least %d entries of people lost",
        database.name,
        report.admitted,
        report.again,
        report.people,
    )


def reports(state: StateDir) -> Iterator[tuple[Path, RescueReport]]:
    """Every readable rescue report of this box with the folder of its damaged files, oldest first."""
    for database in state.databases:
        for number in _numbers(database):
            folder = database.parent / "damaged" / str(number)
            try:
                report = RescueReport(**json.loads((folder / "report.json").read_text("utf-8")))
            except (OSError, ValueError, TypeError):  # not readable by this user, or of a newer version
                continue
            yield folder, report


def _cause(state: StateDir, database: Path) -> str | None:
    if not database.exists() or database.stat().st_size == 0:
        # As before the first start, unless images or a backup show that there was a database.
        had_images = database == state.clinical_db and any(state.images.glob("*/*"))
        was_there = had_images or any(database.name in copy.files for copy in ring.copies(state))
        return "the file is missing or empty" if was_there else None
    return damage.find(database) or damage.find_lost_images(state, database)


def _rebuild(state: StateDir, database: Path) -> Rebuild:
    """The function that rebuilds *database*; imported only when it is needed."""
    if database == state.clinical_db:
        from firmware_app.appliance.recovery.rebuild_clinical import rebuild_clinical

        return rebuild_clinical
    from firmware_app.appliance.recovery import rebuild

    return rebuild.rebuild_exchange if database == state.exchange_db else rebuild.rebuild_accounts


def _rescue(state: StateDir, database: Path, cause: str, rebuild: Rebuild) -> RescueReport:
    folder = database.parent / "damaged"
    new = folder / "new"
    shutil.rmtree(new, ignore_errors=True)
    state.release_ballast()  # the copies need room
    make_directory(folder)
    make_directory(new)
    sync_directory(database.parent)
    for name in (database.name, f"{database.name}-wal"):
        if (database.parent / name).exists():
            os.link(database.parent / name, new / name)
    report = RescueReport(1, database.name, _now(), cause)
    report.count_on_from(max((_counted(database), *_numbers(database))))
    rebuild(DamagedCopy(database, new / "copy.db"), new / "fresh.db", state, report)
    for left in (*new.glob("copy.db*"), *new.glob("fresh.db-*")):
        left.unlink()
    _write(new / "report.json", json.dumps(asdict(report)))
    _sync_file(new / "fresh.db")
    sync_directory(new)
    _count(database, report.number)
    new.rename(folder / str(report.number))
    sync_directory(folder)
    _put_in_place(database)
    return report


def _put_in_place(database: Path) -> None:
    """Finish a committed rescue: the old log is removed first, because it must never be used with the new file."""
    for number in _numbers(database):
        fresh = database.parent / "damaged" / str(number) / "fresh.db"
        if fresh.exists():
            _mark_cut(database.parent.parent, fresh.with_name("report.json"))
            for suffix in ("-wal", "-shm"):
                database.with_name(database.name + suffix).unlink(missing_ok=True)
            sync_directory(database.parent)
            fresh.replace(database)
            sync_directory(database.parent)
            sync_directory(fresh.parent)
            damage.forget(database)


def _mark_cut(root: Path, report: Path) -> None:
    """Rename the images that are incomplete, so that the same image can be sent again."""
    for file in json.loads(report.read_text("utf-8")).get("cut", ()):
        try:
            (root / file).rename(root / (file + damage.BROKEN))
        except FileNotFoundError:  # already done before a kill
            continue
        except OSError as error:
            log.warning("a damaged image cannot be renamed: %s", error.strerror)


def _counted(database: Path) -> int:
    """The highest number so far, kept in a file of its own in case somebody empties damaged/ to free space."""
    try:
        return int(database.with_name(database.name + _COUNTER).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _count(database: Path, number: int) -> None:
    counter = database.with_name(database.name + _COUNTER)
    fresh = counter.with_name(counter.name + ".new")
    _write(fresh, str(number))
    fresh.replace(counter)
    sync_directory(counter.parent)


def _numbers(database: Path) -> list[int]:
    try:
        names = os.listdir(database.parent / "damaged")
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def _write(path: Path, text: str) -> None:
    """Make *path*, of the box's mode and durable."""
    path.write_text(text, "utf-8")
    path.chmod(0o660)
    _sync_file(path)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return clock.text("seconds")
