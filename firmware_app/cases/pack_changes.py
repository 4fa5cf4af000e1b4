"""Changes of packs: rollbacks that a person asks for, and versions on trial.

A person asks for a change on the page, and the reader makes it between two images.  A row names the version that is to
be left, or whose trial is to end, so that a reader killed in the middle never does it twice.

Of a trial, the link on the disk says which version is on trial (`packs.pack_store`); the rows here hold its state and
both results for every image that was read twice.  They hold numbers, codes and references, and nothing of a patient.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.confirmations import Confirmations, Truth
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Finding, Instance, Reading, ReadingStatus, Reason
from firmware_app.core.rows import StoredReason, StoredTime, dump_reason, insert, parse_row
from firmware_app.packs.trial_rules import ComparedVersions, PairedReading

ROLLBACK_ASKED: Final = "pack.rollback_asked"
ROLLED_BACK: Final = "pack.rolled_back"


class PackAction(StrEnum):
    """What a person asks for: the version before, or the version on trial put in use or dropped."""

    BACK = "back"
    COMMIT = "commit"
    DROP = "drop"


_REQUESTED: Final = {
    PackAction.BACK: ROLLBACK_ASKED,
    PackAction.COMMIT: "pack.commit_asked",
    PackAction.DROP: "pack.drop_asked",
}


@dataclass(frozen=True, slots=True)
class PackChange:
    """The last change that was asked for of one pack: whether it is still to be done, and why it could not be."""

    pack: str
    version: str
    actor: str
    at: StoredTime
    asked: bool
    reason: StoredReason | None
    wish: PackAction = PackAction.BACK


class PackChanges:
    """The changes of packs that were asked for in one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def request_change(self, pack: str, version: str, actor: str, wish: PackAction = PackAction.BACK) -> None:
        """Have the reader leave this *version* of *pack* for the one before, or end its trial."""
        with self._database.transaction() as connection:
            row = {"pack": pack, "version": version, "actor": actor, "at": clock.stamp_text("seconds"), "wish": wish}
            insert(connection, "pack_changes", "INSERT OR REPLACE", **row)
            named = "before" if wish is PackAction.BACK else "version"
            audit.append(connection, actor, _REQUESTED[wish], "", {"pack": pack, named: version})

    def list_requested(self) -> list[PackChange]:
        return [pack_change for pack_change in self.all().values() if pack_change.asked]

    def all(self) -> dict[str, PackChange]:
        """By the name of the pack."""
        rows = self._database.connection.execute("SELECT * FROM pack_changes ORDER BY at")
        return {row["pack"]: parse_row(PackChange, row) for row in rows}

    def record_outcome(self, change: PackChange, version: str | None, reason: Reason | None) -> None:
        """The *version* now in use, None where nothing was changed; or the *reason* why not."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE pack_changes SET asked = 0, reason = ? WHERE pack = ? AND version = ?",
                (dump_reason(reason), change.pack, change.version),
            )
            if version is not None and change.wish is PackAction.BACK:  # the end of a trial has its own entry
                details = {"pack": change.pack, "version": version, "before": change.version}
                audit.append(connection, change.actor, ROLLED_BACK, "", details)


BOX: Final = "box"
"""The actor where the box itself ends a trial."""
_ACTIONS: Final = {"committed": "pack.committed", "left": "pack.left", "dropped": "pack.dropped"}


class TrialState(StrEnum):
    """How far a trial is."""

    RUNNING = "running"
    COMMITTED = "committed"
    LEFT = "left"
    DROPPED = "dropped"


class TrialOutcome(StrEnum):
    """What came of an image for the version on trial.  `GONE`: its file was deleted before."""

    READ = "read"
    CANNOT_JUDGE = "cannot-judge"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class PackTrial:
    """The last trial of a pack.  Of its `images`, those that the serving version gave a number for, `same` got the same
    answer from both; on `failed` the version on trial failed."""

    pack: str
    version: str
    before: str
    mark: int
    began: StoredTime
    state: TrialState
    reason: StoredReason | None
    noted: bool
    images: int = 0
    same: int = 0
    failed: int = 0

    @property
    def compared_versions(self) -> ComparedVersions:
        return ComparedVersions(self.pack, self.version, self.before)

    @property
    def is_running(self) -> bool:
        return self.state is TrialState.RUNNING

    @property
    def notice(self) -> Reason | None:
        """Why it was left by itself, until a person has noted that."""
        return self.reason if self.state is TrialState.LEFT and not self.noted else None


@dataclass(frozen=True, slots=True)
class TrialImage:
    """An image that waits to be read by the version on trial; `tries` children were lost over it."""

    sequence: int
    instance: str
    tries: int


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What the version on trial said of one image."""

    seen: TrialOutcome
    called: bool | None = None
    score: float | None = None
    ms: float | None = None
    code: str | None = None


def find_call(findings: Sequence[Finding], code: str) -> tuple[bool, float]:
    """Whether the finding of that *code* is positive, and its probability; of any, where there is none of that code."""
    own = [finding for finding in findings if finding.code == code] or findings
    return any(one.positive for one in own), max((one.probability for one in own), default=0.0)


class PackTrials:
    """The trials of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, PackTrial]:
        """The last trial of each pack, by its name."""
        rows = self._database.connection.execute("SELECT * FROM pack_trials ORDER BY pack").fetchall()
        return {row["pack"]: self._parse_trial(row) for row in rows}

    def find_trial(self, pack: str) -> PackTrial | None:
        return self.all().get(pack)

    def begin(self, pack: str, version: str, before: str, mark: int) -> None:
        """A version was put on trial, or has another to be compared with: what was kept of an earlier trial goes."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM trial_images WHERE pack = ?", (pack,))
            named = {"pack": pack, "version": version, "before": before}
            insert(
                connection, "pack_trials", "INSERT OR REPLACE", **named, mark=mark, began=clock.stamp_text("seconds")
            )
            audit.append(connection, BOX, "pack.on_trial", "", named)

    def end(self, trial: PackTrial, state: TrialState, actor: str, reason: Reason | None = None) -> None:
        """The trial is over; does nothing where it was over already."""
        with self._database.transaction() as connection:
            ended = connection.execute(
                "UPDATE pack_trials SET state = ?, ended = ?, actor = ?, reason = ?"
                " WHERE pack = ? AND mark = ? AND state = 'running'",
                (state, clock.stamp_text("seconds"), actor, dump_reason(reason), trial.pack, trial.mark),
            ).rowcount
            if ended:
                said = {"pack": trial.pack, "version": trial.version, "before": trial.before}
                said |= {"code": reason.code} if reason is not None else {}
                audit.append(connection, actor, _ACTIONS[state], "", said)

    def acknowledge(self, pack: str, actor: str) -> None:
        """A person has seen that a version was left."""
        with self._database.transaction() as connection:
            noted = connection.execute(
                "UPDATE pack_trials SET noted = 1 WHERE pack = ? AND state = 'left' AND noted = 0", (pack,)
            ).rowcount
            if noted:
                audit.append(connection, actor, "pack.left_noted", "", {"pack": pack})

    def list_codes(self) -> list[str]:
        """Of the versions that were left by themselves and that nobody has noted yet."""
        return [pack_trial.notice.code for pack_trial in self.all().values() if pack_trial.notice is not None]

    # --- the images ----------------------------------------------------------------------------------------------

    def add(self, trial: PackTrial, instance: Instance, reading: Reading, finding: str, most: int) -> None:
        """Have the version on trial read this image too, unless *most* images with a number are there already.

        *finding*: the pack's first one, which its figures are of.
        """
        called, score = find_call(reading.findings, finding) if reading.status is ReadingStatus.READ else (None, None)
        (count,) = self._database.connection.execute(
            "SELECT COUNT(*) FROM trial_images WHERE pack = ? AND serving_status = 'read' AND status <> 'gone'",
            (trial.pack,),
        ).fetchone()
        if count >= most:
            return
        insert(
            self._database.connection,
            "trial_images",
            "INSERT OR IGNORE",
            pack=trial.pack,
            version=trial.version,
            instance=instance.reference,
            case_reference=instance.case,
            serving_status=reading.status,
            serving_called=called,
            serving_score=score,
            serving_ms=reading.timing.infer,
            serving_code=reading.reason.code if reading.reason is not None else None,
        )

    def find_next(self, trial: PackTrial) -> TrialImage | None:
        """The oldest image that waits."""
        row = self._database.connection.execute(
            "SELECT sequence, instance, tries FROM trial_images WHERE pack = ? AND version = ? AND status = 'waiting'"
            " ORDER BY sequence LIMIT 1",
            (trial.pack, trial.version),
        ).fetchone()
        return parse_row(TrialImage, row) if row is not None else None

    def record_loss(self, image: TrialImage) -> int:
        """A child was lost over *image*; returns how many by now."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "UPDATE trial_images SET tries = tries + 1 WHERE sequence = ? RETURNING tries", (image.sequence,)
            ).fetchone()
        return int(row[0]) if row is not None else 0

    def record_result(self, image: TrialImage, result: TrialResult) -> None:
        """The second result for *image*."""
        self._database.connection.execute(
            "UPDATE trial_images SET status = ?, called = ?, score = ?, ms = ?, code = ? WHERE sequence = ?",
            (result.seen, result.called, result.score, result.ms, result.code, image.sequence),
        )

    def list_paired_readings(self, trial: PackTrial, finding: str) -> list[PairedReading]:
        """Every image that the serving version gave a number for and the other has seen, with what doctors said of
        *finding* in its case."""
        rows = self._database.connection.execute(
            "SELECT * FROM trial_images WHERE pack = ? AND version = ? AND serving_status = 'read'"
            " AND status IN ('read', 'cannot-judge', 'failed') ORDER BY sequence",
            (trial.pack, trial.version),
        ).fetchall()
        cases = {row["case_reference"] for row in rows if row["serving_called"]}
        truths = {
            case: self._find_truth(case, finding, case in cases) for case in {row["case_reference"] for row in rows}
        }
        return [
            PairedReading(
                case=row["case_reference"],
                serving=bool(row["serving_called"]),
                fresh=None if row["called"] is None else bool(row["called"]),
                truth=truths[row["case_reference"]],
                serving_ms=row["serving_ms"],
                fresh_ms=row["ms"],
            )
            for row in rows
        ]

    def _find_truth(self, case: str, finding: str, called: bool) -> bool | None:
        """What is known of *finding* in *case*, which the serving version has *called* or not: an outcome or a doctor's
        own reading, else the doctor's last verdict."""
        confirmed = Confirmations(self._database).find_truth(case, finding)
        if confirmed is not None:
            return confirmed.truth is Truth.POSITIVE
        row = self._database.connection.execute(
            "SELECT verdict FROM verdicts WHERE case_reference = ? AND finding = ? AND verdict IN ('agree', 'disagree')"
            " ORDER BY at DESC LIMIT 1",
            (case, finding),
        ).fetchone()
        return None if row is None else called is (row["verdict"] == "agree")

    def _parse_trial(self, row: sqlite3.Row) -> PackTrial:
        counts = self._database.connection.execute(
            "SELECT COALESCE(SUM(serving_status = 'read' AND status IN ('read', 'cannot-judge', 'failed')), 0)"
            " AS images, COALESCE(SUM(serving_called = called), 0) AS same,"
            " COALESCE(SUM(serving_status = 'read' AND status = 'failed'), 0) AS failed"
            " FROM trial_images WHERE pack = ? AND version = ?",
            (row["pack"], row["version"]),
        ).fetchone()
        return parse_row(PackTrial, row, **counts)
