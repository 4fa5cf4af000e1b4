"""The scores that packs gave at this clinic, and what is derived from them for each version of a pack on each device.

The reader writes a row for each finding of a case, in the transaction that writes the reading.  So it is settled which
image the clinic is asked to confirm before anybody can see the reading.  The draw uses a secret, so that nobody can
choose the images:

- *before*: a random share of all images is asked for before the result is shown;
- *called*: every image that the pack calls positive;
- *low*: a random share of the others, which is the only way to learn what is missed.

The draw depends on the case and the finding alone: reading a case again draws nothing new.

With the distribution of the scores on the first images of a device a threshold is set before any image is confirmed.
These are the images of `watched` that have a score.  A row is written in the transaction that writes the reading of the
50th, the 100th and the 200th (`core.operating_point.COUNTS`); after that, or once a person has gone back to the
pack's own threshold, none follows.  A new version of a pack, and a device that is new to the box, begin anew.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

from firmware_app.cases import audit, imaging_devices
from firmware_app.cases.imaging_devices import ImagingDevice
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.operating_point import COUNTS, LogOdds, usable_count
from firmware_app.core.records import Detail
from firmware_app.core.rows import insert


class ConfirmationReason(StrEnum):
    """Why the truth of a film is asked for."""

    BEFORE = "before"
    LOW = "low"
    CALLED = "called"


@dataclass(frozen=True, slots=True)
class SamplingShares:
    """The shares of films that are drawn: of all, before their result is shown, and of those below the threshold."""

    before: float
    low: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.before < 1.0 and 0.0 < self.low < 1.0):
            raise ValueError(f"shares of {self.before} and {self.low} cannot be drawn")

    @property
    def below(self) -> float:
        """The probability with which a film below the threshold is asked for."""
        return 1.0 - (1.0 - self.before) * (1.0 - self.low)


@dataclass(frozen=True, slots=True)
class ConfirmationDraw:
    """Why a film is asked for (``None``: it is not), and the probability for a film on its side of the threshold."""

    asked: ConfirmationReason | None
    probability: float


def draw_confirmation(secret: bytes, case: str, finding: str, called: bool, shares: SamplingShares) -> ConfirmationDraw:
    """The draw for one finding of one case; *called*: the score reached the threshold."""
    before = _draw_uniform(secret, "before", case, finding) < shares.before
    if called:
        return ConfirmationDraw(ConfirmationReason.BEFORE if before else ConfirmationReason.CALLED, 1.0)
    if before:
        return ConfirmationDraw(ConfirmationReason.BEFORE, shares.below)
    low = _draw_uniform(secret, "low", case, finding) < shares.low
    return ConfirmationDraw(ConfirmationReason.LOW if low else None, shares.below)


def _draw_uniform(secret: bytes, *words: str) -> float:
    """A number in [0, 1) that only the secret's holder can foresee."""
    digest = hmac.new(secret, "\0".join(words).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


WATCHED_KEPT: Final = 1_000
"""Rows of `watched` that are kept of each pack on each machine: the first half, and the newest."""


@dataclass(frozen=True, slots=True, order=True)
class ModelSite:
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
class CalibrationSample:
    """What a reading says for local calibration.

    `distance` from the training images is ``None`` where it is not known; `refused`: no number was given; `watched` are
    the quality measures that were taken (`imaging.image_limits.DRIFT_MEASURES`).  `following` is the finding, at most
    one, whose threshold follows the machine's scores; `withheld` its probability where the model was not sure of the
    film.
    """

    pack: str
    version: str
    machine: ImagingDevice
    scores: tuple[Score, ...]
    refused: bool = False
    distance: float | None = None
    watched: Mapping[str, float] = field(default_factory=dict)
    following: str | None = None
    withheld: float | None = None

    @property
    def place(self) -> ModelSite:
        return ModelSite(self.pack, self.version, self.machine.digest)

    @property
    def called(self) -> bool:
        """Whether a finding reached its threshold."""
        return any(score.score >= score.threshold for score in self.scores)

    @property
    def strongest(self) -> float | None:
        """The strongest finding's probability."""
        return max((score.score for score in self.scores), default=self.withheld)


# Of several images of a case the one with the strongest score counts, as in the case's own findings.
_STRONGEST: Final = (
    "ON CONFLICT (case_reference, finding, pack, version) DO UPDATE SET machine = excluded.machine,"
    " score = excluded.score, threshold = excluded.threshold, asked = excluded.asked,"
    " probability = excluded.probability WHERE excluded.score > score"
)


def record_scores(
    connection: sqlite3.Connection, case: str, examined: CalibrationSample, secret: bytes, shares: SamplingShares
) -> None:
    """Write *examined* down, inside the caller's transaction; *secret* decides what is asked for."""
    imaging_devices.record_device(connection, examined.machine)
    site = asdict(examined.place)
    for score in examined.scores:
        drawn = draw_confirmation(secret, case, score.finding, score.score >= score.threshold, shares)
        row = {"case_reference": case, **site, **asdict(score), **asdict(drawn), "at": clock.stamp_text()}
        insert(connection, "scored", "INSERT", _STRONGEST, **row)
    insert(
        connection,
        "watched",
        **site,
        refused=examined.refused,
        called=examined.called,
        distance=examined.distance,
        score=examined.strongest,
        **{name: examined.watched.get(name) for name in ("blur", "noise", "pale")},
    )
    _limit_watched(connection, site)


def delete_scores(connection: sqlite3.Connection, case: str) -> None:
    """Drop the scores of *case*, which is about to be read again because a fact that they rest on was wrong."""
    connection.execute("DELETE FROM scored WHERE case_reference = ?", (case,))


def _limit_watched(connection: sqlite3.Connection, site: Mapping[str, str]) -> None:
    """Drop the oldest of the newer half of `watched` where there are too many."""
    connection.execute(
        "DELETE FROM watched WHERE sequence = (SELECT sequence FROM watched WHERE pack = :pack"
        " AND version = :version AND machine = :machine ORDER BY sequence LIMIT 1 OFFSET :half)"
        " AND (SELECT COUNT(*) FROM watched WHERE pack = :pack AND version = :version AND machine = :machine) > :most",
        {**site, "half": WATCHED_KEPT // 2, "most": WATCHED_KEPT},
    )


BOX: Final = "box"
"""The actor that sets scores down."""
_UNDONE: Final = "undone"


@dataclass(frozen=True, slots=True)
class DeviceScores:
    """The log odds of the first *films* of a machine."""

    films: int
    log_odds: LogOdds
    at: clock.Stamp


def find_device_scores(connection: sqlite3.Connection, place: ModelSite, finding: str) -> DeviceScores | None:
    """The scores by which the threshold of *finding* is set; ``None`` with too few films, or where that was undone."""
    row = _find_latest(connection, place, finding)
    if row is None or row["event"] == _UNDONE:
        return None
    return DeviceScores(row["films"], LogOdds(row["mean"], row["spread"]), clock.parse_stamp(row["at"]))


def update_device_scores(connection: sqlite3.Connection, place: ModelSite, finding: str) -> None:
    """Set the scores down where enough films have come since the last time, inside the caller's transaction."""
    row = _find_latest(connection, place, finding)
    if row is not None and (row["event"] == _UNDONE or row["films"] == COUNTS[-1]):
        return
    scores = [
        float(one["score"])
        for one in connection.execute(
            "SELECT score FROM watched WHERE pack = ? AND version = ? AND machine = ? AND score IS NOT NULL"
            " ORDER BY sequence LIMIT ?",
            (place.pack, place.version, place.machine, COUNTS[-1]),
        )
    ]
    films = usable_count(len(scores))
    if films <= (row["films"] if row is not None else 0):
        return
    here = LogOdds.from_probabilities(scores[:films])
    _write(connection, place, finding, event="set", films=films, here=here, actor=BOX)
    details = {"films": films, "mean": round(here.mean, 4), "spread": round(here.spread, 4)}
    audit.append(connection, BOX, "calibration.standardised", details=_audit_details(place, finding) | details)


def undo_device_scores(database: Database, place: ModelSite, finding: str, actor: str) -> bool:
    """Go back to the pack's own threshold for good; False where that was done before."""
    with database.transaction() as connection:
        row = _find_latest(connection, place, finding)
        if row is not None and row["event"] == _UNDONE:
            return False
        _write(connection, place, finding, event=_UNDONE, films=0, here=LogOdds(0.0, 0.0), actor=actor)
        audit.append(connection, actor, "calibration.undone", details=_audit_details(place, finding))
        return True


def _find_latest(connection: sqlite3.Connection, place: ModelSite, finding: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM machine_scores WHERE pack = ? AND version = ? AND machine = ? AND finding = ?"
        " ORDER BY sequence DESC LIMIT 1",
        (place.pack, place.version, place.machine, finding),
    ).fetchone()
    return row


def _write(
    connection: sqlite3.Connection, place: ModelSite, finding: str, event: str, films: int, here: LogOdds, actor: str
) -> None:
    row = {**asdict(place), "finding": finding, "event": event, "films": films, **asdict(here), "actor": actor}
    insert(connection, "machine_scores", **row, at=clock.stamp_text())


def _audit_details(place: ModelSite, finding: str) -> dict[str, Detail]:
    return {**asdict(place), "finding": finding}
