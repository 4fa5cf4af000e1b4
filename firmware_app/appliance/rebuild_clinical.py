"""Rebuild clinical.db from every row that can still be read, and from every complete image file without a row.

A reference is computed from the image (`cases.references`).  So an image that lost its row gets its old reference
back, and its readings and verdicts are found again by that reference.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from firmware_app.appliance import rebuild
from firmware_app.appliance.rebuild import carry_rows
from firmware_app.appliance.rescue import RescueReport
from firmware_app.cases import audit, quarantine, row_json, study_cases
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.references import References
from firmware_app.core import clock
from firmware_app.core.database_health import DAMAGED_SUFFIX
from firmware_app.core.salvage import (
    CopiedTable,
    DamagedCopy,
    DamagedDatabase,
    RowCheck,
    insert_statement,
)
from firmware_app.core.sqlite_format import Value
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import picture_formats
from firmware_app.dicom.errors import (
    IntakeError,
    PixelLengthMismatch,
    Truncated,
)
from firmware_app.dicom.header import ExaminedObject, examine_descriptor
from firmware_app.dicom.patient_data import Person
from firmware_app.dicom.sop_classes import object_kind
from firmware_app.uplink.messages.summary import Brief

ACTOR: Final = "box"
SOURCE: Final = "rescue"
"""The source of an image whose arrival is not recorded any more."""
_PEOPLE: Final = ("identities", "entered", "verdicts", "remarks", "reviews", "background")

_SENDING: Final = (
    "results_due",
    "archives",
    "queued_results",
    "sendings",
    "commitment_requests",
    "commitment_answers",
    "offered_results",
    "earlier_searches",
    "earlier_studies",
)
"""First: what is written of people and cases notes the cases as due, whose results are then compared again."""

# Checks on the values of a table in addition to SQLite's own.
_CHECKS: Final[dict[str, RowCheck]] = {
    "instances": lambda row: row[8] is None or row_json.header_adapter().validate_json(str(row[8])),
    "readings": lambda row: row_json.reading_adapter().validate_json(str(row[2])),
    "conclusions": lambda row: row_json.conclusion_adapter().validate_json(str(row[2])),
    "superseded": lambda row: row_json.reading_adapter().validate_json(str(row[3])),
    "arrivals": lambda row: row[6] is None or json.loads(str(row[6])),
    "outbox": lambda row: Brief.from_object(json.loads(str(row[3]))),
    "audit": lambda row: json.loads(str(row[5])),
}


def rebuild_clinical(damaged: DamagedCopy, path: Path, state: StateDir, report: RescueReport) -> None:
    """The `Rebuild` of clinical.db."""
    fresh = ClinicalDatabase(path, state.clinical_db.parent)
    fresh.create()
    connection = fresh.database.connection
    wreck = DamagedDatabase(damaged, connection)
    connection.execute("PRAGMA foreign_keys=OFF")  # dangling rows are settled below
    try:
        with fresh.database.transaction():
            tables = _carry_rows(connection, wreck, report)
            report.doubtful = damaged.unused_commits
            waited = fresh.unread()
            _reopen_cases(connection)
            admit_files(connection, wreck, state, report, tables["instances"].rowids)
            suspect = {name for name, one in tables.items() if one.is_damaged or damaged.unused_commits}
            rebuild.refill_clinical(connection, state, report, suspect)
            if tables["outbox"].is_damaged or damaged.unused_commits:
                _tell_again(connection, report)
            _settle(connection, report)
            report.again = max(0, fresh.unread() - waited)
            _record(connection, report, cut_off=tables["audit"].is_damaged or bool(damaged.unused_commits))
    finally:
        wreck.close()
        fresh.database.close()


def _carry_rows(connection: sqlite3.Connection, wreck: DamagedDatabase, report: RescueReport) -> dict[str, CopiedTable]:
    """Copy the remaining rows, and learn the numbers of earlier rescues from them."""
    tables = {
        name: carry_rows(connection, wreck, name, report, _CHECKS.get(name))
        for name in (
            *_SENDING,
            "associations",
            "cases",
            "instances",
            "arrivals",
            "readings",
            *_PEOPLE,
            "superseded",
            "outbox",
            "audit",
            "rescues",
            "forgotten",
            "retired",
            "leaving",
            "whole",
            "listed_more",
            "conclusions",
            "result_versions",
            "registrations",
            "told_observations",
            "hospital_receipts",
            "modalities",
            "pack_changes",
            "pack_trials",
            "trial_images",
            "clinical_falls",
            "feedback_consents",
            "feedback_given",
            "case_persons",
            *rebuild.CALIBRATION,
        )
    }
    (known,) = connection.execute("SELECT COALESCE(MAX(number), 0) FROM rescues").fetchone()
    report.count_on_from(known)
    for name in ("audit", "superseded", "arrivals"):
        (missing,) = connection.execute(f"SELECT COALESCE(MAX(sequence), 0) - COUNT(*) FROM {name}").fetchone()
        if name != "audit":  # nothing is ever deleted from the audit
            missing -= connection.execute(f"SELECT COALESCE(SUM({name}), 0) FROM retired").fetchone()[0]
        if name == "arrivals":
            missing -= quarantine.count_removed_lines(connection)
        report.lost[name] = max(report.lost[name], missing)  # rows leave these tables in no other way
    statement = insert_statement("cases", ("reference", "study_uid", "opened_at", "touched"))
    for one in wreck.identities("cases", tables["cases"].rowids, "reference", "study_uid").values():
        if isinstance(one.get("reference"), str) and isinstance(one.get("study_uid"), str):
            connection.execute(statement, (one["reference"], one["study_uid"], _now(), time.monotonic()))
    connection.execute("DELETE FROM readings WHERE key IN (SELECT reference FROM instances WHERE state = 'waiting')")
    return tables


def _reopen_cases(connection: sqlite3.Connection) -> None:
    """Recreate the rows of lost cases from their images; in a study that has a case, as those of another patient."""
    for study, shared in (("study", "NULL"), ("NULL", "study")):
        connection.execute(
            f"INSERT OR IGNORE INTO cases (reference, study_uid, shared_study, modality, opened_at, touched)"
            f" SELECT case_reference, {study}, {shared}, modality, at, ? FROM (SELECT case_reference,"
            " json_extract(header, '$.study_instance_uid') AS study, MAX(CASE WHEN kind IS NULL THEN"
            " json_extract(header, '$.modality') END) AS modality, MIN(received_at) AS at, MIN(sequence) AS first"
            " FROM instances WHERE case_reference NOT IN (SELECT reference FROM cases) GROUP BY case_reference)"
            " ORDER BY first",
            (time.monotonic(),),
        )


def _tell_again(connection: sqlite3.Connection, report: RescueReport) -> None:
    """Summaries without a receipt may be lost: every case that ever had a summary gets another.

    It has a higher revision than any before, so the hospital, which counts cases, treats it as a repeat.
    """
    report.repeated = connection.execute("UPDATE cases SET fresh = 1 WHERE revision > 0").rowcount


def _settle(connection: sqlite3.Connection, report: RescueReport) -> None:
    """Make the rows consistent; in doubt, an image is read again rather than not at all."""
    connection.execute("UPDATE instances SET association = NULL WHERE association NOT IN (SELECT id FROM associations)")
    for table in (
        "arrivals",
        "readings",
        *_PEOPLE,
        "superseded",
        "conclusions",
        "feedback_consents",
        "feedback_given",
    ):
        gone = connection.execute(
            f"DELETE FROM {table} WHERE case_reference IS NOT NULL"
            " AND case_reference NOT IN (SELECT reference FROM cases)"
        ).rowcount
        if table == "arrivals":
            gone += connection.execute(
                "DELETE FROM arrivals WHERE instance IS NOT NULL AND instance NOT IN (SELECT reference FROM instances)"
            ).rowcount
        report.kept[table] -= gone
        report.lost[table] += gone
    connection.execute(
        "INSERT INTO arrivals (path, outcome, instance, case_reference, at)"
        " SELECT ?, 'accepted', reference, case_reference, received_at FROM instances WHERE reference NOT IN"
        " (SELECT instance FROM arrivals WHERE outcome = 'accepted' AND instance IS NOT NULL) ORDER BY sequence",
        (SOURCE,),
    )
    _settle_readings(connection)
    _settle_cases(connection)
    _drop_dangling(connection, report)


def _settle_readings(connection: sqlite3.Connection) -> None:
    # A lost priority only comes back with a new reading: an urgent case must not look like an unranked one.
    unranked = (
        "SELECT r.key FROM readings r JOIN cases c ON c.reference = r.case_reference JOIN instances i"
        " ON i.reference = r.key WHERE c.priority IS NULL"
    )
    connection.execute(
        "INSERT INTO superseded (key, case_reference, body, read_at, replaced_at)"
        f" SELECT key, case_reference, body, at, ? FROM readings WHERE key IN ({unranked})",
        (_now(),),
    )
    connection.execute(f"DELETE FROM readings WHERE key IN ({unranked})")
    connection.execute(  # images that had lost their row and got their old reference back
        "UPDATE instances SET state = 'done', read_at = (SELECT at FROM readings WHERE key = reference)"
        " WHERE state = 'waiting' AND reference IN (SELECT key FROM readings)"
    )
    connection.execute(
        "UPDATE instances SET state = 'waiting', claims = 0, failures = 0, read_at = NULL"
        " WHERE state = 'done' AND kind IS NULL AND reference NOT IN (SELECT key FROM readings)"
    )


def _settle_cases(connection: sqlite3.Connection) -> None:
    waiting = "EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = cases.reference AND i.state = 'waiting')"
    connection.execute(
        f"UPDATE cases SET fresh = 1, touched = ?, priority = CASE WHEN EXISTS (SELECT 1 FROM readings r"
        f" WHERE r.case_reference = cases.reference) THEN priority END WHERE {waiting}",
        (time.monotonic(),),
    )
    connection.execute(
        "UPDATE cases SET fresh = 0 WHERE revision = 0"
        " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = cases.reference AND i.kind IS NULL)"
    )


def _drop_dangling(connection: sqlite3.Connection, report: RescueReport) -> None:
    """Delete rows with broken foreign keys; repeated, because a deletion may break another row."""
    while dangling := connection.execute("PRAGMA foreign_key_check").fetchall():
        for table, rowid, *_ in dangling:
            gone = connection.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (rowid,)).rowcount
            report.kept[table] -= gone
            report.lost[table] += gone


def _record(connection: sqlite3.Connection, report: RescueReport, *, cut_off: bool) -> None:
    """Record the rescue in the new database: the floor of future revisions, and an entry in the audit.

    *cut_off*: the newest audit entries may be lost, which the remaining numbers cannot show.
    """
    connection.execute("UPDATE associations SET closed_at = ? WHERE closed_at IS NULL", (report.at,))
    connection.execute(
        "INSERT OR REPLACE INTO rescues (number, at, revision_floor, report) VALUES (?, ?, ?, ?)",
        (report.number, report.at, report.revision_floor, json.dumps({"cause": report.cause, "lost": report.lost})),
    )
    audit.append_rescue(
        connection, ACTOR, report.number, people=report.people, cut_off=cut_off, restored=report.restored
    )


def _now() -> str:
    return clock.stamp_text()


log = logging.getLogger("lantern.store")

_PIECE: Final = 1 << 20


def admit_files(
    connection: sqlite3.Connection, wreck: DamagedDatabase, state: StateDir, report: RescueReport, kept: set[int]
) -> None:
    """Add rows for the files in images/ without one, oldest first, and count the rows without a file."""
    rows = {row[0] for row in connection.execute("SELECT file FROM instances")}
    leaving = {row[0] for row in connection.execute("SELECT name FROM leaving")}  # of cases that were deleted
    unknown: list[tuple[int, str]] = []
    present: set[str] = set()
    for file, at in _files(state.images, report):
        if file in rows:
            present.add(file)
        elif file not in leaving:
            unknown.append((at, file))
    report.missing = len(rows - present)
    known = {
        str(one["sop_uid"]): one
        for one in wreck.identities("instances", kept, "reference", "case_reference", "sop_uid").values()
        if one.get("sop_uid")
    }
    references = References(state.clinical_db.parent)
    for _, file in sorted(unknown):
        try:
            examined = _examined(state.root / file)
            uid = examined.header.sop_instance_uid if examined else ""
            report.admitted += _admit(
                connection, references, file, root=state.root, examined=examined, known=known.get(uid, {})
            )
        except (Truncated, PixelLengthMismatch) as error:
            log.warning("a file in images/ is no whole image any more: %s", error.code)
            report.cut.append(file)  # renamed once the new database is decided on
            report.unusable += 1
        except (IntakeError, OSError) as error:  # another version or another disk may still be able to use it
            log.warning("a file in images/ cannot be taken in: %s", getattr(error, "code", type(error).__name__))
            report.unusable += 1


def _files(images: Path, report: RescueReport) -> Iterator[tuple[str, int]]:
    """The path below the state directory and the age of every image file; unreadable ones are counted."""
    with os.scandir(images) as folders:
        for folder in folders:
            if not folder.is_dir(follow_symlinks=False):
                continue
            try:
                with os.scandir(folder) as files:
                    for file in files:
                        if file.is_file(follow_symlinks=False) and not file.name.endswith(DAMAGED_SUFFIX):
                            yield f"images/{folder.name}/{file.name}", _age(file)
            except OSError as error:
                log.warning("a folder of images/ cannot be read: %s", error.strerror)
                report.unusable += 1


def _age(file: os.DirEntry[str]) -> int:
    try:
        return file.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _examined(path: Path) -> ExaminedObject | None:
    """As in the gateway: what a complete DICOM object says, None for a complete picture; no pixel is decoded.

    The file is read before it is mapped: an unreadable sector is an `OSError` here, but would be a SIGBUS there.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = 0
        while piece := len(os.pread(descriptor, _PIECE, at)):
            at += piece
        if path.suffix == ".dcm":
            return examine_descriptor(descriptor)
        picture_formats.check_complete(descriptor, path.suffix)
    finally:
        os.close(descriptor)
    return None


def _admit(
    connection: sqlite3.Connection,
    references: References,
    file: str,
    root: Path,
    examined: ExaminedObject | None,
    known: dict[str, Value],
) -> bool:
    """Add a row for *file*; False when another file already has the same instance."""
    path, header = root / file, examined.header if examined is not None else None
    person = examined.person if examined is not None else Person()
    sha256, size = path.stem, path.stat().st_size
    # The file time is of the machine's clock, and it is unknown whether that was right.
    received = clock.Stamp(datetime.fromtimestamp(path.stat().st_mtime, UTC), trusted=False).text()
    kind = object_kind(header) if header else None
    found = study_cases.find_case(connection, root, header, person)
    case, study, shared = (
        (found, None, None)
        if found is not None
        else study_cases.identify_new_case(connection, references, header, sha256, person)
    )
    if found is None:
        case = str(known.get("case_reference") or case)
    added = connection.execute(
        "INSERT OR IGNORE INTO instances (reference, case_reference, sop_uid, series_uid, file, sha256, bytes, header,"
        " received_at, kind, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            known.get("reference") or references.instance(header, sha256),
            case,
            header.sop_instance_uid if header else None,
            header.series_instance_uid if header else None,
            file,
            sha256,
            size,
            row_json.header_adapter().dump_json(header).decode() if header else None,
            received,
            kind,
            "waiting" if kind is None else "done",
        ),
    ).rowcount
    if added:
        connection.execute(
            "INSERT INTO cases (reference, study_uid, shared_study, modality, opened_at, touched)"
            " VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (reference) DO UPDATE SET modality = COALESCE(modality, excluded.modality)",
            (case, study, shared, header.modality if header and kind is None else None, received, time.monotonic()),
        )
        study_cases.record_person(connection, case, header, person)
    return bool(added)
