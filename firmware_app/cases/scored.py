"""The films for which a pack gave a score, as the reader writes them down: a row for each finding of a case.

They are written in the transaction that writes the reading, before anybody can see it: which film will be asked for is
settled then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from firmware_app.cases import asking, machines
from firmware_app.cases.asking import Shares
from firmware_app.cases.machines import Machine
from firmware_app.core import clock

WATCHED_KEPT: Final = 1_000
"""Rows of `watched` that are kept of each pack on each machine: the first half, and the newest."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A version of a pack on the films of one machine: what is calibrated, suspended, watched."""

    pack: str
    version: str
    machine: str  # its digest


@dataclass(frozen=True, slots=True)
class Score:
    """A finding's probability and threshold, both at the pack's own prevalence."""

    finding: str
    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Examined:
    """What a reading says for local calibration.

    `distance` from the training images is ``None`` where it is not known; `refused`: no number was given; `watched` are
    the quality measures that were taken (`imaging.quality.limits.WATCHED`).  `following` is the finding, at most one,
    whose threshold follows the machine's scores; `withheld` its probability where the model was not sure of the film.
    """

    pack: str
    version: str
    machine: Machine
    scores: tuple[Score, ...]
    refused: bool = False
    distance: float | None = None
    watched: Mapping[str, float] = field(default_factory=dict)
    following: str | None = None
    withheld: float | None = None

    @property
    def place(self) -> Place:
        return Place(self.pack, self.version, self.machine.digest)

    @property
    def called(self) -> bool:
        """Whether a finding reached its threshold."""
        return any(one.score >= one.threshold for one in self.scores)

    @property
    def strongest(self) -> float | None:
        """The strongest finding's probability."""
        return max((one.score for one in self.scores), default=self.withheld)


def record(connection: sqlite3.Connection, case: str, examined: Examined, secret: bytes, shares: Shares) -> None:
    """Write *examined* down, inside the caller's transaction; *secret* decides what is asked for."""
    machines.remember(connection, examined.machine)
    place = (examined.pack, examined.version, examined.machine.digest)
    for one in examined.scores:
        drawn = asking.draw(secret, case, one.finding, one.score >= one.threshold, shares)
        connection.execute(
            "INSERT INTO scored (case_reference, finding, pack, version, machine, score, threshold, asked, probability,"
            " at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            # Of several images of a case the one with the strongest score counts, as in the case's own findings.
            " ON CONFLICT (case_reference, finding, pack, version) DO UPDATE SET machine = excluded.machine,"
            " score = excluded.score, threshold = excluded.threshold, asked = excluded.asked,"
            " probability = excluded.probability WHERE excluded.score > score",
            (case, one.finding, *place, one.score, one.threshold, drawn.asked, drawn.probability, clock.text()),
        )
    connection.execute(
        "INSERT INTO watched (pack, version, machine, refused, called, distance, score, blur, noise, pale)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *place,
            examined.refused,
            examined.called,
            examined.distance,
            examined.strongest,
            *(examined.watched.get(name) for name in ("blur", "noise", "pale")),
        ),
    )
    _bound(connection, place)


def forget(connection: sqlite3.Connection, case: str) -> None:
    """Drop the scores of *case*, which is about to be read again because a fact that they rest on was wrong."""
    connection.execute("DELETE FROM scored WHERE case_reference = ?", (case,))


def _bound(connection: sqlite3.Connection, place: Sequence[str]) -> None:
    """Drop the oldest of the newer half of `watched` where there are too many."""
    connection.execute(
        "DELETE FROM watched WHERE sequence = (SELECT sequence FROM watched WHERE pack = :p AND version = :v"
        " AND machine = :m ORDER BY sequence LIMIT 1 OFFSET :half) AND (SELECT COUNT(*) FROM watched"
        " WHERE pack = :p AND version = :v AND machine = :m) > :most",
        {**dict(zip("pvm", place, strict=True)), "half": WATCHED_KEPT // 2, "most": WATCHED_KEPT},
    )
