"""Queries on clinical.db: the content of a case, the state of the queue, and the newest images."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from firmware_app.cases import follow_up, quarantine, study_cases, usb_import
from firmware_app.cases.case_answer import decide_answer
from firmware_app.cases.errors import REVISION_UNKNOWN, CaseUnknown, NotReadYet
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import (
    Case,
    FileRecord,
    FileStatus,
    Header,
    Instance,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
)
from firmware_app.core.rows import parse_json
from firmware_app.dicom.sop_classes import OBJECT_KINDS

WITHOUT_IMAGE: Final = (
    "(c.priority IS NULL AND c.fresh = 0"
    " AND EXISTS (SELECT 1 FROM instances o WHERE o.case_reference = c.reference AND o.kind IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM instances o WHERE o.case_reference = c.reference AND o.kind IS NULL))"
)
"""True in SQL for a case *c* that only has objects that are not images: it is kept, but in no list."""


_NEWEST_ASSOCIATIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The state of the queue in numbers."""

    cases: int
    instances: int
    waiting: int
    refused: int


class Casebook:
    """The cases of one clinical database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def count_queue(self) -> QueueCounts:
        row = self.database.connection.execute(
            "SELECT (SELECT COUNT(*) FROM cases), (SELECT COUNT(*) FROM instances),"
            " (SELECT COUNT(*) FROM instances WHERE state = 'waiting')"
        ).fetchone()
        cases, instances, waiting = row
        return QueueCounts(cases, instances, waiting, quarantine.count_refused(self.database.connection))

    def count_by_sender(self) -> dict[str, tuple[int, clock.Stamp]]:
        """What has sent images on the newest associations: its source -> how many, and when the last one came."""
        rows = self.database.connection.execute(
            "SELECT a.source, COUNT(*), i.received_at, MAX(i.sequence)"  # of MAX's row (SQLite, "bare columns")
            " FROM instances i JOIN associations a ON a.id = i.association"
            " WHERE a.id > (SELECT MAX(id) FROM associations) - ? GROUP BY a.source",
            (_NEWEST_ASSOCIATIONS,),
        ).fetchall()
        return {row[0]: (row[1], clock.parse_stamp(row[2])) for row in rows}

    def find_newest_time(self) -> clock.Stamp | None:
        """The time of the newest row, by order of arrival; None before the first."""
        rows = self.database.connection.execute(
            "SELECT at FROM (SELECT at FROM arrivals ORDER BY sequence DESC LIMIT 1)"
            " UNION ALL SELECT at FROM (SELECT at FROM readings ORDER BY rowid DESC LIMIT 1)"
            " UNION ALL SELECT at FROM (SELECT at FROM audit ORDER BY sequence DESC LIMIT 1)"
        ).fetchall()
        stamps = []
        for (text,) in rows:
            with suppress(ValueError):  # a value that was not written by the box
                stamps.append(clock.parse_stamp(text))
        return max(stamps, key=lambda one: one.at, default=None)

    def load_case(self, reference: str, revision: int | None = None) -> Case:
        """The case with this reference, or what an earlier *revision* of it said.

        Raises `CaseUnknown` and `REVISION_UNKNOWN`.
        """
        row = self.database.connection.execute("SELECT * FROM cases WHERE reference = ?", (reference,)).fetchone()
        if row is None:
            raise CaseUnknown(case=reference[:40])
        case = self._build_case(row)
        if revision is None or revision == case.revision:
            return case
        said = follow_up.load_conclusion(self.database.connection, reference, revision)
        if said is None:
            raise REVISION_UNKNOWN(revision=revision)
        return replace(
            case,
            revision=revision,
            priority=said.priority,
            findings=said.findings,
            lesions=said.lesions,
            follow_up=said.follow_up,
        )

    def load_cases(self) -> Iterator[Case]:
        """Every case that has an image, most urgent first, then newest first."""
        rows = self.database.connection.execute(
            f"SELECT * FROM cases c WHERE NOT {WITHOUT_IMAGE}"
            " ORDER BY CASE priority WHEN 'urgent' THEN 0 WHEN 'soon' THEN 1"
            " WHEN 'cannot-judge' THEN 2 WHEN 'routine' THEN 3 ELSE 4 END, rowid DESC"
        ).fetchall()
        for row in rows:
            yield self._build_case(row)

    def list_references(self) -> tuple[str, ...]:
        """The references of all cases, in the order in which the first image of each arrived."""
        return tuple(row[0] for row in self.database.connection.execute("SELECT reference FROM cases ORDER BY rowid"))

    def list_examinations(self, reference: str) -> tuple[str, ...]:
        """The descriptions of a case's study and series, each once, in order of arrival."""
        headers = self._headers(reference)
        named = [*(header.study_description for header in headers), *(header.series_description for header in headers)]
        return tuple(dict.fromkeys(name for name in named if name))

    def list_study_times(self, reference: str) -> tuple[tuple[str, str], ...]:
        """The study dates and times (PS3.5 6.2: DA, TM) in the images of a case, each once, in order of arrival."""
        times = [(header.study_date or "", header.study_time or "") for header in self._headers(reference)]
        return tuple(dict.fromkeys(time for time in times if time[0]))

    def list_images(self, reference: str) -> tuple[Instance, ...]:
        """The images of a case in order of arrival, without the objects that are none."""
        rows = self.database.connection.execute(
            "SELECT reference, file, header FROM instances WHERE case_reference = ? AND kind IS NULL ORDER BY sequence",
            (reference,),
        )
        return tuple(
            Instance(
                row["reference"],
                reference,
                row["file"],
                parse_json(Header, row["header"]) if row["header"] is not None else None,
            )
            for row in rows
        )

    def list_other_objects(self, reference: str) -> dict[str, str]:
        """The objects of a case that are not images: instance -> kind (`sop_classes.OBJECT_KINDS`), in order of
        arrival."""
        rows = self.database.connection.execute(
            "SELECT reference, kind FROM instances WHERE case_reference = ? AND kind IS NOT NULL ORDER BY sequence",
            (reference,),
        )
        return {row["reference"]: row["kind"] for row in rows}

    def _headers(self, reference: str) -> list[Header]:
        """The headers of the first images of a case, in order of arrival."""
        rows = self.database.connection.execute(
            "SELECT header FROM instances WHERE case_reference = ? AND header IS NOT NULL AND kind IS NULL"
            " ORDER BY sequence LIMIT 32",
            (reference,),
        )
        return [parse_json(Header, row["header"]) for row in rows]

    def has_instance(self, instance: str) -> bool:
        """Whether the box has an instance with this reference."""
        row = self.database.connection.execute("SELECT 1 FROM instances WHERE reference = ?", (instance,)).fetchone()
        return row is not None

    def find_case_of(self, instance: str) -> str:
        """The case of the instance with this reference; "" where the box has none."""
        row = self.database.connection.execute(
            "SELECT case_reference FROM instances WHERE reference = ?", (instance,)
        ).fetchone()
        return str(row[0] or "") if row else ""

    def find_unassigned_files(self) -> Case | None:
        """The arrivals without a case (refused by the gateway), as a case without a reference; None without any."""
        files = self._files(None)
        if not files:
            return None
        return Case(
            reference=None,
            study_instance_uid=None,
            modality=None,
            revision=0,
            priority=None,
            files=files,
            readings=(),
            findings=(),
            lesions=(),
        )

    def list_background(self, case: Case) -> tuple[str, ...]:
        """The codes of the facts that are known of the patient's background."""
        return follow_up.list_known_facts(self.database.connection, case)

    def _build_case(self, row: sqlite3.Row) -> Case:
        """The case of a row of `cases`.  Advice is of a finished revision: while images come, there is none."""
        reference, priority = row["reference"], row["priority"]
        said = None if row["fresh"] else follow_up.load_conclusion(self.database.connection, reference, row["revision"])
        incomplete = usb_import.explain_incompleteness(self.database.connection, reference)
        shared = study_cases.explain_shared_study(self.database.connection, reference)
        warnings = tuple(reason for reason in (incomplete, shared) if reason is not None)
        readings = tuple(
            _add_warnings(parse_json(Reading, row[0]), warnings)
            for row in self.database.connection.execute(
                "SELECT r.body FROM readings r LEFT JOIN instances i ON i.reference = r.key"
                " WHERE r.case_reference = ? ORDER BY i.sequence",
                (reference,),
            )
        )
        answer = decide_answer(readings)
        return Case(
            reference=reference,
            study_instance_uid=study_cases.get_study_uid(row),
            modality=row["modality"],
            revision=row["revision"],
            priority=Priority(priority) if priority else None,
            files=self._files(reference),
            readings=readings,
            findings=answer.findings,
            lesions=answer.lesions,
            follow_up=said.follow_up if said is not None else None,
            incomplete=incomplete,
        )

    def _files(self, case: str | None) -> tuple[FileRecord, ...]:
        rows = self.database.connection.execute(
            "SELECT a.path, a.outcome, a.instance, a.code, a.details, r.body, i.kind FROM arrivals a"
            " LEFT JOIN readings r ON r.key = a.instance LEFT JOIN instances i ON i.reference = a.instance"
            " WHERE a.case_reference IS ? ORDER BY a.sequence",
            (case,),
        )
        return tuple(_parse_file_record(row) for row in rows)


def _add_warnings(reading: Reading, warnings: tuple[Reason, ...]) -> Reading:
    """*reading* with what is to be known of its case, shown before its numbers."""
    if not warnings:
        return reading
    return replace(reading, quality=replace(reading.quality, hints=(*warnings, *reading.quality.hints)))


def _parse_file_record(row: sqlite3.Row) -> FileRecord:
    path, instance = row["path"], row["instance"]
    if row["outcome"] == "refused":
        return FileRecord(path, None, FileStatus.REFUSED, Reason(row["code"] or "", json.loads(row["details"] or "{}")))
    if row["outcome"] == "duplicate":
        return FileRecord(path, instance, FileStatus.DUPLICATE, None)
    if row["kind"] is not None:  # not an image: it is only kept
        return FileRecord(path, instance, FileStatus.READ, Reason(OBJECT_KINDS.get(row["kind"], OBJECT_KINDS["other"])))
    if row["body"] is None:
        return FileRecord(path, instance, FileStatus.CANNOT_JUDGE, Reason.from_error(NotReadYet()))
    reading = parse_json(Reading, row["body"])
    status = FileStatus.READ if reading.status is ReadingStatus.READ else FileStatus.CANNOT_JUDGE
    return FileRecord(path, instance, status, reading.reason)


@dataclass(frozen=True, slots=True)
class NewImage:
    """One image: its number in the order of arrival, and its file below the state directory."""

    sequence: int
    file: str


def find_newest_image(database: Database) -> int:
    """The number of the newest image; 0 where there is none."""
    row = database.connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM instances").fetchone()
    return int(row[0])


def list_new_images(database: Database, sequence: int, modality: str) -> list[NewImage]:
    """The images of *modality* behind this number, in order."""
    rows = database.connection.execute(
        "SELECT sequence, file FROM instances WHERE sequence > ? AND json_extract(header, '$.modality') = ?"
        " ORDER BY sequence",
        (sequence, modality),
    )
    return [NewImage(int(row["sequence"]), str(row["file"])) for row in rows]
