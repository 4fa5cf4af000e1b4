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
    place: tuple[str, int] = (since, -1)
    while True:
        rows = connection.execute(_question(box), {"since": place[0], "n": place[1], "box": box, "page": _PAGE})
        page = rows.fetchall()
        yield from map(CaseRow.of, page)
        if len(page) < _PAGE:
            return
        place = page[-1]["received_at"], page[-1]["n"]


def _question(box: str | None) -> str:
    of_box = "" if box is None else "box = :box AND "
    return (
        f"SELECT {COLUMNS} FROM cases WHERE {of_box}(received_at, rowid) > (:since, :n)"
        " ORDER BY received_at, rowid LIMIT :page"
    )
