"""The last backup and retention, for `lantern doctor`, and what `/healthz` says of the box's maintenance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from firmware_app.appliance import backup_ring
from firmware_app.appliance.backup import NAME as BACKUP
from firmware_app.appliance.checks.check import Check, Result, Section
from firmware_app.appliance.retention import NAME as RETENTION
from firmware_app.appliance.retention import OFF, STUCK
from firmware_app.core import clock, run_status
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

SELFTEST: Final = "selftest"
ORDER: Final = 40
NAMES: Final = {"backup": N_("Backup"), "retention": N_("Clearing of old images")}
HANDBOOK: Final = Section(N_("Backup"), ("doctor.backup_*", "backup.*", "care.backup_*"))
BACKUP_OK: Final = register(
    "doctor.backup_ok", N_("The newest backup of the databases is of {date}; {copies} are kept in {path}.")
)
BACKUP_NONE: Final = register(
    "doctor.backup_none",
    N_(
        "There is no backup of the databases. The box makes one every hour; look whether lantern-backup.timer is "
        "switched on."
    ),
)
BACKUP_OLD: Final = register(
    "doctor.backup_old",
    N_(
        "The newest backup of the databases is of {date}. The box makes one every hour; look whether "
        "lantern-backup.timer is switched on, and whether the disk for backups is there."
    ),
)
_BACKUP_DAYS = 4


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    yield from check_backup(config, state)
    yield from check_retention(config, state)


def check_backup(config: Config, state: StateDir) -> Iterator[Check]:
    """The newest backup, and why the last one failed."""
    record = run_status.read_check_result(state, BACKUP)
    if record.get("result") == "fail" and (reason := run_status.reason_from_object(record)) is not None:
        yield Check(BACKUP, "fail", reason)
    copies = backup_ring.list_copies(state)
    stamp = parse_record_stamp({"at": copies[0].at}) if copies else None
    if stamp is None:
        if state.clinical_db.exists():
            yield Check(BACKUP, "warn", Reason(BACKUP_NONE))
    elif is_older(stamp, _BACKUP_DAYS):
        yield Check(BACKUP, "warn", Reason(BACKUP_OLD, {"date": stamp.day}))
    else:
        about: dict[str, Detail] = {"date": stamp.day, "copies": len(copies), "path": str(copies[0].folder.parent)}
        yield Check(BACKUP, "ok", Reason(BACKUP_OK, about))


def check_retention(config: Config, state: StateDir) -> Iterator[Check]:
    """What retention last deleted, or why it could not."""
    record = run_status.read_check_result(state, RETENTION)
    reason = run_status.reason_from_object(record)
    if not config.retention.room_mb and not config.retention.days:
        yield Check(RETENTION, "ok", Reason(OFF))
    elif reason is not None:
        yield Check(RETENTION, parse_result(record), reason)


def list_troubles(state: StateDir) -> list[str]:
    """Codes for `/healthz`: ``selftest.PART`` for each part that failed, ``backup.failed``, ``retention.stuck``.

    The processes are left out: `/healthz` checks them itself.
    """
    failed = run_status.read_check_result(state, SELFTEST).get("failed")
    names = [name for name in failed if _is_code(name)] if isinstance(failed, list) else []
    codes = [f"{SELFTEST}.{name}" for name in names if name not in run_status.ALL_PROCESSES]
    if run_status.read_check_result(state, BACKUP).get("result") == "fail":
        codes.append("backup.failed")
    cleared = run_status.read_check_result(state, RETENTION)
    if cleared.get("code") == STUCK or cleared.get("result") == "fail":
        codes.append("retention.stuck")
    return codes


def parse_result(record: dict[str, Any]) -> Result:
    return {"ok": "ok", "warn": "warn"}.get(str(record.get("result")), "fail")  # type: ignore[return-value]


def _is_code(name: object) -> bool:
    return isinstance(name, str) and name.isascii() and name.isalpha()


def parse_record_time(record: dict[str, Any]) -> datetime | None:
    """The time in a saved record."""
    stamp = parse_record_stamp(record)
    return stamp.at if stamp is not None else None


def parse_record_stamp(record: dict[str, Any]) -> clock.Stamp | None:
    try:
        return clock.parse_stamp(str(record["at"]))
    except (KeyError, ValueError):
        return None


def is_older(stamp: clock.Stamp, days: int) -> bool:
    return clock.now() - stamp.at > timedelta(days=days)
