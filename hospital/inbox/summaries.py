"""The received case revisions, read a page at a time: a million of them take no memory, and a slow caller holds no
transaction open."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_PAGE: Final = 1000
COLUMNS: Final = "rowid AS n, box, case_reference, revision, priority, hour, brief, received_at"
_LINE: Final = (
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
    def of(cls, row: sqlite3.Row) -> CaseRow:
        """The value of a row of `cases`."""
        brief = json.loads(row["brief"]) if row["brief"] else None
        return cls(
            row["box"], row["case_reference"], row["revision"], row["priority"], row["hour"], brief, row["received_at"]
        )


def stream(connection: sqlite3.Connection, *, since: str = "", box: str | None = None) -> Iterator[CaseRow]:
    """Case revisions in the order of their receipt, those received at or after *since* (ISO 8601, UTC), of *box* alone
    where one is named."""
    return map(CaseRow.of, _rows(connection, COLUMNS, since, box))


def lines(connection: sqlite3.Connection, *, since: str = "", box: str | None = None) -> Iterator[str]:
    """What `stream` yields, each as one line of JSON that SQLite writes: a million of them in seconds."""
    return (row["line"] for row in _rows(connection, _LINE, since, box))


def is_any_before(connection: sqlite3.Connection, since: str, box: str | None = None) -> bool:
    """Whether a list from *since* on leaves anything out."""
    of_box = "" if box is None else "box = :box AND "
    found = connection.execute(
        f"SELECT 1 FROM cases WHERE {of_box}received_at < :since LIMIT 1", {"since": since, "box": box}
    )
    return found.fetchone() is not None


def _rows(connection: sqlite3.Connection, columns: str, since: str, box: str | None) -> Iterator[sqlite3.Row]:
    place: tuple[str, int] = (since, -1)
    while True:
        values = {"since": place[0], "n": place[1], "box": box, "page": _PAGE}
        page = connection.execute(_question(columns, box), values).fetchall()
        yield from page
        if len(page) < _PAGE:
            return
        place = page[-1]["received_at"], page[-1]["n"]


def _question(columns: str, box: str | None) -> str:
    of_box = "" if box is None else "box = :box AND "
    return (
        f"SELECT {columns} FROM cases WHERE {of_box}(received_at, rowid) > (:since, :n)"
        " ORDER BY received_at, rowid LIMIT :page"
    )
