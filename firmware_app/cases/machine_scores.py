"""How a pack's scores lie on the first films of a machine: with them its threshold is set before any film is confirmed.

The films are those of `watched` that have a score.  A row is written in the transaction that writes the reading of the
50th, the 100th and the 200th (`core.statistics.standardised.FILMS`); after that, or once a person has gone back to the
pack's own threshold, none follows.  A new version of a pack, and a machine that the box has not met, begin anew.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from firmware_app.cases.accounts import audit
from firmware_app.cases.scored import Place
from firmware_app.core import clock
from firmware_app.core.records import Detail
from firmware_app.core.sqlite.database import Database
from firmware_app.core.statistics.standardised import FILMS, LogOdds, counted

BOX: Final = "box"
"""The actor that sets scores down."""
_UNDONE: Final = "undone"


@dataclass(frozen=True, slots=True)
class MachineScores:
    """The log odds of the first *films* of a machine."""

    films: int
    log_odds: LogOdds
    at: clock.Stamp


def in_force(connection: sqlite3.Connection, place: Place, finding: str) -> MachineScores | None:
    """The scores by which the threshold of *finding* is set; ``None`` with too few films, or where that was undone."""
    row = _latest(connection, place, finding)
    if row is None or row["event"] == _UNDONE:
        return None
    return MachineScores(row["films"], LogOdds(row["mean"], row["spread"]), clock.parse(row["at"]))


def follow(connection: sqlite3.Connection, place: Place, finding: str) -> None:
    """Set the scores down where enough films have come since the last time, inside the caller's transaction."""
    row = _latest(connection, place, finding)
    if row is not None and (row["event"] == _UNDONE or row["films"] == FILMS[-1]):
        return
    scores = [
        float(one["score"])
        for one in connection.execute(
            "SELECT score FROM watched WHERE pack = ? AND version = ? AND machine = ? AND score IS NOT NULL"
            " ORDER BY sequence LIMIT ?",
            (place.pack, place.version, place.machine, FILMS[-1]),
        )
    ]
    films = counted(len(scores))
    if films <= (row["films"] if row is not None else 0):
        return
    here = LogOdds.of(scores[:films])
    _write(connection, place, finding, "set", films, here, BOX)
    details = {"films": films, "mean": round(here.mean, 4), "spread": round(here.spread, 4)}
    audit.append(connection, BOX, "calibration.standardised", details=_named(place, finding) | details)


def undo(database: Database, place: Place, finding: str, actor: str) -> bool:
    """Go back to the pack's own threshold for good; False where that was done before."""
    with database.transaction() as connection:
        row = _latest(connection, place, finding)
        if row is not None and row["event"] == _UNDONE:
            return False
        _write(connection, place, finding, _UNDONE, 0, LogOdds(0.0, 0.0), actor)
        audit.append(connection, actor, "calibration.undone", details=_named(place, finding))
        return True


def _latest(connection: sqlite3.Connection, place: Place, finding: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM machine_scores WHERE pack = ? AND version = ? AND machine = ? AND finding = ?"
        " ORDER BY sequence DESC LIMIT 1",
        (place.pack, place.version, place.machine, finding),
    ).fetchone()
    return row


def _write(
    connection: sqlite3.Connection, place: Place, finding: str, event: str, films: int, here: LogOdds, actor: str
) -> None:
    connection.execute(
        "INSERT INTO machine_scores (pack, version, machine, finding, event, films, mean, spread, actor, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (place.pack, place.version, place.machine, finding, event, films, here.mean, here.spread, actor, clock.text()),
    )


def _named(place: Place, finding: str) -> dict[str, Detail]:
    return {"pack": place.pack, "version": place.version, "machine": place.machine, "finding": finding}
