"""Rebuilds clinical.db from every row that can still be read, and from every image file without a row.

A reference is computed from the image (`disk.references`).  So an image that lost its row gets its old reference back,
and its readings and verdicts are found again by that reference.
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Final

from firmware_app.appliance.recovery import refill
from firmware_app.appliance.recovery.rebuild import carried
from firmware_app.appliance.recovery.rebuild_images import admit_files
from firmware_app.appliance.recovery.rescue import RescueReport
from firmware_app.cases import forms, quarantine
from firmware_app.cases.accounts import audit
from firmware_app.cases.clinical_db import Clinical
from firmware_app.core import clock
from firmware_app.core.sqlite.salvage.wreck import Carried, Check, DamagedCopy, Wreck, insertion
from firmware_app.core.state_dir import StateDir
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
_CHECKS: Final[dict[str, Check]] = {
    "instances": lambda row: row[8] is None or forms.header().validate_json(str(row[8])),
    "readings": lambda row: forms.reading().validate_json(str(row[2])),
    "conclusions": lambda row: forms.conclusion().validate_json(str(row[2])),
    "superseded": lambda row: forms.reading().validate_json(str(row[3])),
    "arrivals": lambda row: row[6] is None or json.loads(str(row[6])),
    "outbox": lambda row: Brief.from_object(json.loads(str(row[3]))),
    "audit": lambda row: json.loads(str(row[5])),
}


def rebuild_clinical(damaged: DamagedCopy, path: Path, state: StateDir, report: RescueReport) -> None:
    """The `Rebuild` of clinical.db."""
    fresh = Clinical(path, state.clinical_db.parent)
    fresh.create()
    connection = fresh.database.connection
    wreck = Wreck(damaged, connection)
    connection.execute("PRAGMA foreign_keys=OFF")  # dangling rows are settled below
    try:
        with fresh.database.transaction():
            tables = _carry_rows(connection, wreck, report)
            report.doubtful = damaged.unused_commits
            waited = fresh.unread()
            _reopen_cases(connection)
            admit_files(connection, wreck, state, report, tables["instances"].rowids)
            suspect = {name for name, one in tables.items() if one.is_damaged or damaged.unused_commits}
            refill.clinical(connection, state, report, suspect)
            if tables["outbox"].is_damaged or damaged.unused_commits:
                _tell_again(connection, report)
            _settle(connection, report)
            report.again = max(0, fresh.unread() - waited)
            _record(connection, report, cut_off=tables["audit"].is_damaged or bool(damaged.unused_commits))
    finally:
        wreck.close()
        fresh.database.close()


def _carry_rows(connection: sqlite3.Connection, wreck: Wreck, report: RescueReport) -> dict[str, Carried]:
    """Copy the remaining rows, and learn the numbers of earlier rescues from them."""
    tables = {
        name: carried(connection, wreck, name, report, _CHECKS.get(name))
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
            *refill.CALIBRATION,
        )
    }
    (known,) = connection.execute("SELECT COALESCE(MAX(number), 0) FROM rescues").fetchone()
    report.count_on_from(known)
    for name in ("audit", "superseded", "arrivals"):
        (missing,) = connection.execute(f"SELECT COALESCE(MAX(sequence), 0) - COUNT(*) FROM {name}").fetchone()
        if name != "audit":  # nothing is ever deleted from the audit
            missing -= connection.execute(f"SELECT COALESCE(SUM({name}), 0) FROM retired").fetchone()[0]
        if name == "arrivals":
            missing -= quarantine.forgotten(connection)
        report.lost[name] = max(report.lost[name], missing)  # rows leave these tables in no other way
    statement = insertion("cases", ("reference", "study_uid", "opened_at", "touched"))
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
    return clock.text()
