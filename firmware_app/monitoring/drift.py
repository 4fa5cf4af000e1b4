"""Drift without truths: of each pack on each machine, the newest images against the first ones there.

The measures are `core.statistics.shift.compared`'s: shares called and refused, scores, distances from the training
images, sharpness, grain and grey.  The share refused is held against that of the pack's own test films too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from firmware_app.cases.scored import Place
from firmware_app.core.statistics import shift
from firmware_app.core.statistics.shift import FIRST, MOST_FIRST, NUMBERS, Shift, Watched

Home = Callable[[Place], tuple[int, int] | None]
"""(refused, of so many) of a pack's own test films; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A pack on a machine: of how many images there is a row, the share of them that got no number, and each measure.

    Rows are kept of the first images and of the newest ones (`scored.WATCHED_KEPT`).
    """

    place: Place
    seen: int
    refused: float
    shifts: tuple[Shift, ...]

    @property
    def alarms(self) -> tuple[Shift, ...]:
        """The measures that have changed."""
        return tuple(one for one in self.shifts if one.alarms)


def of_all(connection: sqlite3.Connection, home: Home = lambda _place: None) -> tuple[Drift, ...]:
    """Every pack on every machine; without measures until twice `FIRST` images were given to it there."""
    rows = connection.execute(
        "SELECT pack, version, machine, COUNT(*) AS seen, AVG(refused) AS refused FROM watched"
        " GROUP BY pack, version, machine ORDER BY MAX(sequence) DESC"
    ).fetchall()
    places = [(Place(row["pack"], row["version"], row["machine"]), row["seen"], row["refused"]) for row in rows]
    return tuple(
        Drift(place, seen, refused, _shifts(connection, place, seen, home(place)) if seen >= 2 * FIRST else ())
        for place, seen, refused in places
    )


def _shifts(connection: sqlite3.Connection, place: Place, seen: int, home: tuple[int, int] | None) -> tuple[Shift, ...]:
    first = _some(connection, place, "ASC", min(MOST_FIRST, seen - FIRST))
    return shift.compared(first, _some(connection, place, "DESC", FIRST), home)


def _some(connection: sqlite3.Connection, place: Place, order: str, most: int) -> list[Watched]:
    """The first or the newest images."""
    rows = connection.execute(
        f"SELECT refused, called, {', '.join(NUMBERS)} FROM watched WHERE pack = ? AND version = ? AND machine = ?"
        f" ORDER BY sequence {order} LIMIT ?",
        (place.pack, place.version, place.machine, most),
    )
    return [Watched(bool(row["refused"]), bool(row["called"]), {name: row[name] for name in NUMBERS}) for row in rows]
