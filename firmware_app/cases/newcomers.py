"""The images that have come through the door since a moment ago, for a page that shows the newest."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_app.core.sqlite.database import Database


@dataclass(frozen=True, slots=True)
class Newcomer:
    """One image: its number in the order of arrival, and its file below the state directory."""

    sequence: int
    file: str


def last(database: Database) -> int:
    """The number of the newest image; 0 where there is none."""
    row = database.connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM instances").fetchone()
    return int(row[0])


def since(database: Database, sequence: int, modality: str) -> list[Newcomer]:
    """The images of *modality* behind this number, in order."""
    rows = database.connection.execute(
        "SELECT sequence, file FROM instances WHERE sequence > ? AND json_extract(header, '$.modality') = ?"
        " ORDER BY sequence",
        (sequence, modality),
    )
    return [Newcomer(int(row["sequence"]), str(row["file"])) for row in rows]
