"""Drift without truths: of each pack on each machine, the newest films against the first ones there.

Three measures: the share called positive, the share refused, and the distance from the training images.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from firmware_app.statistics import shift
from firmware_app.statistics.shift import FIRST, Shift
from firmware_app.store.calibration.scored import Place


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


def of_all(connection: sqlite3.Connection) -> tuple[Drift, ...]:
    """Every pack on every machine; without measures until twice `FIRST` images were given to it there."""
    rows = connection.execute(
        "SELECT pack, version, machine, COUNT(*) AS seen, AVG(refused) AS refused FROM watched"
        " GROUP BY pack, version, machine ORDER BY MAX(sequence) DESC"
    ).fetchall()
    return tuple(
        Drift(place, row["seen"], row["refused"], _shifts(connection, place) if row["seen"] >= 2 * FIRST else ())
        for row in rows for place in [Place(row["pack"], row["version"], row["machine"])]
    )  # fmt: skip


def _shifts(connection: sqlite3.Connection, place: Place) -> tuple[Shift, ...]:
    first, now = (_some(connection, place, order) for order in ("ASC", "DESC"))
    found = [
        shift.of_shares("called", *([bool(row["called"]) for row in rows if not row["refused"]] or [False]
                                    for rows in (first, now))),
        shift.of_shares("refused", *([bool(row["refused"]) for row in rows] for rows in (first, now))),
    ]  # fmt: skip
    distances = [[row["distance"] for row in rows if row["distance"] is not None] for rows in (first, now)]
    if all(len(one) >= FIRST // 2 for one in distances):
        found.append(shift.of_values("distance", *distances))
    return tuple(found)


def _some(connection: sqlite3.Connection, place: Place, order: str) -> list[sqlite3.Row]:
    """The first or the newest images."""
    return connection.execute(
        "SELECT refused, called, distance FROM watched WHERE pack = ? AND version = ? AND machine = ?"
        f" ORDER BY sequence {order} LIMIT ?",
        (place.pack, place.version, place.machine, FIRST),
    ).fetchall()
