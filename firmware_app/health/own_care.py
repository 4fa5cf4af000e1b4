"""What `lantern doctor` and `/healthz` say of the box's care for itself: the last self-test, backup and clearing-up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from firmware_app import clock
from firmware_app.care import presence
from firmware_app.care.backup import NAME as BACKUP
from firmware_app.care.retention import NAME as RETENTION
from firmware_app.care.retention import OFF, STUCK
from firmware_app.config import Config
from firmware_app.errors import DiskFull, DiskReadOnly
from firmware_app.health import hardware
from firmware_app.health.check import Check, Result
from firmware_app.language import N_, register
from firmware_app.records import Detail, Reason
from firmware_app.store.disk import remembered
from firmware_app.store.disk.layout import StateDir
from firmware_app.store.rescue import ring

SELFTEST: Final = "selftest"
TESTED_OK: Final = register("doctor.selftest_ok", N_("The self-test of {date} found nothing that does not work."))
TESTED_BAD: Final = register(
    "doctor.selftest_bad",
    N_("The self-test of {date} found {faults} faults, named below. When they are mended, run “lantern selftest”."),
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
        "There is no backup of the databases. The box makes one every day; look whether lantern-backup.timer is "
        "switched on."
    ),
)
BACKUP_OLD: Final = register(
    "doctor.backup_old",
    N_(
        "The newest backup of the databases is of {date}. The box makes one every day; look whether "
        "lantern-backup.timer is switched on, and whether the disk for backups is there."
    ),
)
FROM_BACKUP: Final = register(
    "doctor.from_backup",
    N_(
        "When {database} was rebuilt, {restored} entries of people and of the audit came from the backup of {date}. "
        "What was entered after it and could not be read is lost."
    ),
)
_TEST_DAYS, _BACKUP_DAYS = 3, 4
_ASKED_ANEW: Final = frozenset({"clock", "temperature", "memory", *presence.expected(True)})
_ASKED_ANEW_OF_THE_DISK: Final = frozenset({
    hardware.DISK_LOW, hardware.INODES_LOW, DiskFull.code, DiskReadOnly.code,
})  # fmt: skip


def the_machine(config: Config, state: StateDir) -> Iterator[Check]:
    """The disk's files, temperature and memory as they are now."""
    if state.root.is_dir():
        yield from hardware.inodes(state.root)
    yield from hardware.temperature()
    yield from hardware.memory()


def selftest(config: Config, state: StateDir) -> Iterator[Check]:
    """The last self-test, with those faults that the doctor does not check itself; each says when it was found."""
    told = remembered.known(state, SELFTEST)
    stamp = _stamp(told)
    if stamp is None:
        yield Check(SELFTEST, "warn", Reason(UNTESTED))
        return
    found = [one for one in _checks(told) if one.result == "fail"]
    faults = [one for one in found if not _is_asked_anew(one)]
    if faults:
        yield Check(SELFTEST, "fail", Reason(TESTED_BAD, {"date": stamp.day, "faults": len(faults)}))
        yield from (replace(one, at=stamp.text("seconds")) for one in faults)
    elif _is_older(stamp, _TEST_DAYS):
        yield Check(SELFTEST, "warn", Reason(TESTED_LONG_AGO, {"date": stamp.day}))
    elif found:
        yield Check(SELFTEST, "ok", Reason(TESTED_SINCE, {"date": stamp.day}))
    else:
        yield Check(SELFTEST, "ok", Reason(TESTED_OK, {"date": stamp.day}))


def backup(config: Config, state: StateDir) -> Iterator[Check]:
    """The newest backup, and why the last one failed."""
    told = remembered.known(state, BACKUP)
    if told.get("result") == "fail" and (reason := remembered.as_reason(told)) is not None:
        yield Check(BACKUP, "fail", reason)
    found = ring.copies(state)
    stamp = _stamp({"at": found[0].at}) if found else None
    if stamp is None:
        if state.clinical_db.exists():
            yield Check(BACKUP, "warn", Reason(BACKUP_NONE))
    elif _is_older(stamp, _BACKUP_DAYS):
        yield Check(BACKUP, "warn", Reason(BACKUP_OLD, {"date": stamp.day}))
    else:
        about: dict[str, Detail] = {"date": stamp.day, "copies": len(found), "path": str(found[0].folder.parent)}
        yield Check(BACKUP, "ok", Reason(BACKUP_OK, about))


def retention(config: Config, state: StateDir) -> Iterator[Check]:
    """What the last clearing-up did, or could not do."""
    told = remembered.known(state, RETENTION)
    reason = remembered.as_reason(told)
    if not config.retention.room_mb and not config.retention.days:
        yield Check(RETENTION, "ok", Reason(OFF))
    elif reason is not None:
        yield Check(RETENTION, _result(told), reason)


def trouble(state: StateDir) -> list[str]:
    """Codes for `/healthz`: ``selftest.PART`` for each part that failed, ``backup.failed``, ``retention.stuck``.

    Not for the processes, which are checked each time.
    """
    failed = remembered.known(state, SELFTEST).get("failed")
    names = [name for name in failed if _is_word(name)] if isinstance(failed, list) else []
    found = [f"{SELFTEST}.{name}" for name in names if name not in presence.expected(True)]
    if remembered.known(state, BACKUP).get("result") == "fail":
        found.append("backup.failed")
    told = remembered.known(state, RETENTION)
    if told.get("code") == STUCK or told.get("result") == "fail":
        found.append("retention.stuck")
    return found


def _checks(told: dict[str, Any]) -> Iterator[Check]:
    listed = told.get("checks")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and (reason := remembered.as_reason(one)) is not None:
            yield Check(str(one.get("check")), _result(one), reason)


def _is_asked_anew(check: Check) -> bool:
    return check.name in _ASKED_ANEW or check.reason.code in _ASKED_ANEW_OF_THE_DISK


def _result(told: dict[str, Any]) -> Result:
    return {"ok": "ok", "warn": "warn"}.get(str(told.get("result")), "fail")  # type: ignore[return-value]


def _is_word(name: object) -> bool:
    return isinstance(name, str) and name.isascii() and name.isalpha()


def moment(told: dict[str, Any]) -> datetime | None:
    """The time in a kept record."""
    stamp = _stamp(told)
    return stamp.at if stamp is not None else None


def _stamp(told: dict[str, Any]) -> clock.Stamp | None:
    try:
        return clock.parse(str(told["at"]))
    except (KeyError, ValueError):
        return None


def _is_older(stamp: clock.Stamp, days: int) -> bool:
    return clock.now() - stamp.at > timedelta(days=days)
