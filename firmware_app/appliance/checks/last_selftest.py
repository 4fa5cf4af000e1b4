"""The last self-test: whether it ran, and what it found that the doctor does not check itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from firmware_app.appliance.checks import hardware, maintenance
from firmware_app.appliance.checks.check import Check, Section
from firmware_app.appliance.checks.maintenance import SELFTEST
from firmware_app.core import run_status
from firmware_app.core.errors import DISK_READ_ONLY, DiskFull
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 160
NAMES: Final = {"selftest": N_("Self-test")}
HANDBOOK: Final = Section(N_("The self-test"), ("doctor.selftest_*", "selftest.*"))
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
_TEST_DAYS: Final = 3
_CHECKED_NOW: Final = frozenset({"clock", "temperature", "memory", *run_status.ALL_PROCESSES})
"""Names of checks that the doctor runs itself, so it shows no older result of them."""
_CHECKED_NOW_CODES: Final = frozenset({hardware.DISK_LOW, hardware.INODES_LOW, DiskFull.code, DISK_READ_ONLY.code})


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """The last self-test, with those of its faults that the doctor does not check itself, and their time."""
    record = run_status.read_check_result(state, SELFTEST)
    stamp = maintenance.parse_record_stamp(record)
    if stamp is None:
        yield Check(SELFTEST, "warn", Reason(UNTESTED))
        return
    failed = [check for check in _restore_checks(record) if check.result == "fail"]
    faults = [one for one in failed if not _is_checked_now(one)]
    if faults:
        yield Check(SELFTEST, "fail", Reason(TESTED_BAD, {"date": stamp.day, "faults": len(faults)}))
        yield from (replace(fault, at=stamp.text("seconds")) for fault in faults)
    elif maintenance.is_older(stamp, _TEST_DAYS):
        yield Check(SELFTEST, "warn", Reason(TESTED_LONG_AGO, {"date": stamp.day}))
    elif failed:
        yield Check(SELFTEST, "ok", Reason(TESTED_SINCE, {"date": stamp.day}))
    else:
        yield Check(SELFTEST, "ok", Reason(TESTED_OK, {"date": stamp.day}))


def _restore_checks(record: dict[str, Any]) -> Iterator[Check]:
    listed = record.get("checks")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and (reason := run_status.reason_from_object(one)) is not None:
            yield Check(str(one.get("check")), maintenance.parse_result(one), reason)


def _is_checked_now(check: Check) -> bool:
    return check.name in _CHECKED_NOW or check.reason.code in _CHECKED_NOW_CODES
