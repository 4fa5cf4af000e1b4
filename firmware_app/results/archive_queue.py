"""The queue of objects for each archive, and how far each of them has come.

An object is *waiting* until the archive has answered its C-STORE with success.  Then it is *stored* until the archive
commits itself to keep it, after which it is *committed*; where the archive offers no Storage Commitment it is
*accepted* at once.  Only committed and accepted objects are called sent.  Objects that wait while a newer version of
the case is queued are *replaced*.  Every change is durable on return, so a process that is killed at any moment begins
again with what the archive has not answered, under the same SOP Instance UIDs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from firmware_app.cases import audit
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Reason
from firmware_app.core.rows import dump_reason, parse_reason
from firmware_app.results.due_cases import DueCase

ACTOR: Final = "box"
QUEUED: Final = "results.queued"


class SendingStage(StrEnum):
    """How far an object has come on its way to one archive."""

    WAITING = "waiting"
    STORED = "stored"
    COMMITTED = "committed"
    ACCEPTED = "accepted"
    REPLACED = "replaced"


SENT: Final = frozenset((SendingStage.COMMITTED, SendingStage.ACCEPTED))


@dataclass(frozen=True, slots=True)
class QueuedObject:
    """One object on the disk; `file` is below ``outgoing/``."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    file: str


@dataclass(frozen=True, slots=True)
class Sending:
    """One object on its way to one archive."""

    sequence: int
    archive: str
    case: str
    version: int
    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    file: str
    stage: SendingStage
    failures: int
    asked: int
    reason: Reason | None
    at: clock.Stamp


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """What is known of an archive: why the last try failed, and whether it offers Storage Commitment."""

    name: str
    reason: Reason | None
    commits: bool | None
    at: clock.Stamp


class SendingQueue:
    """The queues of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._database.connection

    # --- archives --------------------------------------------------------------------------------------------------

    def set_archives(self, places: Mapping[str, str]) -> None:
        """Make the keys of *places* the archives that get results; a value says which archive that is (`Peer.address`).

        Where none got any until now, nothing is due: what was read before is not sent unless a person asks for it.
        What waits for an archive that gets none any more is given up.  A name that stands for another archive than
        before begins anew: it has nothing yet, and the cases that were on their way are due again.
        """
        with self._database.transaction() as connection:
            known = {row["name"]: row for row in connection.execute("SELECT * FROM archives")}
            if not places or not any(row["sends"] for row in known.values()):
                connection.execute("DELETE FROM results_due WHERE again = 0")
            for name, row in known.items():
                if name not in places:
                    connection.execute("UPDATE archives SET sends = 0 WHERE name = ?", (name,))
                    connection.execute(
                        "UPDATE sendings SET stage = 'replaced', at = ?"
                        " WHERE archive = ? AND stage IN ('waiting', 'stored')",
                        (_now(), name),
                    )
                elif row["place"] not in (None, places[name]):
                    _restart_archive(connection, name)
            connection.executemany(
                "INSERT INTO archives (name, at, place) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET place = excluded.place, sends = 1",
                [(name, _now(), place) for name, place in places.items()],
            )

    def give_up_other_kinds(self, archive: str, kinds: Collection[str]) -> None:
        """Give up what waits for *archive* and is of none of *kinds*: it is not to get such objects any more."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sendings SET stage = 'replaced', at = ? WHERE archive = ? AND stage = 'waiting'"
                " AND kind NOT IN (SELECT value FROM json_each(?))",
                (_now(), archive, json.dumps(list(kinds))),
            )

    def list_archives(self) -> list[ArchiveState]:
        """Those that get results."""
        rows = self._connection.execute("SELECT * FROM archives WHERE sends = 1 ORDER BY name")
        return [
            ArchiveState(
                row["name"],
                parse_reason(row["reason"]),
                None if row["commits"] is None else bool(row["commits"]),
                clock.parse_stamp(row["at"]),
            )
            for row in rows
        ]

    def record_attempt(self, archive: str, reason: Reason | None, commits: bool | None = None) -> None:
        """Record why the last try failed, None after one that did not, and whether *archive* offers commitment."""
        said = dump_reason(reason)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE archives SET reason = ?, commits = COALESCE(?, commits), at = ?"
                " WHERE name = ? AND (reason IS NOT ? OR COALESCE(?, commits) IS NOT commits)",
                (said, commits, _now(), archive, said, commits),
            )

    # --- what goes in ----------------------------------------------------------------------------------------------

    def list_lacking(self, case: str, version: int, archives: Iterable[str]) -> list[str]:
        """Those of *archives* into whose queue this version of *case* has not been put."""
        rows = self._connection.execute(
            "SELECT archive FROM queued_results WHERE case_reference = ? AND version >= ?", (case, version)
        )
        queued = {row["archive"] for row in rows}
        return [name for name in archives if name not in queued]

    def put(
        self, due: DueCase, version: int, objects: Sequence[QueuedObject], wanted: Mapping[str, Collection[str]]
    ) -> None:
        """Put *objects*, in their order, into the queue of each archive that wants their kind (archive -> kinds).

        Waiting objects of earlier versions are replaced.  An object that an archive has already is not sent again,
        unless a person asked for it.
        """
        with self._database.transaction() as connection:
            for archive, kinds in wanted.items():
                mine = [queued_object for queued_object in objects if queued_object.kind in kinds]
                for queued_object in mine:
                    connection.execute(
                        _PUT_AGAIN if due.again else _PUT,
                        (
                            archive,
                            due.case,
                            version,
                            queued_object.kind,
                            queued_object.sop_class_uid,
                            queued_object.sop_instance_uid,
                            queued_object.file,
                            _now(),
                        ),
                    )
                connection.execute(
                    "UPDATE sendings SET stage = 'replaced', at = ?"
                    " WHERE archive = ? AND case_reference = ? AND version < ? AND stage = 'waiting'",
                    (_now(), archive, due.case, version),
                )
                connection.execute(
                    "INSERT OR REPLACE INTO queued_results (archive, case_reference, version) VALUES (?, ?, ?)",
                    (archive, due.case, version),
                )
                audit.append(connection, ACTOR, QUEUED, due.case, {"archive": archive, "objects": len(mine)})

    def requeue_lost(self, one: Sending) -> None:
        """The file of *one* is gone: have the case's objects made again, unless the case was deleted."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sendings WHERE sequence = ?", (one.sequence,))
            connection.execute("DELETE FROM queued_results WHERE case_reference = ?", (one.case,))
            connection.execute(
                "INSERT INTO results_due (case_reference) SELECT reference FROM cases WHERE reference = ?"
                " ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1",
                (one.case,),
            )

    # --- what comes of it ------------------------------------------------------------------------------------------

    def list_waiting(self, archive: str, most: int = 200, put_off: Collection[int] = ()) -> list[Sending]:
        """The objects that *archive* has not answered with success, in the order of sending, without *put_off*."""
        return self._rows(
            "archive = ? AND stage = 'waiting' AND sequence NOT IN (SELECT value FROM json_each(?))"
            " ORDER BY sequence LIMIT ?",
            archive,
            json.dumps(list(put_off)),
            most,
        )

    def filter_open(self, sequences: Collection[int]) -> set[int]:
        """Those of *sequences* that wait or are stored."""
        rows = self._connection.execute(
            "SELECT sequence FROM sendings WHERE stage IN ('waiting', 'stored')"
            " AND sequence IN (SELECT value FROM json_each(?))",
            (json.dumps(list(sequences)),),
        )
        return {row["sequence"] for row in rows}

    def list_stored(self, archive: str, most: int = 1000) -> list[Sending]:
        """The objects that *archive* has stored and not committed itself to keep."""
        return self._rows("archive = ? AND stage = 'stored' ORDER BY sequence LIMIT ?", archive, most)

    def list_of_case(self, case: str) -> list[Sending]:
        """All objects of *case*, those of the newest version last."""
        return self._rows("case_reference = ? ORDER BY version, sequence", case)

    def list_refusals(self) -> list[tuple[str, Reason]]:
        """Archive and reason, each once, of the objects that were not taken and wait for the next try."""
        rows = self._connection.execute(
            "SELECT DISTINCT archive, reason FROM sendings WHERE stage = 'waiting' AND reason IS NOT NULL"
        )
        return [(row["archive"], reason) for row in rows if (reason := parse_reason(row["reason"])) is not None]

    def count_by_stage(self) -> dict[str, dict[SendingStage, int]]:
        """Archive -> stage -> number of objects."""
        found: dict[str, dict[SendingStage, int]] = {}
        for row in self._connection.execute("SELECT archive, stage, COUNT(*) AS n FROM sendings GROUP BY 1, 2"):
            found.setdefault(row["archive"], {})[SendingStage(row["stage"])] = row["n"]
        return found

    def record_success(self, one: Sending, *, commits: bool) -> None:
        """The archive answered with success; *commits*: it will be asked for its commitment."""
        self._change(one, SendingStage.STORED if commits else SendingStage.ACCEPTED)

    def accept_stored(self, archive: str) -> None:
        """*archive* is asked for no commitment, or offers none: what it has stored is accepted."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sendings SET stage = 'accepted', reason = NULL, asked = 0, at = ?"
                " WHERE archive = ? AND stage = 'stored'",
                (_now(), archive),
            )

    def record_failure(self, one: Sending, reason: Reason) -> None:
        """The archive did not take the object; it goes on waiting."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sendings SET reason = ?, failures = failures + 1, at = ?"
                " WHERE sequence = ? AND stage = 'waiting'",
                (dump_reason(reason), _now(), one.sequence),
            )

    def _change(self, one: Sending, stage: SendingStage) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sendings SET stage = ?, reason = NULL, asked = 0, at = ? WHERE sequence = ?"
                " AND stage IN ('waiting', 'stored')",
                (stage, _now(), one.sequence),
            )

    def filter_needed(self, files: Collection[str]) -> set[str]:
        """Those of *files*, paths below ``outgoing/``, that an archive has yet to get."""
        rows = self._connection.execute("SELECT DISTINCT file FROM sendings WHERE stage IN ('waiting', 'stored')")
        return {row["file"] for row in rows} & set(files)

    def delete_orphans(self) -> None:
        """Forget objects that have arrived or were replaced and whose case was deleted."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM sendings WHERE stage NOT IN ('waiting', 'stored')"
                " AND case_reference NOT IN (SELECT reference FROM cases)"
            )

    def _rows(self, condition: str, *values: object) -> list[Sending]:
        return [
            _read_sending(row) for row in self._connection.execute(f"SELECT * FROM sendings WHERE {condition}", values)
        ]


_PUT: Final = (
    "INSERT INTO sendings (archive, case_reference, version, kind, sop_class_uid, sop_instance_uid, file, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (archive, sop_instance_uid) DO UPDATE SET"
    " version = excluded.version, file = excluded.file,"
    " stage = CASE stage WHEN 'replaced' THEN 'waiting' ELSE stage END"
)
_PUT_AGAIN: Final = _PUT.replace(
    "CASE stage WHEN 'replaced' THEN 'waiting' ELSE stage END",
    "'waiting', failures = 0, asked = 0, reason = NULL, at = excluded.at",
)


def _restart_archive(connection: sqlite3.Connection, archive: str) -> None:
    """Nothing has arrived at *archive* yet.  What was on its way is made again, or waits where its case is deleted."""
    connection.execute(
        "INSERT INTO results_due (case_reference) SELECT DISTINCT case_reference FROM sendings"
        " WHERE archive = ? AND stage IN ('waiting', 'stored') AND case_reference IN (SELECT reference FROM cases)"
        " ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1",
        (archive,),
    )
    connection.execute(
        "DELETE FROM sendings WHERE archive = ?"
        " AND (stage NOT IN ('waiting', 'stored') OR case_reference IN (SELECT reference FROM cases))",
        (archive,),
    )
    connection.execute(
        "UPDATE sendings SET stage = 'waiting', failures = 0, asked = 0, reason = NULL, at = ? WHERE archive = ?",
        (_now(), archive),
    )
    for table in ("queued_results", "commitment_requests"):
        connection.execute(f"DELETE FROM {table} WHERE archive = ?", (archive,))
    connection.execute("UPDATE archives SET reason = NULL, commits = NULL, at = ? WHERE name = ?", (_now(), archive))


def locate_file(root: Path, one: Sending) -> Path:
    """Where the object of *one* lies; *root* is ``outgoing/``."""
    return root / one.file


def _read_sending(row: sqlite3.Row) -> Sending:
    return Sending(
        sequence=row["sequence"],
        archive=row["archive"],
        case=row["case_reference"],
        version=row["version"],
        kind=row["kind"],
        sop_class_uid=row["sop_class_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        file=row["file"],
        stage=SendingStage(row["stage"]),
        failures=row["failures"],
        asked=row["asked"],
        reason=parse_reason(row["reason"]),
        at=clock.parse_stamp(row["at"]),
    )


def _now() -> str:
    return clock.stamp_text("seconds")
