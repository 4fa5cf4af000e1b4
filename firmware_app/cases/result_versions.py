"""The versions of a case's report and result objects, and the reports that a doctor has signed.

The objects of a version are computed again whenever they are needed; with the same version, time and content they have
the same UIDs and the same bytes, so that an object that is sent twice is one object to the archive.  Objects that only
show pictures stay those of an earlier version for as long as they show the same.  What a doctor has signed keeps its
version until the content of the case changes, even if the box gets another name or software meanwhile.

A signed report is kept as it was first printed and gives the same bytes every time.  It lies in
``clinical/reports/CASE/``, and is deleted with its case.  The file's name holds the version, what was signed and the
language, so that a file that belongs to anything else is never taken for it.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core import clock
from firmware_app.core.clock import Stamp
from firmware_app.core.database import Database
from firmware_app.core.rows import insert
from firmware_app.core.state_dir import StateDir, make_directory, read_plain_file, sync_directory, write_atomically


@dataclass(frozen=True, slots=True)
class ResultVersion:
    """A version's number, from 1, when it was first made, and by what: the box's name, language and software.

    `drawn` and `drawn_at` are the number and the time of the version since which its pictures are the same.
    """

    number: int
    made: Stamp
    maker: Mapping[str, str]
    drawn: int
    drawn_at: Stamp


def find_current_version(
    database: Database, case: str, state: str, signed_state: str | None, drawn: str, maker: Mapping[str, str]
) -> ResultVersion:
    """The version that says *state*, or has been signed as *signed_state*: the newest one if it does, else a new one
    of *maker*, durable on return.  *drawn* is a digest of what its pictures show."""
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT v.*, d.made_at AS drawn_at FROM result_versions v LEFT JOIN result_versions d"
            " ON d.case_reference = v.case_reference AND d.version = v.drawn_version"
            " WHERE v.case_reference = ? ORDER BY v.version DESC LIMIT 1",
            (case,),
        ).fetchone()
        if row is not None and (
            row["state"] == state or (signed_state is not None and row["signed_state"] == signed_state)
        ):
            return _parse_version(row)
        number = 1 if row is None else row["version"] + 1
        is_drawn = row is not None and row["drawn"] == drawn and row["drawn_at"] is not None
        insert(
            connection,
            "result_versions",
            case_reference=case,
            version=number,
            state=state,
            made_at=_format_time(clock.stamp()),
            signed_state=signed_state,
            maker=json.dumps(dict(maker)),
            drawn=drawn,
            drawn_version=row["drawn_version"] if is_drawn else number,
        )
    return find_current_version(database, case, state, signed_state=signed_state, drawn=drawn, maker=maker)


def _parse_version(row: sqlite3.Row) -> ResultVersion:
    """*row*; one of an older Lantern has no pictures but its own."""
    made, maker = clock.parse_stamp(row["made_at"]), json.loads(row["maker"] or "{}")
    if row["drawn_at"] is None:
        return ResultVersion(row["version"], made, maker, row["version"], made)
    return ResultVersion(row["version"], made, maker, row["drawn_version"], clock.parse_stamp(row["drawn_at"]))


def _format_time(stamp: Stamp) -> str:
    """In the zone that the machine is in now: a later one must not change what a version says."""
    return stamp.at.astimezone().isoformat(timespec="seconds") + ("" if stamp.trusted else "?")


log = logging.getLogger("lantern.reports")

REPORTS_FOLDER: Final = "clinical/reports"
LARGEST_REPORT_BYTES: Final = 4_000_000
_DIGITS: Final = 16
_BEGINS: Final = b"%PDF-"
_ENDS: Final = b"%%EOF"


@dataclass(frozen=True, slots=True)
class SignedReport:
    """The place of one signed report; `signed_state` is the digest of what was signed."""

    state: StateDir
    case: str
    version: int
    signed_state: str
    language: str

    @property
    def path(self) -> Path:
        name = f"{self.version:04}-{self.signed_state[:_DIGITS]}.{self.language}.pdf"
        return self.state.root / REPORTS_FOLDER / self.case / name

    def read(self) -> bytes | None:
        """Its bytes; None where it was never printed, or where the disk lost a part of it."""
        with suppress(OSError):
            data, _ = read_plain_file(self.path, LARGEST_REPORT_BYTES)
            if data.startswith(_BEGINS) and data.rstrip().endswith(_ENDS):
                return data
        return None

    def store(self, data: bytes) -> None:
        """Write it durably; a disk that takes no more only means that it is made again next time."""
        folder = self.path.parent
        try:
            make_directory(folder.parent)
            make_directory(folder)
            write_atomically(self.path, data, 0o660)
            sync_directory(folder)
        except OSError as error:
            log.warning("a signed report could not be kept: %s", os.strerror(error.errno or 0))
