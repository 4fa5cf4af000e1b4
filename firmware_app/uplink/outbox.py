"""What clinical.db keeps for the uplink: the outbox, and the stream of exchange.db that it last agreed with.

`Outbox` has a row for every case revision that the hospital has not signed for yet.  The row is written in the
transaction that closes the revision, and stays until the signed receipt, whatever happens to exchange.db.  It keeps the
number and the hash under which it was sent, because the uplink's user may write exchange.db.

`KnownStream` remembers the stream, the highest number given out, and the hospital's newest key.  exchange.db may be
lost, restored from an old copy, or written by an attacker who controls the uplink.  If it does not match this row, a
new stream begins, and everything without a receipt is sent again.

The reader loads this module always, so it has no cryptography.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from firmware_app.core import clock
from firmware_app.core.clock import Stamp
from firmware_app.core.database import Database
from firmware_app.core.records import Case, Priority, ReadingStatus
from firmware_app.uplink.exchange.exchange_db import OutgoingRow, StreamCounters
from firmware_app.uplink.messages.message import MOST_BODY_BYTES
from firmware_app.uplink.messages.summary import (
    MOST_SEQ,
    Brief,
    FindingBrief,
    Modality,
    Opinion,
    SummaryRuntime,
    choose_size_band,
    shorten_quality_code,
)

_PACK_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}", re.ASCII)
_MOST_FINDINGS: Final = 32
_BRIEF_BYTES: Final = MOST_BODY_BYTES - 220  # 220: the most that `Origin` takes


@dataclass(frozen=True, slots=True)
class Outbox:
    """The rows of one clinical database."""

    database: Database

    def put(self, case: Case) -> None:
        """Inside the caller's transaction: add this revision of *case*."""
        brief = make_brief(case, clock.stamp())
        self.database.connection.execute(
            "INSERT INTO outbox (case_reference, revision, urgent, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (case_reference, revision) DO NOTHING",
            (brief.case, brief.revision, brief.priority is Priority.URGENT, json.dumps(brief.to_object())),
        )

    def list_waiting(self, limit: int, *, urgent_only: bool = False) -> list[Brief]:
        """The revisions that exchange.db does not have yet, urgent ones first, then in their order."""
        rows = self.database.connection.execute(
            "SELECT body FROM outbox WHERE relayed = 0 AND urgent >= ? ORDER BY urgent DESC, rowid LIMIT ?",
            (urgent_only, limit),
        )
        return [shorten_brief(Brief.from_object(json.loads(row[0]))) for row in rows]

    def record_relayed(self, rows: Collection[tuple[Brief, int, str]]) -> None:
        """Record the message number and hash of each row in exchange.db; inside the caller's transaction."""
        self.database.connection.executemany(
            "UPDATE outbox SET relayed = 1, seq = ?, hash = ? WHERE case_reference = ? AND revision = ?",
            [(seq, hashed, brief.case, brief.revision) for brief, seq, hashed in rows],
        )

    def settle(self, taken: Collection[tuple[int, str]], signed_at: int | None = None) -> set[int]:
        """Delete what the hospital has signed for, by number and hash, and keep that it did: at *signed_at* in Unix
        seconds by its clock, None where it doubts it.  Returns those of the numbers under which other bytes were sent,
        which the hospital does not have."""
        with self.database.transaction() as connection:
            _keep_receipts(connection, taken, signed_at)
            connection.executemany("DELETE FROM outbox WHERE seq = ? AND hash = ?", taken)
        return self.list_numbers() & {seq for seq, _ in taken}

    def is_awaiting_receipt(self, seq: int, hashed: str) -> bool:
        """Whether the message of this number and hash is waiting for its receipt."""
        row = self.database.connection.execute("SELECT 1 FROM outbox WHERE seq = ? AND hash = ?", (seq, hashed))
        return row.fetchone() is not None

    def mark_for_resending(self, seqs: Collection[int] | None = None) -> int:
        """Mark what was sent under these numbers (None: everything sent) to be sent again.  Returns how many rows."""
        change, connection = "UPDATE outbox SET relayed = 0, seq = NULL, hash = NULL", self.database.connection
        if seqs is None:
            return connection.execute(f"{change} WHERE relayed = 1").rowcount
        with self.database.transaction():
            return connection.executemany(f"{change} WHERE seq = ?", [(seq,) for seq in seqs]).rowcount

    def list_numbers(self) -> set[int]:
        """The numbers of the messages that wait for a receipt."""
        rows = self.database.connection.execute("SELECT DISTINCT seq FROM outbox WHERE seq IS NOT NULL")
        return {row[0] for row in rows}

    def count(self) -> int:
        """How many case revisions the hospital has not acknowledged."""
        return int(self.database.connection.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])


def _keep_receipts(connection: sqlite3.Connection, taken: Collection[tuple[int, str]], signed_at: int | None) -> None:
    at = (
        Stamp(datetime.fromtimestamp(signed_at, UTC), True).text("seconds")
        if signed_at
        else clock.stamp_text("seconds")
    )
    connection.executemany(
        "INSERT INTO hospital_receipts (case_reference, revision, at)"
        " SELECT case_reference, revision, ? FROM outbox WHERE seq = ? AND hash = ?"
        " AND case_reference IN (SELECT reference FROM cases)"
        " ON CONFLICT (case_reference) DO UPDATE SET revision = excluded.revision, at = excluded.at"
        " WHERE excluded.revision > revision",
        [(at, *message) for message in taken],
    )


def shorten_brief(brief: Brief) -> Brief:
    """*brief* with as many findings, the most probable first, as always fit into an envelope."""
    while brief.findings and len(brief.encode()) > _BRIEF_BYTES:
        brief = replace(brief, findings=brief.findings[:-1])
    return brief


def make_brief(case: Case, taken: clock.Stamp) -> Brief:
    """All that the hospital may know about *case*.

    Never raises for a case of this box: values outside the permitted form are shortened or become "other".
    """
    read = [reading for reading in case.readings if reading.status is ReadingStatus.READ]
    pack = read[0].pack if read else None
    reasons = [reading.reason for reading in case.readings if reading.reason and not read]
    hints = [hint for reading in read for hint in reading.quality.hints]
    said = case.incomplete or next(iter(reasons or hints), None)
    findings = sorted(case.findings, key=lambda finding: -finding.probability)[:_MOST_FINDINGS]
    return Brief(
        case=case.reference or "",
        revision=case.revision,
        modality=Modality.from_header(case.modality),
        pack=pack.name[:40] if pack else None,
        pack_version=pack.version if pack and _PACK_VERSION.fullmatch(pack.version) else None,
        runtime=SummaryRuntime.from_key(pack.runtime) if pack else None,
        priority=case.priority or Priority.CANNOT_JUDGE,
        findings=tuple(FindingBrief(finding.code[:64], round(100 * finding.probability)) for finding in findings),
        lesions=min(len(case.lesions), 9999),
        size_band=choose_size_band([lesion.largest("long_axis_mm") for lesion in case.lesions]),
        quality=shorten_quality_code(said.code if said else None),
        latency_ms=round(max((reading.timing.total for reading in case.readings), default=0)),
        verdict=Opinion.NONE,
        hour=clock.format_trusted_hour(taken),
    )


@dataclass(frozen=True, slots=True)
class KnownStream:
    """The row `line_memory` of one clinical database."""

    database: Database

    def matches(self, counters: StreamCounters) -> bool:
        """Whether *counters* of exchange.db are of the known stream, have not decreased and have numbers left."""
        row = self.database.connection.execute("SELECT stream, highest, session FROM line_memory").fetchone()
        return (
            row is not None
            and row["stream"] == counters.stream
            and row["highest"] <= counters.highest < MOST_SEQ
            and row["session"] <= counters.session < MOST_SEQ
        )

    def read_stream(self) -> str | None:
        """The stream that is known."""
        row = self.database.connection.execute("SELECT stream FROM line_memory").fetchone()
        return row["stream"] if row else None

    def begin(self, counters: StreamCounters) -> None:
        """Use this stream from now on; inside the caller's transaction."""
        self.database.connection.execute(
            "INSERT INTO line_memory (id, stream, highest, session) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET stream = excluded.stream, highest = excluded.highest, session = excluded.session",
            (counters.stream, counters.highest, counters.session),
        )

    def record_used(self, rows: Collection[OutgoingRow]) -> None:
        """Record that these numbers were used; inside the caller's transaction."""
        highest = max(row.seq for row in rows)
        self.database.connection.execute("UPDATE line_memory SET highest = MAX(highest, ?)", (highest,))

    def record_session(self, session: int) -> None:
        """Record the number of the uplink's latest connection; written only when it has changed."""
        connection = self.database.connection
        if connection.execute("SELECT session FROM line_memory").fetchone()[0] < session:
            connection.execute("UPDATE line_memory SET session = ?", (session,))

    def keep_keys(self, hospital: str, signed: bytes) -> None:
        """The newest keys message of *hospital*, as it was signed."""
        self.database.connection.execute("UPDATE line_memory SET hospital = ?, keys = ?", (hospital, signed))

    def read_keys(self, hospital: str) -> bytes | None:
        """The newest keys message of *hospital*; None before the first."""
        row = self.database.connection.execute(
            "SELECT keys FROM line_memory WHERE hospital = ?", (hospital,)
        ).fetchone()
        return bytes(row[0]) if row and row[0] is not None else None
