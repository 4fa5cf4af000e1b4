"""Admit again every complete file in images/ that clinical.db has no row for.

A reference is computed from the image (`cases.references`), so an image that lost its row gets its old reference back.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from firmware_app.appliance.rescue_report import RescueReport
from firmware_app.cases import study_cases
from firmware_app.cases.references import References
from firmware_app.core import clock
from firmware_app.core.database_health import DAMAGED_SUFFIX
from firmware_app.core.rows import dump_json, insert
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import picture_formats
from firmware_app.dicom.errors import IntakeError, PixelLengthMismatch, Truncated
from firmware_app.dicom.header import ExaminedObject, examine_descriptor
from firmware_app.dicom.patient_data import Person
from firmware_app.dicom.sop_classes import object_kind

log = logging.getLogger("lantern.store")

SOURCE: Final = "rescue"
"""The source of an image whose arrival is not recorded any more."""
_PIECE: Final = 1 << 20


def admit_files(connection: sqlite3.Connection, state: StateDir, report: RescueReport) -> None:
    """Add rows for the files in images/ without one, oldest first, and count the rows without a file.

    Runs inside the caller's transaction.
    """
    rows = {row[0] for row in connection.execute("SELECT file FROM instances")}
    leaving = {row[0] for row in connection.execute("SELECT name FROM leaving")}  # of cases that were deleted
    unknown: list[tuple[int, str]] = []
    present: set[str] = set()
    for file, at in _list_files(state.images, report):
        if file in rows:
            present.add(file)
        elif file not in leaving:
            unknown.append((at, file))
    report.missing = len(rows - present)
    references = References(state.clinical_db.parent)
    for _, file in sorted(unknown):
        try:
            report.admitted += _admit(connection, references, file, state.root, _examine_file(state.root / file))
        except (Truncated, PixelLengthMismatch) as error:
            log.warning("a file in images/ is no whole image any more: %s", error.code)
            report.cut.append(file)  # renamed once the new database is decided on
            report.unusable += 1
        except (IntakeError, OSError) as error:  # another version or another disk may still be able to use it
            log.warning("a file in images/ cannot be taken in: %s", getattr(error, "code", type(error).__name__))
            report.unusable += 1
    _record_arrivals(connection)


def _record_arrivals(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO arrivals (path, outcome, instance, case_reference, at)"
        " SELECT ?, 'accepted', reference, case_reference, received_at FROM instances WHERE reference NOT IN"
        " (SELECT instance FROM arrivals WHERE outcome = 'accepted' AND instance IS NOT NULL) ORDER BY sequence",
        (SOURCE,),
    )


def _list_files(images: Path, report: RescueReport) -> Iterator[tuple[str, int]]:
    """The path below the state directory and the age of every image file; unreadable ones are counted."""
    with os.scandir(images) as folders:
        for folder in folders:
            if not folder.is_dir(follow_symlinks=False):
                continue
            try:
                with os.scandir(folder) as files:
                    for file in files:
                        if file.is_file(follow_symlinks=False) and not file.name.endswith(DAMAGED_SUFFIX):
                            yield f"images/{folder.name}/{file.name}", _read_age(file)
            except OSError as error:
                log.warning("a folder of images/ cannot be read: %s", error.strerror)
                report.unusable += 1


def _read_age(file: os.DirEntry[str]) -> int:
    try:
        return file.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _examine_file(path: Path) -> ExaminedObject | None:
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
    connection: sqlite3.Connection, references: References, file: str, root: Path, examined: ExaminedObject | None
) -> bool:
    """Add a row for *file*; False when another file already has the same instance."""
    path, header = root / file, examined.header if examined is not None else None
    person = examined.person if examined is not None else Person()
    sha256, size = path.stem, path.stat().st_size
    # The file time is of the machine's clock, and it is unknown whether that was right.
    received = clock.Stamp(datetime.fromtimestamp(path.stat().st_mtime, UTC), trusted=False).text()
    kind = object_kind(header) if header else None
    found = study_cases.find_case(connection, header, person)
    case, study, shared = (
        (found, None, None)
        if found is not None
        else study_cases.identify_new_case(connection, references, header, sha256, person)
    )
    added = insert(
        connection,
        "instances",
        "INSERT OR IGNORE",
        reference=references.derive_instance(header, sha256),
        case_reference=case,
        sop_uid=header.sop_instance_uid if header else None,
        series_uid=header.series_instance_uid if header else None,
        file=file,
        sha256=sha256,
        bytes=size,
        header=dump_json(header) if header else None,
        received_at=received,
        kind=kind,
        state="waiting" if kind is None else "done",
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
