"""Checks of the box's maintenance, for `lantern doctor` and `/healthz`: the last self-test, backup and retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from firmware_app.appliance import backup_ring
from firmware_app.appliance.backup import NAME as BACKUP
from firmware_app.appliance.checks import hardware
from firmware_app.appliance.checks.check import Check, Result
from firmware_app.appliance.retention import NAME as RETENTION
from firmware_app.appliance.retention import OFF, STUCK
from firmware_app.core import clock, run_status
from firmware_app.core.errors import DISK_READ_ONLY, DiskFull
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

SELFTEST: Final = "selftest"
TESTED_OK: Final = register("doctor.selftest_ok", N_("The self-test of {date} found nothing that does not work."))
TESTED_BAD: Final = register(
    "doctor.selftest_bad",
    N_("Faults that the self-test of {date} found, named below: {faults}. When all is mended, run “lantern selftest”."),
)
TESTED_SINCE: Final = register(
    "doctor.selftest_since",
    N_(
        "The self-test of {date} found faults only in things that were checked again just now; their own lines say how "
        "they are."
    ),
)
UNTESTED: Final = register(
    "doctor.selftest_none", N_("This box has never run its self-test. Run “lantern selftest”; it takes a minute.")
)
TESTED_LONG_AGO: Final = register(
    "doctor.selftest_old",
    N_(
        "The last self-test is of {date}, though the box tests itself every night. Run “lantern selftest”, and look "
        "whether lantern-selftest.timer is switched on."
    ),
)
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
_TEST_DAYS, _BACKUP_DAYS = 3, 4
_CHECKED_NOW: Final = frozenset({"clock", "temperature", "memory", *run_status.ALL_PROCESSES})
"""Names of checks that the doctor runs itself, so it shows no older result of them."""
_CHECKED_NOW_CODES: Final = frozenset({hardware.DISK_LOW, hardware.INODES_LOW, DiskFull.code, DISK_READ_ONLY.code})


def check_hardware(config: Config, state: StateDir) -> Iterator[Check]:
    """Free inodes, temperature and memory as they are now."""
    if state.root.is_dir():
        yield from hardware.check_inodes(state.root)
    yield from hardware.check_temperature()
    yield from hardware.check_memory()


def check_selftest(config: Config, state: StateDir) -> Iterator[Check]:
    """The last self-test, with those of its faults that the doctor does not check itself, and their time."""
    record = run_status.read_check_result(state, SELFTEST)
    stamp = _stamp(record)
    if stamp is None:
        yield Check(SELFTEST, "warn", Reason(UNTESTED))
        return
    failed = [one for one in _checks(record) if one.result == "fail"]
    faults = [one for one in failed if not _is_checked_now(one)]
    if faults:
        yield Check(SELFTEST, "fail", Reason(TESTED_BAD, {"date": stamp.day, "faults": len(faults)}))
        yield from (replace(one, at=stamp.text("seconds")) for one in faults)
    elif _is_older(stamp, _TEST_DAYS):
        yield Check(SELFTEST, "warn", Reason(TESTED_LONG_AGO, {"date": stamp.day}))
    elif failed:
        yield Check(SELFTEST, "ok", Reason(TESTED_SINCE, {"date": stamp.day}))
    else:
        yield Check(SELFTEST, "ok", Reason(TESTED_OK, {"date": stamp.day}))


def check_backup(config: Config, state: StateDir) -> Iterator[Check]:
    """The newest backup, and why the last one failed."""
    record = run_status.read_check_result(state, BACKUP)
    if record.get("result") == "fail" and (reason := run_status.reason_from_object(record)) is not None:
        yield Check(BACKUP, "fail", reason)
    copies = backup_ring.list_copies(state)
    stamp = _stamp({"at": copies[0].at}) if copies else None
    if stamp is None:
        if state.clinical_db.exists():
            yield Check(BACKUP, "warn", Reason(BACKUP_NONE))
    elif _is_older(stamp, _BACKUP_DAYS):
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
        yield Check(RETENTION, _result(record), reason)


def list_troubles(state: StateDir) -> list[str]:
    """Codes for `/healthz`: ``selftest.PART`` for each part that failed, ``backup.failed``, ``retention.stuck``.

    The processes are left out: `/healthz` checks them itself.
    """
    failed = run_status.read_check_result(state, SELFTEST).get("failed")
    names = [name for name in failed if _is_word(name)] if isinstance(failed, list) else []
    codes = [f"{SELFTEST}.{name}" for name in names if name not in run_status.ALL_PROCESSES]
    if run_status.read_check_result(state, BACKUP).get("result") == "fail":
        codes.append("backup.failed")
    cleared = run_status.read_check_result(state, RETENTION)
    if cleared.get("code") == STUCK or cleared.get("result") == "fail":
        codes.append("retention.stuck")
    return codes


def _checks(record: dict[str, Any]) -> Iterator[Check]:
    listed = record.get("checks")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and (reason := run_status.reason_from_object(one)) is not None:
            yield Check(str(one.get("check")), _result(one), reason)


def _is_checked_now(check: Check) -> bool:
    return check.name in _CHECKED_NOW or check.reason.code in _CHECKED_NOW_CODES


def _result(record: dict[str, Any]) -> Result:
    return {"ok": "ok", "warn": "warn"}.get(str(record.get("result")), "fail")  # type: ignore[return-value]


def _is_word(name: object) -> bool:
    return isinstance(name, str) and name.isascii() and name.isalpha()


def parse_record_time(record: dict[str, Any]) -> datetime | None:
    """The time in a saved record."""
    stamp = _stamp(record)
    return stamp.at if stamp is not None else None


def _stamp(record: dict[str, Any]) -> clock.Stamp | None:
    try:
        return clock.parse_stamp(str(record["at"]))
    except (KeyError, ValueError):
        return None


def _is_older(stamp: clock.Stamp, days: int) -> bool:
    return clock.now() - stamp.at > timedelta(days=days)
