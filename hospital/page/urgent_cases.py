"""The urgent cases of the last 24 hours, shared fairly between boxes: a box with many leaves room for the others.

Cases received while this machine's clock was ahead have a time in the future.  They are listed last, and only until a
day of cases with a right time has come after them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hospital.inbox.inbox_tables import CASE_COLUMNS, CaseRow

TONIGHT: Final = timedelta(hours=24)
AHEAD: Final = timedelta(minutes=5)
"""A time so far from now lies in the future: the clock was ahead then."""
ROOM: Final = 200
"""Cases of the first page, at most; each box that has any shows one at least."""
PAGE: Final = 100
"""Cases of one page of one box."""
MOST_COUNTED: Final = 1000
"""A box's cases are counted so far; above that the page says “more than”."""

# The query steps from box to box in the index: one lookup per box, not one per case.
_COUNTS: Final = """
WITH RECURSIVE named(box) AS (
    SELECT MIN(box) FROM cases WHERE priority = 'urgent'
    UNION ALL
    SELECT (SELECT MIN(c.box) FROM cases c WHERE c.priority = 'urgent' AND c.box > named.box)
        FROM named WHERE named.box IS NOT NULL
)
SELECT box, (SELECT COUNT(*) FROM (SELECT 1 FROM cases c INDEXED BY cases_urgent
    WHERE c.priority = 'urgent' AND c.box = named.box AND c.received_at >= :since
    AND (c.received_at <= :until OR c.rowid > :after) LIMIT :most)) AS n
FROM named WHERE box IS NOT NULL
"""
_NEWEST: Final = f"""
SELECT {CASE_COLUMNS} FROM cases INDEXED BY cases_urgent
WHERE priority = 'urgent' AND box = :box AND received_at >= :since AND (received_at, rowid) < (:before, :n)
    AND rowid > :after
ORDER BY received_at DESC, rowid DESC LIMIT :page
"""
_BEFORE_TONIGHT: Final = "SELECT rowid FROM cases WHERE received_at < ? ORDER BY received_at DESC, rowid DESC LIMIT 1"
_AFTER_ALL: Final = "~"  # sorts after every ISO 8601 time


@dataclass(frozen=True, slots=True)
class _Night:
    """From *since* until *until* (ISO 8601, UTC); what came in the future counts from the row *after* on."""

    since: str
    until: str
    after: int


@dataclass(frozen=True, slots=True)
class BoxShare:
    """A box's urgent cases: how many it has (`bounded`: so many at least), and how many of them are on the page."""

    box: str
    count: int
    shown: int
    bounded: bool

    @property
    def more(self) -> int:
        """How many are not on the page."""
        return self.count - self.shown


@dataclass(frozen=True, slots=True)
class UrgentCases:
    """The newest urgent cases, and every box that has any, by name."""

    cases: list[CaseRow]
    boxes: list[BoxShare]


@dataclass(frozen=True, slots=True)
class BoxPage:
    """One page of a box's urgent cases, the newest first; `older` is where the next one begins, None at the end."""

    cases: list[CaseRow]
    older: int | None


def urgent(connection: sqlite3.Connection, now: datetime) -> UrgentCases:
    """Tonight's urgent cases of all boxes, the newest first."""
    night = _night(connection, now)
    asked = {"since": night.since, "until": night.until, "after": night.after, "most": MOST_COUNTED}
    rows = connection.execute(_COUNTS, asked)
    counts = {row["box"]: row["n"] for row in rows if row["n"]}
    shares = share_room(counts, ROOM)
    newest = [row for box, page in shares.items() for row in _query_newest(connection, box, night, page)]
    newest.sort(key=lambda row: (row["received_at"] <= night.until, row["received_at"], row["n"]), reverse=True)
    boxes = [BoxShare(box, count, shares[box], count == MOST_COUNTED) for box, count in sorted(counts.items())]
    return UrgentCases([CaseRow.from_row(row) for row in newest], boxes)


def list_box_cases(connection: sqlite3.Connection, box: str, now: datetime, before: int | None) -> BoxPage:
    """Tonight's urgent cases of one box, from the one behind *before* on (`BoxPage.older` of the page before it)."""
    rows = _query_newest(connection, box, _night(connection, now), PAGE + 1, before)
    page = rows[:PAGE]
    return BoxPage([CaseRow.from_row(row) for row in page], page[-1]["n"] if len(rows) > PAGE else None)


def share_room(counts: Mapping[str, int], room: int) -> dict[str, int]:
    """How many each may show so that all are within *room*: what the small ones leave, the large ones share.  Each
    shows one at least."""
    shares, left = {}, room
    for place, (box, count) in enumerate(sorted(counts.items(), key=lambda item: item[1])):
        shares[box] = max(1, min(count, left // (len(counts) - place)))
        left -= shares[box]
    return shares


def _query_newest(
    connection: sqlite3.Connection, box: str, night: _Night, page: int, before: int | None = None
) -> list[sqlite3.Row]:
    place = (_AFTER_ALL, 0)
    if before is not None:
        row = connection.execute("SELECT received_at FROM cases WHERE rowid = ?", (before,)).fetchone()
        place = (row["received_at"] if row else _AFTER_ALL, before)
    ahead = before is not None and night.until < place[0] < _AFTER_ALL

    def some(since: str, place: tuple[str, int], after: int, page: int) -> list[sqlite3.Row]:
        asked = {"box": box, "since": since, "before": place[0], "n": place[1], "after": after, "page": page}
        return connection.execute(_NEWEST, asked).fetchall()

    now = [] if ahead else some(night.since, min(place, (night.until, 0)), -1, page)
    return now + some(night.until, place if ahead else (_AFTER_ALL, 0), night.after, page - len(now))


def _night(connection: sqlite3.Connection, now: datetime) -> _Night:
    since, until = (moment.isoformat(timespec="milliseconds") for moment in (now - TONIGHT, now + AHEAD))
    row = connection.execute(_BEFORE_TONIGHT, (since,)).fetchone()
    return _Night(since, until, row["rowid"] if row else -1)
