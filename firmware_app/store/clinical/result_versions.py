"""The versions of a case's result objects: which one is current, and when it was first made.

The objects of a version are computed again whenever they are needed; with the same version, time and content they have
the same UIDs and the same bytes, so that an object that is sent twice is one object to the archive.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_app import clock
from firmware_app.store.sqlite.database import Database


@dataclass(frozen=True, slots=True)
class ResultVersion:
    """A version's number, from 1, and when it was first made (ISO 8601)."""

    number: int
    made_at: str


def current(database: Database, case: str, state: str) -> ResultVersion:
    """The version whose objects say *state*: the newest one if it does, else a new one, durable on return."""
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT version, state, made_at FROM result_versions WHERE case_reference = ?"
            " ORDER BY version DESC LIMIT 1",
            (case,),
        ).fetchone()
        if row is not None and row["state"] == state:
            return ResultVersion(row["version"], row["made_at"])
        number = 1 if row is None else row["version"] + 1
        made = ResultVersion(number, clock.now().astimezone().isoformat(timespec="seconds"))
        connection.execute(
            "INSERT INTO result_versions (case_reference, version, state, made_at) VALUES (?, ?, ?, ?)",
            (case, made.number, state, made.made_at),
        )
    return made
