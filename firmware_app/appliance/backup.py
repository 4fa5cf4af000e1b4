"""`python -m firmware_app.appliance.backup`: one more copy of the databases into the ring, when one is due.

A damaged database is replaced by its newest whole copy (`appliance.rescue`). lantern-backup.timer runs this every hour;
`--now` does not wait until a copy is due.
With `[backup] locked` the copy is also encrypted for a replacement box, with images, settings and packs
(`appliance.locked_backup`).
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firmware_app.appliance import backup_ring, locked_backup
from firmware_app.appliance.errors import BACKUP_DISK_ABSENT, LOCKED_DISK_ABSENT
from firmware_app.appliance.locked_folder import LockedFolder
from firmware_app.core import clock, run_status
from firmware_app.core.errors import STORE_UNREADABLE, LanternError
from firmware_app.core.language import N_, printable_language, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir

NAME: Final = "backup"
"""Under which the last run is kept (`remembered`)."""
DONE: Final = register(
    "backup.done",
    N_("Backup {number} of the databases is made and checked: {megabytes} MB in {path}; the newest {copies} are kept."),
)
NOT_DUE: Final = register(
    "backup.not_due", N_("The newest backup of the databases is of {date}; the next one is due after {hours} hours.")
)
NOTHING: Final = register(
    "backup.nothing",
    N_("There is no database yet, so there is nothing to back up. It is made when the box first runs."),
)
_OTHER_DISK_RESERVE_MB: Final = 16
_LOCKED_HOURS: Final = 20.0  # each day one, also where the box is switched on a little earlier than the day before
_EARLY_SHARE: Final = 0.9  # of the pause: the timer counts from the start of a run, the copy from its end


def run(config: Config, *, now: bool = False) -> Reason:
    """Make a copy when one is due, or *now*. Returns the result, which is also kept for the doctor.

    Raises a `CareError` or a `StoreError`, which is kept too.
    """
    state = StateDir(config.state.dir)
    state.prepare()
    try:
        reason = _run(config, state, now)
    except LanternError as error:
        _save_result(state, "fail", Reason.from_error(error))
        raise
    except sqlite3.Error as error:
        failure = STORE_UNREADABLE(detail=str(error))
        _save_result(state, "fail", Reason.from_error(failure))
        raise failure from None
    if reason.code != NOT_DUE or run_status.read_check_result(state, NAME).get("result") == "fail":
        _save_result(state, "ok", reason)
    return reason


def _run(config: Config, state: StateDir, now: bool) -> Reason:
    reason = _add_copy_if_due(config, state, now)
    if config.backup.locked is not None and (copies := backup_ring.list_copies(state)):
        _lock_newest_copy(config.backup.locked, config, state, copies[0], now)
    return reason


def _lock_newest_copy(folder: Path, config: Config, state: StateDir, copy: backup_ring.BackupCopy, now: bool) -> None:
    """Lock the newest copy and the new files into *folder* once a day, for a replacement box; a copy that is there
    stays."""
    if not (_is_other_disk(folder, state) and _is_mounted(folder)):
        raise LOCKED_DISK_ABSENT(path=str(folder))
    if not locked_backup.is_locked(folder, copy) and (now or not LockedFolder(folder).is_newer_than(_LOCKED_HOURS)):
        locked_backup.make_locked_backup(state, folder, copy, config.backup.locked_keep, config)


def _add_copy_if_due(config: Config, state: StateDir, now: bool) -> Reason:
    settings = config.backup
    folder = settings.dir or state.backup
    if settings.dir is not None and not _is_other_disk(settings.dir, state):
        raise BACKUP_DISK_ABSENT(path=str(settings.dir))
    if not any(path.exists() for path in state.databases):
        return Reason(NOTHING)
    known = backup_ring.list_copies(state)
    mine = backup_ring.BackupRing(folder).read_copies()
    if mine and not now and (age := age_hours(mine[0])) is not None and age < _EARLY_SHARE * settings.every_hours:
        date = clock.parse_stamp(mine[0].at).day
        return Reason(NOT_DUE, {"date": date, "hours": round(settings.every_hours, 1)})
    reserve_mb = config.retention.high_water_free_mb if settings.dir is None else _OTHER_DISK_RESERVE_MB
    numbers = [copy.number for copy in known]
    if settings.locked is not None:  # a replacement counts on from the box before it
        numbers.append(LockedFolder(settings.locked).find_newest_number())
    made = backup_ring.BackupRing(folder).make(
        state.databases, settings.keep, reserve_mb * 1_000_000, max(numbers, default=0)
    )
    backup_ring.set_ring_folder(state, folder)
    size = sum((made.folder / name).stat().st_size for name in made.files)
    kept = len(backup_ring.BackupRing(folder).read_copies())
    return Reason(DONE, {"number": made.number, "megabytes": round(size / 1e6, 1), "path": str(folder), "copies": kept})


def age_hours(copy: backup_ring.BackupCopy) -> float | None:
    """Hours since *copy* was made, at least; None when the clock has been set back before it."""
    try:
        hours = (clock.now() - clock.parse_stamp(copy.at).at).total_seconds() / 3600
    except ValueError:
        return None
    return hours if hours >= 0 else None


def _is_other_disk(folder: Path, state: StateDir) -> bool:
    """Whether *folder* lies on another file system than the state: an empty mount point does not."""
    try:
        return folder.stat().st_dev != state.root.stat().st_dev
    except OSError:
        return False


def _is_mounted(folder: Path) -> bool:
    """Whether *folder* lies on a file system that is mounted somewhere below /: one that is gone shows the folder
    below it, on the box's own disk."""
    try:
        return folder.stat().st_dev != Path("/").stat().st_dev
    except OSError:
        return False


def _save_result(state: StateDir, result: str, reason: Reason) -> None:
    try:
        run_status.write_check_result(
            state, NAME, {"at": clock.stamp_text("seconds"), "result": result, **run_status.reason_to_object(reason)}
        )
    except OSError as error:
        print(error.strerror, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: one sentence; exit status 1 when no copy could be made."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_app.appliance.backup", description="Copy the databases into the ring of backups."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--now", action="store_true", help="also when none is due yet")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        clock.start_clock(StateDir(config.state.dir), "care")
        reason = run(config, now=options.now)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        text = reason.text(config.box.language)
        print(json.dumps({"code": reason.code, "text": text, **reason.details}, ensure_ascii=False))
    else:
        print(reason.text(printable_language(config.box.language)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
