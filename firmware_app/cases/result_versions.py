"""The versions of a case's report and result objects: which one is current, and when it was first made.

The objects of a version are computed again whenever they are needed; with the same version, time and content they have
the same UIDs and the same bytes, so that an object that is sent twice is one object to the archive.  Objects that only
show pictures stay those of an earlier version for as long as they show the same.  What a doctor has signed keeps its
version until the case says something else, whatever the box is called by then and runs on.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_app.core import clock
from firmware_app.core.clock import Stamp
from firmware_app.core.sqlite.database import Database


@dataclass(frozen=True, slots=True)
class ResultVersion:
    """A version's number, from 1, when it was first made, and by what: the box's name, language and software.

    `drawn` and `drawn_at` are the number and the time of the version since which its pictures are the same.
    """

    number: int
    made: Stamp
    maker: Mapping[str, str]
    drawn: int
    drawn_at: Stamp


def current(
    database: Database, case: str, state: str, signed_state: str | None, drawn: str, maker: Mapping[str, str]
) -> ResultVersion:
    """The version that says *state*, or has been signed as *signed_state*: the newest one if it does, else a new one
    of *maker*, durable on return.  *drawn* is a digest of what its pictures show."""
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT v.*, d.made_at AS drawn_at FROM result_versions v LEFT JOIN result_versions d"
            " ON d.case_reference = v.case_reference AND d.version = v.drawn_version"
            " WHERE v.case_reference = ? ORDER BY v.version DESC LIMIT 1",
            (case,),
        ).fetchone()
        if row is not None and (
            row["state"] == state or (signed_state is not None and row["signed_state"] == signed_state)
        ):
            return _version(row)
        number = 1 if row is None else row["version"] + 1
        is_drawn = row is not None and row["drawn"] == drawn and row["drawn_at"] is not None
        connection.execute(
            "INSERT INTO result_versions (case_reference, version, state, made_at, signed_state, maker, drawn,"
            " drawn_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                case,
                number,
                state,
                _text(clock.stamp()),
                signed_state,
                json.dumps(dict(maker)),
                drawn,
                row["drawn_version"] if is_drawn else number,
            ),
        )
    return current(database, case, state, signed_state, drawn, maker)


def _version(row: sqlite3.Row) -> ResultVersion:
    """*row*; one of an older Lantern has no pictures but its own."""
    made, maker = clock.parse(row["made_at"]), json.loads(row["maker"] or "{}")
    if row["drawn_at"] is None:
        return ResultVersion(row["version"], made, maker, row["version"], made)
    return ResultVersion(row["version"], made, maker, row["drawn_version"], clock.parse(row["drawn_at"]))


def _text(stamp: Stamp) -> str:
    """In the zone that the machine is in now: a later one must not change what a version says."""
    return stamp.at.astimezone().isoformat(timespec="seconds") + ("" if stamp.trusted else "?")
