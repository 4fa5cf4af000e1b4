"""`lantern selftest`: can this box do its work now?  Run at boot, every night, and by hand.

Unlike the doctor it does the work: every pack answers its golden cases in a child process as the reader's does, a file
is written to the disk and read back, every database is read from its first page to its last. The results are saved for
`lantern doctor`, `/healthz` and the metrics.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from firmware_app.appliance.checks import databases, hardware, maintenance, processes, runtimes, system_clock
from firmware_app.appliance.checks.check import Check
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock, database_health, disk, run_status
from firmware_app.core.database import Database
from firmware_app.core.errors import STORE_DAMAGED, LanternError, StoreError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs import execution_variants
from firmware_app.packs.errors import PackError
from firmware_app.packs.execution_variants import TrialResults
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading import variant_trial

log = logging.getLogger("lantern.selftest")

NAME: Final = maintenance.SELFTEST
"""Under which the result is kept (`remembered`)."""
GOLDEN_OK: Final = register(
    "selftest.golden_ok", N_("The model {pack} answers its {cases} test images rightly on {runtime} in {precision}.")
)
GOLDEN_NONE: Final = register(
    "selftest.golden_none", N_("The model {pack} runs on {runtime} in {precision}; it has no test images of its own.")
)
NO_PACK: Final = register(
    "selftest.no_pack", N_("There is no model on this box, so nothing can be judged. Install Lantern again.")
)
DATABASE_OK: Final = register("selftest.database_ok", N_("The database {database} is whole."))
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
Advance = Callable[[int, int], None]


def run_selftest(config: Config, advance: Advance = lambda done, total: None) -> list[Check]:
    """Run every check and save the results; *advance* is called with (parts done, parts in all)."""
    state = StateDir(config.state.dir)
    try:
        state.prepare()
    except StoreError as error:
        return [Check("disk", "fail", Reason.from_error(error))]
    checks: list[Check] = []
    for done, part in enumerate(_PARTS):
        advance(done, len(_PARTS))
        checks += part(config, state)
    advance(len(_PARTS), len(_PARTS))
    _save_record(state, as_object(checks))
    return checks


def _save_record(state: StateDir, record: dict[str, Any]) -> None:
    """Save *record*; on a full disk release the ballast for it, else older results would hide that the disk is full."""
    for is_last in (False, True):
        try:
            run_status.write_check_result(state, NAME, record)
        except OSError as error:
            if not is_last and error.errno in _FULL and state.release_ballast():
                continue
            log.error("the result of the self-test cannot be saved: %s", error.strerror)
        return


def as_object(checks: Sequence[Check]) -> dict[str, Any]:
    """The saved form: the time, the boot, and each check without its sentence."""
    return {
        "at": clock.stamp_text("seconds"),
        "boot": clock.boot_id(),
        "failed": sorted({check.name for check in checks if check.result == "fail"}),
        "checks": [
            {"check": check.name, "result": check.result, **run_status.reason_to_object(check.reason)}
            for check in checks
        ],
    }


def _test_disk(config: Config, state: StateDir) -> Iterator[Check]:
    yield from hardware.check_disk(state.run, config.retention.high_water_free_mb)


def _test_hardware(config: Config, state: StateDir) -> Iterator[Check]:
    yield from hardware.check_temperature()
    yield from hardware.check_memory()


def _test_databases(config: Config, state: StateDir) -> Iterator[Check]:
    for path in state.databases:
        if path.exists():
            yield _test_database(Database(path))


def _test_database(database: Database) -> Check:
    name = database.path.name
    try:
        answer = database.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer == "ok":
            return Check("databases", "ok", Reason(DATABASE_OK, {"database": name}))
        database_health.write_damage_note(
            database.path
        )  # a running box now restarts its processes and repairs the database
        reason = Reason.from_error(STORE_DAMAGED(database=name))
    except LanternError as error:
        reason = Reason.from_error(error)
    except sqlite3.DatabaseError as error:
        unread = disk.classify_disk_error(database.path.parent, error)
        reason = Reason.from_error(STORE_DAMAGED(database=name) if database_health.is_damage(error) else unread)
    finally:
        database.close()
    return Check("databases", "fail", reason)


def _test_images(config: Config, state: StateDir) -> Iterator[Check]:
    if not state.clinical_db.exists():
        return
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        clinical.require()
        yield from databases.check_files(clinical, state)
    except (LanternError, sqlite3.DatabaseError):
        return  # `_test_databases` reports it
    finally:
        clinical.database.close()


def _test_packs(config: Config, state: StateDir) -> Iterator[Check]:
    shelf = PackStore.from_config(config).survey()
    for broken in shelf.broken:
        yield Check("packs", "fail", Reason.from_error(broken))
    if not shelf.packs:
        yield Check("packs", "fail", Reason(NO_PACK))
    for pack in shelf.packs:
        try:
            pack.verify()
        except PackError as error:
            yield Check("packs", "fail", Reason.from_error(error))
        else:
            yield _test_golden_cases(config, state, pack)


def _test_golden_cases(config: Config, state: StateDir, pack: Pack) -> Check:
    """Check the pack's golden cases in the way in which the reader runs it.

    A wrong answer is saved among the reader's own trials, so that the reader stops using this way. A correct one is
    not saved: its time was measured beside a busy reader and is not the pack's speed.
    """
    settings, results = config.reader, TrialResults(state.trials)
    possible = execution_variants.list_variants(pack, settings)
    known = results.read_results(pack, possible, config.runtime_settings)
    best = next(
        iter(
            execution_variants.rank_variants(
                possible, known, settings, results.read_choice(pack, config.runtime_settings)
            )
        ),
        None,
    )
    if best is None:
        return Check("packs", "fail", Reason(runtimes.NO_VARIANT, {"pack": pack.name}))
    result = variant_trial.try_variant(pack, best, config.runtime_settings)
    about = {"pack": pack.name, "runtime": best.runtime, "precision": best.precision}
    if result.reason is not None:
        if variant_trial.is_kept(result):
            results.keep(pack, result, config.runtime_settings)
        return Check("packs", "fail", result.reason)
    if not result.cases:
        return Check("packs", "ok", Reason(GOLDEN_NONE, about))
    return Check("packs", "ok", Reason(GOLDEN_OK, {**about, "cases": result.cases}))


def _test_processes(config: Config, state: StateDir) -> Iterator[Check]:
    yield from processes.check_processes(config, state)


_PARTS: Final[tuple[Callable[[Config, StateDir], Iterator[Check]], ...]] = (
    _test_disk,
    _test_databases,
    _test_images,
    system_clock.examine,
    _test_hardware,
    _test_packs,
    _test_processes,
)
