"""Suspension of a pack on the images of a device: by its own figures, until a person lets it go on.

A pack that is not suspended is provisional, or calibrated where a signed operating point is in force
(`monitoring.operating_points`).  A new version of a pack, and a device that is new to the box, begin as provisional.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.errors import NotSuspended
from firmware_app.cases.model_scores import ModelSite
from firmware_app.core import clock, fitness
from firmware_app.core.clinic_accuracy import ScoredImage
from firmware_app.core.database import Database
from firmware_app.core.records import Detail
from firmware_app.core.rows import StoredTime, insert, parse_row

BOX: Final = "box"
"""The actor of a suspension."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """Since when a pack is suspended on a machine, and the figures that led to it."""

    at: StoredTime
    finding: str
    rule: str
    confirmed: int
    positives: int
    auc: float
    auc_low: float
    auc_high: float


class Suspensions:
    """The suspensions of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_suspended(self, place: ModelSite) -> bool:
        """Whether *place* is suspended.  Cheap: the reader asks before each film."""
        row = _find_latest(self._database.connection, place)
        return row is not None and row["event"] == "suspended"

    def find_suspension(self, place: ModelSite) -> Suspension | None:
        """Why *place* is suspended; ``None`` where it is not."""
        row = _find_latest(self._database.connection, place)
        if row is None or row["event"] != "suspended":
            return None
        return parse_row(Suspension, row, **json.loads(row["details"]))

    def resume(self, place: ModelSite, actor: str) -> None:
        """Let the pack go on: it is provisional again, and only films read from now on are tested.

        Raises `NotSuspended`.
        """
        with self._database.transaction() as connection:
            row = _find_latest(connection, place)
            if row is None or row["event"] != "suspended":
                raise NotSuspended(pack=place.pack)
            _write(connection, place, "resumed", {}, actor)
            audit.append(connection, actor, "calibration.resumed", details=asdict(place))


def find_test_start(connection: sqlite3.Connection, place: ModelSite) -> int | None:
    """The row of `scored` after which films are tested; ``None`` while *place* is suspended."""
    row = _find_latest(connection, place)
    if row is None:
        return 0
    return None if row["event"] == "suspended" else int(row["newest"])


def suspend_if_unfit(
    connection: sqlite3.Connection, place: ModelSite, finding: str, films: Sequence[ScoredImage], before: int
) -> fitness.UnfitModel | None:
    """Suspend *place* where *films* show that it is unfit, inside the caller's transaction; returns why.

    *before*: how many of them were confirmed when this was asked last.
    """
    unfit = fitness.check_fitness(films, before)
    if unfit is None:
        return None
    details: dict[str, Detail] = {
        "finding": finding,
        "rule": unfit.rule.value,
        "confirmed": sum(film.truth is not None for film in films),
        "positives": sum(film.truth is True for film in films),
        "auc": round(unfit.auc.auc, 4),
        "auc_low": round(unfit.auc.low, 4),
        "auc_high": round(unfit.auc.high, 4),
    }
    _write(connection, place, "suspended", details, BOX)
    audit.append(connection, BOX, "calibration.suspended", details={**asdict(place), **details})
    return unfit


def _find_latest(connection: sqlite3.Connection, place: ModelSite) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM standings WHERE pack = ? AND version = ? AND machine = ? ORDER BY sequence DESC LIMIT 1",
        (place.pack, place.version, place.machine),
    ).fetchone()
    return row


def _write(
    connection: sqlite3.Connection, place: ModelSite, event: str, details: Mapping[str, Detail], actor: str
) -> None:
    (newest,) = connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM scored").fetchone()
    row = {**asdict(place), "event": event, "details": json.dumps(dict(details)), "newest": newest, "actor": actor}
    insert(connection, "standings", **row, at=clock.stamp_text())
