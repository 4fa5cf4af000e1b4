"""Storage Commitment both ways (PS3.4 J): what archives committed themselves to, and what this box answers for."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Reason
from firmware_app.core.rows import dump_reason
from firmware_app.dicom.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_OBJECT,
    PROCESSING_FAILURE,
    CommitmentAnswer,
    ObjectReference,
)
from firmware_app.results.archive_queue import Sending
from firmware_app.results.errors import PACS_NOT_COMMITTED, PACS_UNCOMMITTED

_MOST_REQUESTS: Final = 5000
_MOST_ANSWERS: Final = 1000


@dataclass(frozen=True, slots=True)
class OwedAnswer:
    """An answer that the machine with this AE title has not been given yet."""

    sequence: int
    calling_ae: str
    answer: CommitmentAnswer


class StorageCommitments:
    """The commitments of one clinical database."""

    def __init__(self, database: Database, titles: Mapping[str, str] = MappingProxyType({})) -> None:
        """*titles*: the AE titles of the archives by name, for sentences."""
        self._database, self._titles = database, titles

    # --- asked by us -----------------------------------------------------------------------------------------------

    def record_request(self, archive: str, objects: Iterable[Sending]) -> str:
        """Note that *archive* is asked for *objects*; returns the Transaction UID, a UUID under 2.25 (PS3.5 B.2)."""
        transaction_uid = f"2.25.{uuid.uuid4().int}"
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO commitment_requests (transaction_uid, archive, at) VALUES (?, ?, ?)",
                (transaction_uid, archive, _now()),
            )
            connection.execute(
                "DELETE FROM commitment_requests WHERE rowid <= (SELECT MAX(rowid) FROM commitment_requests) - ?",
                (_MOST_REQUESTS,),
            )
            connection.executemany(
                "UPDATE sendings SET asked = asked + 1 WHERE sequence = ?", [(sending.sequence,) for sending in objects]
            )
        return transaction_uid

    def record_report(self, said: CommitmentAnswer) -> bool:
        """Take an archive's answer; False when nothing was asked under its Transaction UID.

        What the archive does not keep waits again.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT archive FROM commitment_requests WHERE transaction_uid = ?", (said.transaction_uid,)
            ).fetchone()
            if row is None:
                return False
            for object_reference in said.kept:
                connection.execute(
                    "UPDATE sendings SET stage = 'committed', reason = NULL, failures = 0, at = ?"
                    " WHERE archive = ? AND sop_instance_uid = ? AND stage = 'stored'",
                    (_now(), row["archive"], object_reference.sop_instance_uid),
                )
            for one, failure in said.failed:
                title = self._titles.get(row["archive"], row["archive"])
                reason = Reason.from_error(PACS_NOT_COMMITTED(pacs=title, failure=f"{failure:04X}H"))
                connection.execute(
                    "UPDATE sendings SET stage = 'waiting', reason = ?, failures = failures + 1, at = ?"
                    " WHERE archive = ? AND sop_instance_uid = ? AND stage = 'stored'",
                    (dump_reason(reason), _now(), row["archive"], one.sop_instance_uid),
                )
            connection.execute(  # it is late no more
                "UPDATE archives SET reason = NULL, at = ? WHERE name = ? AND json_extract(reason, '$.code') = ?"
                " AND NOT EXISTS (SELECT 1 FROM sendings WHERE archive = name AND stage = 'stored')",
                (_now(), row["archive"], PACS_UNCOMMITTED.code),
            )
        return True

    # --- asked of us -----------------------------------------------------------------------------------------------

    def answer(self, root: Path, transaction_uid: str, objects: Sequence[ObjectReference]) -> CommitmentAnswer:
        """Which of *objects* this box keeps: those that have a row, and a file of the right size below *root*."""
        kept, failed = [], []
        for fromkey in dict.fromkeys(objects):
            failure = self._find_failure(root, fromkey)
            if failure is None:
                kept.append(fromkey)
            else:
                failed.append((fromkey, failure))
        return CommitmentAnswer(transaction_uid, tuple(kept), tuple(failed))

    def _find_failure(self, root: Path, one: ObjectReference) -> int | None:
        row = self._database.connection.execute(
            "SELECT file, bytes, json_extract(header, '$.sop_class_uid') AS sop_class FROM instances WHERE sop_uid = ?",
            (one.sop_instance_uid,),
        ).fetchone()
        if row is None:
            return NO_SUCH_OBJECT
        if row["sop_class"] != one.sop_class_uid:
            return CLASS_CONFLICT
        try:
            is_whole = (root / row["file"]).stat().st_size == row["bytes"]
        except OSError:
            is_whole = False
        return None if is_whole else PROCESSING_FAILURE

    def store_answer(self, calling_ae: str, said: CommitmentAnswer) -> int:
        """Keep an answer until it is delivered; its association is still open.  The oldest are dropped in the end."""
        body = {
            "kept": [
                [object_reference.sop_class_uid, object_reference.sop_instance_uid] for object_reference in said.kept
            ],
            "failed": [[one.sop_class_uid, one.sop_instance_uid, failure] for one, failure in said.failed],
        }
        with self._database.transaction() as connection:
            row = connection.execute(
                "INSERT INTO commitment_answers (calling_ae, transaction_uid, answer, open, at) VALUES (?, ?, ?, 1, ?)"
                " RETURNING sequence",
                (calling_ae, said.transaction_uid, json.dumps(body), _now()),
            ).fetchone()
            connection.execute(
                "DELETE FROM commitment_answers WHERE sequence <= ?", (int(row["sequence"]) - _MOST_ANSWERS,)
            )
        return int(row["sequence"])

    def remove_answer(self, sequence: int) -> None:
        """The answer has arrived, or nobody can be given it."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM commitment_answers WHERE sequence = ?", (sequence,))

    def release_answers(self, sequence: int | None = None) -> None:
        """The association of this answer has ended, of all answers without one: they are given on another."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE commitment_answers SET open = 0 WHERE ? IS NULL OR sequence = ?", (sequence, sequence)
            )

    def list_owed(self) -> list[OwedAnswer]:
        """The answers whose association has ended, the oldest first."""
        rows = self._database.connection.execute("SELECT * FROM commitment_answers WHERE open = 0 ORDER BY sequence")
        return [OwedAnswer(row["sequence"], row["calling_ae"], _read_answer(row)) for row in rows]


def _read_answer(row: sqlite3.Row) -> CommitmentAnswer:
    body = json.loads(row["answer"])
    return CommitmentAnswer(
        row["transaction_uid"],
        tuple(ObjectReference(*one) for one in body["kept"]),
        tuple((ObjectReference(sop_class, instance), failure) for sop_class, instance, failure in body["failed"]),
    )


def _now() -> str:
    return clock.stamp_text("seconds")
