"""The tables of inbox.db, one after the other: cases, boxes, drift, software, losses.  Functions of a connection.

Case revisions are read a page at a time: a million of them take no memory, and a slow caller holds no transaction open.

Of each box one row says when it was last heard, and whether it is offline.  The newest message counts, whatever stream
it belongs to.  A goodbye counts only for the newest stream: the last will of an older stream (`exchange.db` was lost or
restored since) says nothing about the box as it is now.

Of drift the last report of each week on each imaging device is kept, for half a year; of software the last report of
each box.  A loss, when the inbox was lost, rebuilt or put back, is an alarm until a person has seen it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from firmware_app.core.language import render_sentence
from firmware_app.uplink.errors import HospitalError
from firmware_app.uplink.messages.box_reports import Report
from firmware_app.uplink.messages.summary import Presence, PresenceKind
from hospital.errors import OUTDATED

_CASES_A_PAGE: Final = 1000
CASE_COLUMNS: Final = "rowid AS n, box, case_reference, revision, priority, hour, brief, received_at"
_JSON_COLUMNS: Final = (
    "rowid AS n, received_at, json_object('box', box, 'case', case_reference, 'revision', revision,"
    " 'priority', priority, 'hour', hour, 'brief', json(brief), 'received_at', received_at) AS line"
)


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case revision as the hospital knows it."""

    box: str
    case: str
    revision: int
    priority: str
    hour: str | None
    brief: dict[str, Any] | None
    received_at: str

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> CaseRow:
        """The value of a row of `cases`."""
        brief = json.loads(row["brief"]) if row["brief"] else None
        return cls(
            box=row["box"],
            case=row["case_reference"],
            revision=row["revision"],
            priority=row["priority"],
            hour=row["hour"],
            brief=brief,
            received_at=row["received_at"],
        )


def stream_cases(connection: sqlite3.Connection, *, since: str = "", box: str | None = None) -> Iterator[CaseRow]:
    """Case revisions in the order of their receipt, those received at or after *since* (ISO 8601, UTC), of *box* alone
    where one is named."""
    return map(CaseRow.from_row, _case_rows(connection, CASE_COLUMNS, since, box))


def stream_json_lines(connection: sqlite3.Connection, *, since: str = "", box: str | None = None) -> Iterator[str]:
    """What `stream_cases` yields, each as one line of JSON that SQLite writes: a million of them in seconds."""
    return (row["line"] for row in _case_rows(connection, _JSON_COLUMNS, since, box))


def has_cases_before(connection: sqlite3.Connection, since: str, box: str | None = None) -> bool:
    """Whether a list from *since* on leaves anything out."""
    of_box = "" if box is None else "box = :box AND "
    found = connection.execute(
        f"SELECT 1 FROM cases WHERE {of_box}received_at < :since LIMIT 1", {"since": since, "box": box}
    )
    return found.fetchone() is not None


def _case_rows(connection: sqlite3.Connection, columns: str, since: str, box: str | None) -> Iterator[sqlite3.Row]:
    place: tuple[str, int] = (since, -1)
    while True:
        values = {"since": place[0], "n": place[1], "box": box, "page": _CASES_A_PAGE}
        page = connection.execute(_case_query(columns, box), values).fetchall()
        yield from page
        if len(page) < _CASES_A_PAGE:
            return
        place = page[-1]["received_at"], page[-1]["n"]


def _case_query(columns: str, box: str | None) -> str:
    of_box = "" if box is None else "box = :box AND "
    return (
        f"SELECT {columns} FROM cases WHERE {of_box}(received_at, rowid) > (:since, :n)"
        " ORDER BY received_at, rowid LIMIT :page"
    )


@dataclass(frozen=True, slots=True)
class BoxRow:
    """One enrolled box.  Times are ISO 8601, UTC; None: never."""

    box: str
    last_at: str | None
    """When it last said anything new."""
    gone: bool
    """Its last word was a goodbye, its own or its last will."""
    older: bool
    """Since its last new word on itself it has said older ones only."""
    presence: dict[str, Any] | None
    """Its last new word on itself, as `summary.Presence` writes it."""

    @property
    def state(self) -> str | None:
        """Its last presence message; see `summary.PresenceKind`."""
        return str(self.presence["state"]) if self.presence else None


# --- inside the transaction that keeps the message --------------------------------------------------------------------


def record_activity(connection: sqlite3.Connection, box: str, now: str) -> None:
    """A new summary of *box* has come: the box is online, even after a goodbye."""
    connection.execute(
        "INSERT INTO heard (box, at, gone) VALUES (?, ?, 0) ON CONFLICT (box) DO UPDATE SET at = excluded.at, gone = 0",
        (box, now),
    )


def record_presence(connection: sqlite3.Connection, presence: Presence, now: str) -> None:
    """Keep a presence message that is the newest of its stream."""
    connection.execute(
        "INSERT INTO heard (box, at, said_at, stream, gone) VALUES (?, ?, ?, ?, ?) ON CONFLICT (box) DO UPDATE SET"
        " at = excluded.at, said_at = excluded.said_at, stream = excluded.stream, gone = excluded.gone, older_at = NULL"
        " WHERE NOT excluded.gone OR stream IS NULL OR stream = excluded.stream",
        (presence.origin.box, now, now, presence.origin.stream, presence.state is PresenceKind.DEATH),
    )


def record_older_presence(connection: sqlite3.Connection, box: str, now: str) -> None:
    """Note a message of *box* that is older than its last: `exchange.db` was restored, or somebody repeats messages."""
    connection.execute("UPDATE heard SET older_at = ? WHERE box = ?", (now, box))


# --- questions --------------------------------------------------------------------------------------------------------


def list_boxes(connection: sqlite3.Connection) -> list[BoxRow]:
    """Every enrolled box that was not revoked, by name."""
    rows = connection.execute(
        "SELECT b.box, h.at, h.gone, h.older_at, p.body FROM boxes b LEFT JOIN heard h ON h.box = b.box"
        " LEFT JOIN presence p ON p.box = b.box AND p.stream = h.stream WHERE b.revoked_at IS NULL ORDER BY b.box"
    )
    return [
        BoxRow(
            row["box"],
            row["at"],
            bool(row["gone"]),
            row["older_at"] is not None,
            json.loads(row["body"]) if row["body"] else None,
        )
        for row in rows
    ]


REPORT_WEEKS: Final = 26
MOST_WEEKLY_ROWS: Final = 16 * REPORT_WEEKS
"""Rows of one box and kind, the newest: as many subjects as a box tells of."""


def keep_report(connection: sqlite3.Connection, report: Report, now: str, *, again: bool = False) -> bool:
    """Keep *report*, received at *now*; False when it is known already.  Raises `OUTDATED` when a later one of the same
    stream is here.  *again*: the broker itself says that it delivers this once more."""
    origin, body = report.origin, json.dumps(report.to_object())
    last = connection.execute(
        "SELECT * FROM latest WHERE box = ? AND kind = ? AND subject = ? ORDER BY received_at DESC, week DESC LIMIT 1",
        (origin.box, report.name, report.subject),
    ).fetchone()
    is_later = last is None or last["stream"] != origin.stream
    if not is_later and (origin.seq, report.beat) <= (last["session"], last["beat"]):
        if again or last["body"] == body:
            return False
        raise OUTDATED()
    year, week, _ = datetime.fromisoformat(now).isocalendar()
    connection.execute(
        "INSERT OR REPLACE INTO latest (box, kind, subject, week, stream, session, beat, body, received_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            origin.box,
            report.name,
            report.subject,
            f"{year:04d}-W{week:02d}" if report.is_kept_by_weeks else "",
            origin.stream,
            origin.seq,
            report.beat,
            body,
            now,
        ),
    )
    connection.execute(
        "DELETE FROM latest WHERE box = ?1 AND kind = ?2 AND rowid NOT IN"
        " (SELECT rowid FROM latest WHERE box = ?1 AND kind = ?2 ORDER BY received_at DESC LIMIT ?3)",
        (origin.box, report.name, MOST_WEEKLY_ROWS),
    )
    return True


def list_latest_reports(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The latest report of each box, kind and subject."""
    rows = connection.execute(
        "SELECT box, kind, subject, body, MAX(received_at) AS received_at FROM latest"
        " GROUP BY box, kind, subject ORDER BY box, kind, subject"
    )
    columns = ("box", "kind", "subject", "received_at")
    return [{**{name: row[name] for name in columns}, "report": json.loads(row["body"])} for row in rows]


def list_drift_weeks(connection: sqlite3.Connection, box: str) -> list[dict[str, Any]]:
    """Every kept week of *box*, the newest first."""
    rows = connection.execute(
        "SELECT * FROM latest WHERE box = ? AND kind = 'watch' ORDER BY week DESC, subject", (box,)
    )
    return [_drift_row(row) for row in rows]


def list_latest_drift(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The last word on each machine of each box that is not revoked; those with a change first."""
    rows = connection.execute(
        "SELECT w.*, MAX(w.received_at) FROM latest w JOIN boxes b ON b.box = w.box AND b.revoked_at IS NULL"
        " WHERE w.kind = 'watch' GROUP BY w.box, w.subject ORDER BY w.box, w.subject"
    )
    return sorted((_drift_row(row) for row in rows), key=lambda one: not one["changed"])


def _drift_row(row: sqlite3.Row) -> dict[str, Any]:
    place = json.loads(row["body"])["place"]
    changed = [one["measure"] for one in place["measures"] if one["state"] == "changed"]
    return {"box": row["box"], "week": row["week"], "received_at": row["received_at"], **place, "changed": changed}


@dataclass(frozen=True, slots=True)
class VersionCount:
    """How many boxes run a version now, and how many have left it."""

    machine: str
    version: str
    runs: int
    left: int


def list_latest_software(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The last word of each box that is not revoked, by name; those that left a slot first."""
    rows = connection.execute(
        "SELECT s.box, s.received_at, s.body FROM latest s JOIN boxes b ON b.box = s.box AND b.revoked_at IS NULL"
        " WHERE s.kind = 'software' ORDER BY s.box"
    )
    said = [
        {"box": row["box"], "received_at": row["received_at"], **json.loads(row["body"])["software"]} for row in rows
    ]
    return sorted(said, key=lambda one: one["left"] is None)


def count_versions(said: list[dict[str, Any]]) -> list[VersionCount]:
    """Each version of each kind of machine, the latest first."""
    runs = Counter((one["machine"] or "", one["version"]) for one in said)
    left = Counter((one["machine"] or "", one["left"]["version"] or "") for one in said if one["left"])
    every = sorted({*runs, *left}, key=lambda one: (one[0], _version_order(one[1])), reverse=True)
    return [VersionCount(*one, runs[one], left[one]) for one in every]


def _version_order(version: str) -> list[tuple[int, int, str]]:
    """Numbers as numbers, so that 0.10 comes after 0.9; a tilde before everything, as Debian sorts."""
    parts = re.findall(r"\d+|[^\d]+", version)
    return [(1, int(part), "") if part.isdigit() else (-1 if part[0] == "~" else 2, 0, part) for part in parts] + [
        (0, 0, "")
    ]


@dataclass(frozen=True, slots=True)
class InboxLoss:
    """What happened to the inbox, as an error said it, and when (ISO 8601, UTC)."""

    at: str
    code: str
    details: Mapping[str, Any]

    def text(self, language: str = "en") -> str:
        """The sentence a person reads."""
        return render_sentence(self.code, self.details, language)


def record_loss(connection: sqlite3.Connection, what: HospitalError) -> None:
    """Keep *what*, inside the caller's transaction."""
    connection.execute(
        "INSERT INTO losses (at, code, details) VALUES (?, ?, ?)", (_now(), what.code, json.dumps(dict(what.details)))
    )


def has_losses(connection: sqlite3.Connection) -> bool:
    """Whether anything has ever happened to this inbox."""
    return connection.execute("SELECT 1 FROM losses").fetchone() is not None


def list_unseen_losses(connection: sqlite3.Connection) -> list[InboxLoss]:
    """What nobody has seen yet, the oldest first."""
    rows = connection.execute("SELECT at, code, details FROM losses WHERE seen_at IS NULL ORDER BY id")
    return [InboxLoss(row["at"], row["code"], json.loads(row["details"])) for row in rows]


def mark_losses_seen(connection: sqlite3.Connection) -> None:
    """A person has seen all of them; inside the caller's transaction."""
    connection.execute("UPDATE losses SET seen_at = ? WHERE seen_at IS NULL", (_now(),))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
