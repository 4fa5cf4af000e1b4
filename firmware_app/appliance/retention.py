"""`python -m firmware_app.appliance.retention`: delete finished cases when they are old enough, or when the disk
fills.

Which cases may go, and in which order so that a kill leaves the box consistent, is `store.clearing`'s.  Here: when, how
many, and what a person is told.  lantern-retention.timer runs it every hour; `--dry-run` only says what it would do.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from firmware_app.cases.case_deletion import DAYS_OF_WORK, AgeLimits, CaseDeletion, FinishedCase, KeptCases
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock, console, disk, run_status
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, printable_language, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir, free_bytes, retry_with_ballast

NAME: Final = "retention"
"""Under which the last run is kept (`remembered`)."""
NOTHING: Final = register("retention.nothing", N_("No case had to be deleted; {free_mb} MB of disk are free."))
DELETED: Final = register(
    "retention.deleted",
    N_(
        "Finished cases deleted: {cases}, with images: {images}, {megabytes} MB. Each was read, confirmed by "
        "the hospital where there is a line, and signed by a doctor. Beside them studies without any image: "
        "{others}. {free_mb} MB of disk are free."
    ),
)
WOULD: Final = register(
    "retention.would",
    N_(
        "Finished cases that would be deleted: {cases}, with images: {images}, {megabytes} MB; studies "
        "without any image: {others}."
    ),
)
STUCK: Final = register(
    "retention.stuck",
    N_(
        "Only {free_mb} MB of disk are free, and no more cases may be deleted: {unread} are not read, {unsent} not "
        "confirmed by the hospital or not yet prepared for a PACS, {unsigned} not finished or judged by a doctor, "
        "{recent} newer than {days} days. Finish cases in the viewer, or use a larger disk."
    ),
)
UNSURE: Final = register(
    "retention.clock",
    N_(
        "No case was deleted, because this box does not know how old the cases are: nobody has told it the time. "
        "{free_mb} MB of disk are free. “lantern doctor” says how to set the clock."
    ),
)
OFF: Final = register(
    "retention.off",
    N_("Cases are never deleted here: [retention] room_mb and days are 0. On a full disk no more images are taken."),
)
Advance = Callable[[int, int], None]
# How a full disk shows itself: SQLite makes a file beside a database even to open it.


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """What a run deleted, or would delete; `result` is a check's: ok, warn or fail."""

    result: str
    reason: Reason
    cases: tuple[str, ...] = ()


def run(config: Config, *, dry_run: bool = False, advance: Advance = lambda done, total: None) -> RetentionRun:
    """Delete what is due; kept for the doctor unless *dry_run*.  Raises a `StoreError`, which is kept too."""
    state = StateDir(config.state.dir)
    try:
        outcome = retry_with_ballast(state, lambda: _run_on_database(config, state, dry_run, advance))
    except (LanternError, OSError, sqlite3.Error) as error:
        failure = _classify_error(state, error)
        if not dry_run:
            _save_outcome(state, RetentionRun("fail", Reason.from_error(failure)))
        raise failure from None
    if not dry_run:
        _save_outcome(state, outcome)
    return outcome


def _run_on_database(config: Config, state: StateDir, dry_run: bool, advance: Advance) -> RetentionRun:
    state.prepare()
    if not state.clinical_db.exists():
        return RetentionRun("ok", Reason(NOTHING, {"free_mb": free_bytes(state.root) // 1_000_000}))
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        clinical.require()
        clearing = CaseDeletion(state, clinical)
        if not dry_run:
            retry_with_ballast(state, clearing.finish)
        outcome = _delete_due(config, state, clearing, dry_run, advance)
        if outcome.cases and not dry_run:
            # Deleted rows leave the write-ahead log too, unless a reader still needs it.
            clinical.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if not dry_run:
            state.prepare_ballast(config.retention.ballast_mb)  # also where somebody else has made room since
        return outcome
    finally:
        clinical.database.close()


def compute_wanted_bytes(config: Config) -> int:
    """Bytes that deleting keeps free; 0: nothing is deleted for space. Well above the mark at which intake stops."""
    settings = config.retention
    return max(settings.room_mb, 2 * settings.high_water_free_mb) * 1_000_000 if settings.room_mb else 0


def _delete_due(
    config: Config, state: StateDir, clearing: CaseDeletion, dry_run: bool, advance: Advance
) -> RetentionRun:
    settings, wanted = config.retention, compute_wanted_bytes(config)
    free = free_bytes(state.root)
    if not wanted and not settings.days:
        return RetentionRun("ok", Reason(OFF))
    if free >= wanted and not settings.days:
        return RetentionRun("ok", Reason(NOTHING, {"free_mb": free // 1_000_000}))
    stamp = clock.stamp()
    if not stamp.trusted:
        return RetentionRun("warn" if free < wanted else "ok", Reason(UNSURE, {"free_mb": free // 1_000_000}))
    before = stamp.at - timedelta(days=settings.keep_days)
    limits = AgeLimits(stamp.at, before, min(settings.keep_days, DAYS_OF_WORK))
    finished, kept = clearing.list_candidates(limits)
    too_old = clock.Stamp(stamp.at - timedelta(days=settings.days), True).text() if settings.days else ""
    gone: list[FinishedCase] = []
    for number, one in enumerate(finished):
        if free >= wanted and one.at >= too_old:
            break
        advance(number, len(finished))
        if dry_run:
            gone.append(one)
            free += one.bytes
        else:
            if retry_with_ballast(state, lambda one=one: clearing.delete(one)):  # type: ignore[misc]
                gone.append(one)
            free = free_bytes(state.root)
    return _summarise(gone, kept, free, is_short=free < wanted, days=settings.keep_days, dry_run=dry_run)


def _summarise(
    gone: list[FinishedCase], kept: KeptCases, free: int, is_short: bool, days: int, dry_run: bool
) -> RetentionRun:
    cases, finished = (
        tuple(finished_case.case for finished_case in gone),
        [one for one in gone if not one.without_image],
    )
    details = {
        "cases": len(finished),
        "images": sum(finished_case.images for finished_case in finished),
        "others": len(gone) - len(finished),
        "megabytes": round(sum(finished_case.bytes for finished_case in gone) / 1e6, 1),
        "free_mb": free // 1_000_000,
    }
    if is_short and not dry_run:
        held = {name: getattr(kept, name) for name in KeptCases.__slots__}
        return RetentionRun(
            "warn", Reason(STUCK, {**held, "free_mb": free // 1_000_000, "days": days, **details}), cases
        )
    if not gone:
        return RetentionRun("ok", Reason(NOTHING, {"free_mb": free // 1_000_000}))
    return RetentionRun("ok", Reason(WOULD if dry_run else DELETED, details), cases)


def _classify_error(state: StateDir, error: LanternError | OSError | sqlite3.Error) -> LanternError:
    if isinstance(error, LanternError):
        return error
    return disk.classify_disk_error(state.root, error)


def _save_outcome(state: StateDir, outcome: RetentionRun) -> None:
    record = {
        "at": clock.stamp_text("seconds"),
        "result": outcome.result,
        **run_status.reason_to_object(outcome.reason),
    }
    try:
        run_status.write_check_result(state, NAME, record)
    except OSError as error:
        print(error.strerror, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: one sentence; exit status 1 when the disk stays too full."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_app.appliance.retention",
        description="Delete finished cases that are old enough, or that a full disk has no more room for.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--dry-run", action="store_true", help="delete nothing, and say what would be deleted")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        clock.start_clock(StateDir(config.state.dir), "care", writes=not options.dry_run)
        with console.show_progress("deleted") as advance:
            outcome = run(config, dry_run=options.dry_run, advance=advance)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    text = outcome.reason.text(config.box.language if options.json else printable_language(config.box.language))
    if options.json:
        answer = {"code": outcome.reason.code, "text": text, **outcome.reason.details}
        print(json.dumps({**answer, "deleted": outcome.cases}, ensure_ascii=False))
    else:
        print(text)
    return 1 if outcome.reason.code == STUCK else 0


if __name__ == "__main__":
    sys.exit(main())
