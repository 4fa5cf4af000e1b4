"""Delete finished cases, in such a way that a kill at any moment leaves the box consistent.

A case is deleted in one transaction, which checks every condition again, deletes its rows, and lists its files in the
table `leaving`.  From then on a rescue does not take these files in again, and the next run removes those that are
left.  A file is only removed inside a write transaction that sees no row for it.  If the same image is sent again at
this moment, either its row already exists and the file stays, or the gateway finds the file gone and writes its own.

A case may be deleted when it is:
- read: none of its images waits, and its last revision is closed;
- sent: the hospital has signed a receipt for each of its summaries (`outbox` has no row of it), and where an archive
  gets results, those of its current state are made;
- signed: a doctor is done with its current state, and for every positive finding in it a doctor has said that they
  agree, disagree or are unsure.  "No opinion" is enough for "Done" but not for deletion;
- old: nothing of it arrived after the cut-off.

Objects with its results that an archive has yet to get stay, and so do their rows, until it has them.

A case that only has objects that are not images is never read and needs no doctor: only its age decides.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from firmware_app.cases import audit, result_versions
from firmware_app.cases.casebook import WITHOUT_IMAGE
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.verdicts import DONE
from firmware_app.core import clock
from firmware_app.core.clock import Stamp
from firmware_app.core.state_dir import StateDir, sync_directory

ACTOR: Final = "box"
DELETED: Final = "case.deleted"
DAYS_OF_WORK: Final = 30
"""The newest days with arrivals are always kept, by order of arrival: a clock that jumped ahead deletes no years."""

_UNREAD: Final = (
    f"NOT {WITHOUT_IMAGE} AND (c.fresh = 1 OR c.revision = 0 OR EXISTS"
    " (SELECT 1 FROM instances w WHERE w.case_reference = c.reference AND w.state = 'waiting'))"
)
_UNSENT: Final = (
    "(EXISTS (SELECT 1 FROM outbox o WHERE o.case_reference = c.reference)"
    " OR c.earlier = 0 AND EXISTS (SELECT 1 FROM results_due d, archives a"
    " WHERE d.case_reference = c.reference AND a.sends = 1))"
)
_UNSIGNED: Final = (
    f"c.earlier = 0 AND NOT {WITHOUT_IMAGE} AND (NOT COALESCE({DONE}, 0) OR EXISTS (SELECT 1"
    " FROM readings p, json_each(p.body, '$.findings') f"
    " WHERE p.case_reference = c.reference"
    " AND json_extract(f.value, '$.probability') >= json_extract(f.value, '$.threshold')"
    " AND NOT COALESCE(json_extract(f.value, '$.outdone'), 0)"
    " AND NOT EXISTS (SELECT 1 FROM verdicts v"
    " WHERE v.case_reference = c.reference AND v.finding = json_extract(f.value, '$.code')"
    " AND v.revision >= c.revision AND v.verdict <> 'none')))"
)
_ASKED: Final = f"{_UNREAD} AS unread, {_UNSENT} AS unsent, {_UNSIGNED} AS unsigned, {WITHOUT_IMAGE} AS without_image"
# The latest possible arrival time of an image; no single clock reading is trusted.  An image arrived no earlier than
# those before it, so a time that is too early is ignored.  If its time is untrusted (a `?`, or in the future), it
# arrived before the next image with a trusted time; without such an image it may have arrived just now.
_CASES: Final = f"""
    WITH told AS (SELECT *, received_at <= :now AND received_at NOT LIKE '%?' AS sure FROM instances),
    grown AS (SELECT case_reference, sequence, bytes, sure,
        MAX(CASE WHEN sure THEN received_at END) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS at FROM told),
    bound AS (SELECT case_reference, sequence, bytes, COALESCE(MIN(CASE WHEN sure THEN at END)
        OVER (ORDER BY sequence ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), :now) AS at FROM grown),
    came AS (SELECT case_reference, MAX(at) AS at, MAX(sequence) AS last, SUM(bytes) AS bytes, COUNT(*) AS images
        FROM bound GROUP BY case_reference),
    newest AS (SELECT substr(received_at, 1, 10) AS day FROM instances GROUP BY day
        ORDER BY MAX(sequence) DESC LIMIT :days)
    SELECT c.reference, came.at, came.bytes, came.images, came.last, {_ASKED},
        came.at >= :before OR EXISTS (SELECT 1 FROM instances n
            WHERE n.case_reference = c.reference AND substr(n.received_at, 1, 10) IN (SELECT day FROM newest)) AS recent
    FROM cases c JOIN came ON came.case_reference = c.reference LEFT JOIN reviews r ON r.case_reference = c.reference
    ORDER BY came.last"""
_ONE: Final = f"""
    SELECT c.revision, (SELECT COUNT(*) FROM instances i WHERE i.case_reference = c.reference) AS images,
        (SELECT MAX(sequence) FROM instances i WHERE i.case_reference = c.reference) AS last, {_ASKED}
    FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference WHERE c.reference = ?"""


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """What is too new to be deleted: arrivals on or after *before*, and on the newest *days_of_work*."""

    now: datetime
    before: datetime
    days_of_work: int = DAYS_OF_WORK


@dataclass(frozen=True, slots=True)
class FinishedCase:
    """A case that may be deleted: the earliest time and the number of its newest image, and how many images it has."""

    case: str
    at: str
    images: int
    bytes: int
    last: int
    without_image: bool = False


@dataclass(frozen=True, slots=True)
class KeptCases:
    """How many cases are kept, each counted under the first reason that applies."""

    unread: int = 0
    unsent: int = 0
    unsigned: int = 0
    recent: int = 0


class CaseDeletion:
    """The deletion of one box's finished cases."""

    def __init__(self, state: StateDir, clinical: ClinicalDatabase) -> None:
        self._state, self._clinical = state, clinical
        # Deleted rows are overwritten, so that nobody and no rescue finds them in a free page.
        clinical.database.connection.execute("PRAGMA secure_delete=ON").fetchone()

    def list_candidates(self, limits: AgeLimits) -> tuple[list[FinishedCase], KeptCases]:
        """The cases that may be deleted, the oldest first, and how many are kept for which reason."""
        finished: list[FinishedCase] = []
        kept = dict.fromkeys(KeptCases.__slots__, 0)
        now, before = (Stamp(moment, True).text() for moment in (limits.now, limits.before))
        values = {"now": now, "before": before, "days": limits.days_of_work}
        for row in self._clinical.database.connection.execute(_CASES, values):
            holding = next((name for name in kept if row[name]), None)
            if holding is None:
                sizes = row["images"], row["bytes"], row["last"], bool(row["without_image"])
                finished.append(FinishedCase(row["reference"], row["at"], *sizes))
            else:
                kept[holding] += 1
        return finished, KeptCases(**kept)

    def delete(self, one: FinishedCase) -> bool:
        """Delete the case and its files; False when it may not be deleted any more."""
        with self._clinical.database.transaction() as connection:
            row = connection.execute(_ONE, (one.case,)).fetchone()
            is_same = row is not None and (row["images"], row["last"]) == (one.images, one.last)
            if not is_same or row["unread"] or row["unsent"] or row["unsigned"]:
                return False
            _list_files(connection, one.case)
            _delete_rows(connection, one.case, row["revision"])
            audit.append(connection, ACTOR, DELETED, one.case, {"images": one.images, "bytes": one.bytes})
        self._remove(one.case)
        return True

    def finish(self) -> int:
        """Remove the files that a killed run had listed; returns the number of cases."""
        rows = self._clinical.database.connection.execute("SELECT DISTINCT case_reference FROM leaving").fetchall()
        for row in rows:
            self._remove(row[0])
        return len(rows)

    def _remove(self, case: str) -> None:
        """Remove the files that are listed for *case* from the disk, and then from the list."""
        with self._clinical.database.transaction() as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM leaving WHERE case_reference = ?", (case,))]
            gone = [name for name in names if not _is_used(connection, name)]
            folders = {_remove(self._state.root / name) for name in gone}
            for folder in folders:
                if folder.is_dir():
                    sync_directory(folder)  # else the file could reappear after a power cut, without a row
            connection.execute("DELETE FROM leaving WHERE case_reference = ?", (case,))


def _list_files(connection: sqlite3.Connection, case: str) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO leaving (name, case_reference, bytes)"
        " SELECT file, case_reference, bytes FROM instances WHERE case_reference = :case"
        " UNION ALL SELECT 'display/' || reference, case_reference, 0 FROM instances WHERE case_reference = :case"
        " UNION ALL SELECT DISTINCT kept_file, case_reference, 0 FROM arrivals"
        " WHERE case_reference = :case AND kept_file IS NOT NULL"
        f" UNION ALL SELECT '{result_versions.REPORTS_FOLDER}/' || :case, :case, 0",
        {"case": case},
    )


def _delete_rows(connection: sqlite3.Connection, case: str, revision: int) -> None:
    """Delete *case*, and by foreign keys every row that belongs to it; totals that include it are kept."""
    connection.execute(
        "INSERT INTO forgotten (outcome, code, count, latest) SELECT outcome, COALESCE(code, ''), COUNT(*), MAX(at)"
        " FROM arrivals WHERE case_reference = ? AND outcome <> 'accepted' GROUP BY outcome, code"
        " ON CONFLICT (outcome, code) DO UPDATE SET count = count + excluded.count,"
        " latest = MAX(latest, excluded.latest)",
        (case,),
    )
    connection.execute(
        "INSERT INTO retired (case_reference, revision, arrivals, superseded, at) VALUES (:case, :revision,"
        " (SELECT COUNT(*) FROM arrivals WHERE case_reference = :case AND outcome = 'accepted'),"
        " (SELECT COUNT(*) FROM superseded WHERE case_reference = :case), :at)"
        " ON CONFLICT (case_reference) DO UPDATE SET revision = MAX(revision, excluded.revision),"
        " arrivals = arrivals + excluded.arrivals, superseded = superseded + excluded.superseded, at = excluded.at",
        {"case": case, "revision": revision, "at": clock.stamp_text("seconds")},
    )
    connection.execute(
        "DELETE FROM registrations WHERE accession IN (SELECT registration FROM identities WHERE case_reference = ?)",
        (case,),
    )
    connection.execute("DELETE FROM cases WHERE reference = ?", (case,))


def _is_used(connection: sqlite3.Connection, name: str) -> bool:
    """Whether an image that arrived since then has this name."""
    folder, _, rest = name.partition("/")
    if name.startswith(f"{result_versions.REPORTS_FOLDER}/"):
        return False  # what was signed there is gone with its case
    column = {"images": "file", "display": "reference"}.get(folder)
    if column is None:
        row = connection.execute("SELECT 1 FROM arrivals WHERE kept_file = ?", (name,)).fetchone()
    else:
        value = name if column == "file" else rest
        row = connection.execute(f"SELECT 1 FROM instances WHERE {column} = ? LIMIT 1", (value,)).fetchone()
    return row is not None


def _remove(path: Path) -> Path:
    """Remove a file or a folder, if it is there; returns the folder that held it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path.parent
