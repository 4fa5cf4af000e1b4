"""The doctor's checks of the databases: whether they are undamaged, what they hold, what a rescue has lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from firmware_app.appliance import database_repair, rescue_report
from firmware_app.appliance.checks.check import Check, Section
from firmware_app.cases import clinical_db, references
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.exports import Exports
from firmware_app.core import clock, database_health, disk
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 30
NAMES: Final = {
    "database": N_("Database"),
    "databases": N_("Databases"),
    "images": N_("Images"),
    "rescue": N_("Rebuilt database"),
    "export": N_("Export of cases"),
}
HANDBOOK: Final = Section(
    N_("The databases"),
    (
        "doctor.database_*",
        "doctor.key_once",
        "doctor.*rebuilt*",
        "doctor.images_lost",
        "doctor.files_lost",
        "doctor.export_*",
        "store.*",
        "selftest.database_ok",
    ),
)
_DATABASE_OK: Final = register("doctor.database_ok", N_("The database is whole. Cases: {cases}, images: {instances}."))
_DATABASE_NONE: Final = register(
    "doctor.database_none", N_("There is no database yet. It is made when the box first runs.")
)
_DATABASE_BAD: Final = register(
    "doctor.database_bad",
    N_(
        "The database is damaged ({detail}). A running box sets it aside and goes on with its newest copy and the "
        "image files within minutes; if none runs, start “lantern serve”."
    ),
)
_KEY_ONCE: Final = register(
    "doctor.key_once",
    N_(
        "The file {path}, the secret key of the case references, is missing or damaged. The database keeps a copy: "
        "stop “lantern serve” and start it again, which writes the file again."
    ),
)
_REBUILT: Final = register(
    "doctor.rebuilt",
    N_(
        "The database was damaged, and since {date} it goes on as it was on {since}: what people entered or signed "
        "after that is missing here; enter it again. Images taken in again from their files: {admitted}; images to be "
        "read again: {again}. The damaged file is kept in {folder}."
    ),
)
_REBUILT_ANEW: Final = register(
    "doctor.rebuilt_anew",
    N_(
        "The database was damaged and begun anew on {date}, because there was no whole copy: all that people entered "
        "before is missing here. Images taken in again from their files: {admitted}; images to be read again: {again}. "
        "The damaged file is kept in {folder}."
    ),
)
_IMAGES_LOST: Final = register(
    "doctor.images_lost",
    N_(
        "When the database was rebuilt, files of images were missing or damaged: {images}. Send these images "
        "again from the machine."
    ),
)
_FILES_LOST: Final = register(
    "doctor.files_lost",
    N_(
        "The files of {lost} of {instances} images are gone from this disk or cut: they cannot be shown, and the names "
        "of their patients may be missing. Results are kept. Send these images again from where they came, the same "
        "machine or stick."
    ),
)
_EXCHANGE_REBUILT: Final = register(
    "doctor.exchange_rebuilt",
    N_(
        "The exchange database was damaged and begun anew on {date}; what the hospital had not confirmed is sent "
        "again. The damaged file is kept in {folder}."
    ),
)
_ACCOUNTS_REBUILT: Final = register(
    "doctor.accounts_rebuilt",
    N_(
        "The accounts were damaged, and since {date} they are as they were on {since}. Who cannot log in needs a new "
        "code: “lantern user passwd” or “lantern user add”. The damaged file is kept in {folder}."
    ),
)
_ACCOUNTS_ANEW: Final = register(
    "doctor.accounts_rebuilt_anew",
    N_(
        "The accounts were damaged and begun anew on {date}, because there was no whole copy: nobody has an account "
        "any more. “lantern user add” makes one. The damaged file is kept in {folder}."
    ),
)
_EXPORT_UNKNOWN: Final = register(
    "doctor.export_unknown",
    N_(
        "An export that {person} began was cut off, and nobody knows whether it came to its end. Look in the folder or "
        "on the stick that was named: what is there under the name of the case is whole; if it is not there, export "
        "it again."
    ),
)
_EXPORT_DAYS: Final = 30


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    yield from _check_databases(state)
    yield from _check_rescues(state)


def _check_databases(state: StateDir) -> Iterator[Check]:
    for reason in database_repair.list_troubles(state):
        yield Check("database", "fail", reason)
    if not state.clinical_db.exists():
        yield Check("database", "warn", Reason(_DATABASE_NONE))
        return
    if not references.has_key_file(state.clinical_db.parent):
        yield Check(
            "database", "warn", Reason(_KEY_ONCE, {"path": str(state.clinical_db.parent / references.KEY_FILE)})
        )
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        clinical.require()
        answer = clinical.database.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            database_health.write_damage_note(
                state.clinical_db
            )  # a running box now restarts its processes and repairs the database
            raise sqlite3.DatabaseError(answer)
        counts = clinical.count_queue()
    except LanternError as error:
        yield Check("database", "fail", Reason.from_error(error))
    except sqlite3.DatabaseError as error:
        # An OperationalError is of the disk (read-only, full, locked): nothing says that the data are damaged.
        known = (
            Reason.from_error(disk.classify_disk_error(state.root, error))
            if isinstance(error, sqlite3.OperationalError)
            else None
        )
        yield Check("database", "fail", known or Reason(_DATABASE_BAD, {"detail": str(error)[:120]}))
    else:
        yield Check("database", "ok", Reason(_DATABASE_OK, {"cases": counts.cases, "instances": counts.instances}))
        yield from check_files(clinical, state)
        yield from _check_interrupted_exports(Exports(clinical.database))
    finally:
        clinical.database.close()


def check_files(clinical: ClinicalDatabase, state: StateDir) -> Iterator[Check]:
    """Nothing where the file of every image is there."""
    if lost := clinical_db.count_lost_files(clinical, state):
        details: dict[str, Detail] = {"lost": lost, "instances": clinical.count_queue().instances}
        yield Check("images", "warn", Reason(_FILES_LOST, details))


def _check_rescues(state: StateDir) -> Iterator[Check]:
    """The latest rescue of each database; the folders keep them all."""
    latest = {report.database: (folder, report) for folder, report in rescue_report.list_reports(state)}
    for folder, report in latest.values():
        if report.since is None:
            continue
        details: dict[str, Detail] = {"date": clock.parse_stamp(report.at).day, "folder": str(folder)}
        if report.since:
            details["since"] = clock.parse_stamp(report.since).minute
        if report.database == state.exchange_db.name:
            yield Check("rescue", "warn", Reason(_EXCHANGE_REBUILT, details))
        elif report.database == state.accounts_db.name:
            yield Check("rescue", "warn", Reason(_ACCOUNTS_REBUILT if report.since else _ACCOUNTS_ANEW, details))
        else:
            details |= {"admitted": report.admitted, "again": report.again}
            yield Check("rescue", "warn", Reason(_REBUILT if report.since else _REBUILT_ANEW, details))
            if lost := report.missing + report.unusable:
                yield Check("rescue", "warn", Reason(_IMAGES_LOST, {"images": lost}))


def _check_interrupted_exports(exports: Exports) -> Iterator[Check]:
    """Exports to a stick that were cut off, for a month: somebody should check that stick."""
    for begun in exports.list_unknown_ends():
        at = clock.parse_stamp(begun.at)
        if clock.now() - at.at < timedelta(days=_EXPORT_DAYS):
            details: dict[str, Detail] = {"person": str(begun.details.get("account", ""))}
            yield Check("export", "warn", Reason(_EXPORT_UNKNOWN, details), at.text("seconds"), begun.case)
