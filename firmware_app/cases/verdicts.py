"""Doctors' verdicts on the findings of a case and of its images, "Done", and the rules for two readers.

A case is done as long as its revision and number of images are those that a doctor marked as done, and none of its
images waits.  A late image, a second reading, or a doctor who takes back "Done" reopens it.  The verdicts of several
doctors on a finding are kept side by side.  A verdict applies to the reading that the doctor saw: after a late image or
a second reading it is still shown, but no longer counts.  Where local calibration asks for the truth of a finding, a
verdict is also the doctor's reading after the result (`monitoring`).

A verdict on an image says whether the box is right about a finding on it, where a case has several images.  It stands
beside the verdict on the case, which alone decides whether the case is done.

Two doctors may read a case blind.  A doctor has read it when they have a verdict on every finding of the current
reading.  Until two have, each sees only their own verdicts.  Then these two are final, and where they differ a third
doctor, who sees both, decides.  Verdicts leave the box when all needed are in.  A finished case is open to all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from firmware_app.cases import audit, remarks
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.cases.errors import CaseUnknown, NotReadYet
from firmware_app.cases.remarks import SHOWN, Drawing, RemarkKind, Remarks
from firmware_app.core import clock
from firmware_app.core.records import Detail, Finding
from firmware_app.core.rows import StoredTime, parse_row

VERDICTS: Final = ("agree", "disagree", "unsure", "none")
IMAGE_VERDICTS: Final = ("agree", "disagree", "missed", "unsure")
"""``missed``: the box overlooked something of this finding on this image."""

IMAGES: Final = "(SELECT COUNT(*) FROM instances i WHERE i.case_reference = c.reference AND i.kind IS NULL)"
WAITS: Final = "(SELECT COUNT(*) FROM instances i WHERE i.case_reference = c.reference AND i.state = 'waiting')"
WAITING: Final = "EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = c.reference AND i.state = 'waiting')"
DONE: Final = f"(r.revision >= c.revision AND NOT {WAITING} AND r.images = {IMAGES})"
"""True in SQL for a case *c* whose row *r* of `reviews` holds."""


class CaseChanged(Exception):
    """An image or a reading has arrived since the page was opened; nothing was written."""


class VerdictsLocked(CaseChanged):
    """Both readers' verdicts are final; nothing was written."""


class VerdictMissing(Exception):
    """A finding of the current case has no doctor's verdict; nothing was written."""


@dataclass(frozen=True, slots=True)
class DoctorVerdict:
    """The verdict of one doctor on one finding; *earlier*: on a reading that has been replaced since."""

    finding: str
    verdict: str
    actor: str
    at: StoredTime
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class CaseCompletion:
    """Who marked a case as done, and when."""

    actor: str
    at: StoredTime


@dataclass(frozen=True, slots=True)
class DoubleReading:
    """How far the readers of a case are: the first two who have read it (`spoken`), the findings where they `differ`,
    and the third doctor, who has `settled` these; empty until then."""

    spoken: tuple[str, ...]
    differ: tuple[str, ...] = ()
    settled: str = ""

    @property
    def is_blind(self) -> bool:
        """Whether fewer than two doctors have read the case."""
        return len(self.spoken) < 2

    @property
    def is_complete(self) -> bool:
        """Whether no further verdict is needed."""
        return not self.is_blind and (not self.differ or bool(self.settled))

    def locks(self, actor: str) -> bool:
        """Whether the verdicts of *actor* are final."""
        return not self.is_blind and (actor in self.spoken or actor == self.settled)

    def needs(self, actor: str) -> bool:
        """Whether the case still needs verdicts of *actor*."""
        return not self.is_complete and actor not in self.spoken


def compare_readers(verdicts: Iterable[DoctorVerdict], findings: Collection[str]) -> DoubleReading:
    """The readers of a case with these *findings*; *verdicts* stand in the order in which they were given."""
    words: dict[str, dict[str, str]] = {}
    turns: dict[tuple[str, str], int] = {}
    for turn, verdict in enumerate(verdicts):
        if not verdict.earlier and verdict.finding in findings:
            said = words.pop(verdict.actor, {})  # who spoke last stands last
            words[verdict.actor] = {**said, verdict.finding: verdict.verdict}
            turns[verdict.actor, verdict.finding] = turn
    spoken = tuple(actor for actor, said in words.items() if said.keys() == set(findings))[:2]
    if len(spoken) < 2:
        return DoubleReading(spoken)
    first, second = (words[actor] for actor in spoken)
    differ = tuple(code for code in findings if first[code] != second[code])
    known = max(turns[actor, code] for actor in spoken for code in findings)  # from then on all words can be seen
    third = (
        actor for actor in words if actor not in spoken and all(turns.get((actor, code), -1) > known for code in differ)
    )
    return DoubleReading(spoken, differ, next(third, "") if differ else "")


class Verdicts:
    """The verdicts in one clinical database; with *two_readers* two doctors read each case (`clinical.two_readers`)."""

    def __init__(self, clinical: ClinicalDatabase, *, two_readers: bool = False) -> None:
        self._clinical, self._two_readers = clinical, two_readers

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._clinical.database.connection

    def list_verdicts(self, case: str) -> tuple[DoctorVerdict, ...]:
        """The latest verdict of every doctor on each finding of *case*, in the order in which they were given."""
        rows = self._connection.execute(
            f"SELECT v.*, v.revision < {SHOWN} AS earlier"
            " FROM verdicts v JOIN cases c ON c.reference = v.case_reference WHERE c.reference = ? ORDER BY v.rowid",
            (case,),
        )
        return tuple(parse_row(DoctorVerdict, row) for row in rows)

    def list_unjudged(self, case: str) -> tuple[Finding, ...]:
        """The current findings of *case* without any doctor's verdict; raises `CaseUnknown`."""
        said = {word.finding for word in self.list_verdicts(case) if not word.earlier}
        return tuple(finding for finding in self._clinical.load_case(case).findings if finding.code not in said)

    def load_double_reading(self, case: str) -> DoubleReading | None:
        """How far the two readers of *case* are; None where one is enough.  Raises `CaseUnknown`."""
        return (
            self._compare_readers(self._clinical.load_case(case).findings, self.list_verdicts(case))
            if self._two_readers
            else None
        )

    def _compare_readers(
        self, findings: tuple[Finding, ...], verdicts: tuple[DoctorVerdict, ...]
    ) -> DoubleReading | None:
        if not self._two_readers or not findings:
            return None
        return compare_readers(verdicts, [finding.code for finding in findings])

    def list_outstanding(self, case: str, actor: str) -> tuple[Finding, ...]:
        """The findings of *case* on which *actor* has to say a word before "Done"; raises `CaseUnknown`."""
        readers = self.load_double_reading(case)
        if readers is None:
            return self.list_unjudged(case)
        if not readers.needs(actor):
            return ()
        said = {
            verdict.finding for verdict in self.list_verdicts(case) if verdict.actor == actor and not verdict.earlier
        }
        return tuple(
            finding
            for finding in self._clinical.load_case(case).findings
            if finding.code not in said and (readers.is_blind or finding.code in readers.differ)
        )

    def find_completion(self, case: str) -> CaseCompletion | None:
        """Who marked the current state of *case* as done; None when nobody did."""
        row = self._connection.execute(
            "SELECT r.actor, r.at FROM cases c JOIN reviews r ON r.case_reference = c.reference"
            f" WHERE c.reference = ? AND {DONE}",
            (case,),
        ).fetchone()
        return parse_row(CaseCompletion, row) if row else None

    def is_done(self, case: str) -> bool:
        return self.find_completion(case) is not None

    def compute_state_token(self, case: str) -> str:
        """A token of the current state of *case*: revision, number of images, and how many of them wait.

        Raises `CaseUnknown`.
        """
        row = self._connection.execute(
            f"SELECT {SHOWN}, {IMAGES}, {WAITS} FROM cases c WHERE c.reference = ?", (case,)
        ).fetchone()
        if row is None:
            raise CaseUnknown(case=case[:40])
        return ".".join(map(str, row))

    def _require_unchanged(self, case: str, seen: str | None) -> None:
        """Raise `CaseChanged` if *case* differs from the token *seen*; None skips the check."""
        if seen is not None and seen != self.compute_state_token(case):
            raise CaseChanged

    def _require_unlocked(self, case: str, actor: str) -> None:
        """Raise `VerdictsLocked` where the words of *actor* on *case* can no longer be changed."""
        readers = self.load_double_reading(case)
        if readers is not None and readers.locks(actor):
            raise VerdictsLocked

    # --- on the case ---------------------------------------------------------------------------------------------

    def judge(
        self, case: str, finding: str, verdict: str, actor: str, seen: str | None = None, drawing: Drawing | None = None
    ) -> None:
        """Store a doctor's verdict: agrees, disagrees, is unsure or has no opinion; with what was drawn for it.

        Raises `CaseUnknown`, `CaseChanged` if the case differs from the token *seen*, and `ValueError`.
        """
        with self._clinical.database.transaction() as connection:
            self._require_unchanged(case, seen)
            self._judge(connection, case, finding, verdict=verdict, actor=actor, drawing=drawing)

    def _judge(
        self,
        connection: sqlite3.Connection,
        case: str,
        finding: str,
        *,
        verdict: str,
        actor: str,
        drawing: Drawing | None = None,
    ) -> None:
        positive = self._find_box_result(case, finding)
        if verdict not in VERDICTS or positive is None:
            raise ValueError(verdict)
        self._require_unlocked(case, actor)
        connection.execute(
            "INSERT OR REPLACE INTO verdicts (case_reference, finding, verdict, revision, actor, at)"
            f" SELECT c.reference, ?, ?, {SHOWN}, ?, ? FROM cases c WHERE c.reference = ?",
            (finding, verdict, actor, clock.stamp_text(), case),
        )
        if drawing is not None:
            remarks.require_image(connection, case, drawing.instance)
        remarks.insert_remark(
            connection, case, RemarkKind.VERDICT, verdict, actor, finding=finding, positive=positive, drawing=drawing
        )
        drawn = drawing.describe_for_audit() if drawing is not None else {}
        audit.append(connection, actor, "finding.judged", case, {"finding": finding, "verdict": verdict, **drawn})
        self._confirm(connection, case, finding, verdict, actor)

    def _find_box_result(self, case: str, finding: str) -> bool | None:
        """Whether *finding* is positive in *case* now; None where the case has no such finding."""
        return next(
            (known.positive for known in self._clinical.load_case(case).findings if known.code == finding), None
        )

    def _confirm(self, connection: sqlite3.Connection, case: str, finding: str, verdict: str, actor: str) -> None:
        """Where the truth of *finding* is asked for, keep *verdict* as a reading after the result."""
        confirmations = Confirmations(self._clinical.database)
        if finding not in confirmations.find_requests(case):
            return
        truth = Truth.UNSURE
        if verdict in ("agree", "disagree"):
            truth = Truth.POSITIVE if self._find_box_result(case, finding) is (verdict == "agree") else Truth.NEGATIVE
        said = [
            word.truth
            for word in confirmations.list_for_case(case)
            if (word.finding, word.source) == (finding, Source.AFTER)
        ]
        if (said or [Truth.UNSURE])[-1] is truth:
            return
        before = confirmations.count_confirmed(connection, {(case, finding)})
        confirmations.write(connection, case, finding, truth=truth, source=Source.AFTER, actor=actor)
        confirmations.suspend_unfit(connection, before)

    def withdraw(self, case: str, finding: str, actor: str) -> None:
        """Remove a doctor's verdict on *finding*; does nothing if there is none.

        A case that then lacks a verdict is no longer done.  Raises `VerdictsLocked`.
        """
        with self._clinical.database.transaction() as connection:
            self._require_unlocked(case, actor)
            gone = connection.execute(
                "DELETE FROM verdicts WHERE case_reference = ? AND finding = ? AND actor = ?", (case, finding, actor)
            )
            if not gone.rowcount:
                return
            positive = self._find_box_result(case, finding)
            remarks.insert_remark(connection, case, RemarkKind.VERDICT, "", actor, finding=finding, positive=positive)
            audit.append(connection, actor, "finding.withdrawn", case, {"finding": finding})
            left = [word.verdict for word in self.list_verdicts(case) if word.finding == finding and not word.earlier]
            if positive is not None:
                self._confirm(connection, case, finding, (left or ["none"])[-1], actor)
            if self.list_unjudged(case):
                _reopen(connection, case, actor)

    def finish(
        self, case: str, actor: str, words: Mapping[str, str] = MappingProxyType({}), *, seen: str | None = None
    ) -> None:
        """Store a doctor's verdicts *words* (finding -> verdict) and mark *case* as done; where two doctors read it and
        another word is wanted, it stays open for another doctor.

        Raises, without writing anything, `CaseUnknown`, `NotReadYet` while an image waits, `CaseChanged` if the case
        differs from the token *seen*, `VerdictMissing`, or `ValueError` for an unknown verdict.
        """
        with self._clinical.database.transaction() as connection:
            if connection.execute(f"SELECT 1 FROM cases c WHERE c.reference = ? AND {WAITING}", (case,)).fetchone():
                raise NotReadYet
            self._require_unchanged(case, seen)
            for finding, word in words.items():
                self._judge(connection, case, finding, verdict=word, actor=actor)
            if self.list_outstanding(case, actor):
                raise VerdictMissing
            readers = self.load_double_reading(case)
            if readers is not None and not readers.is_complete:
                audit.append(connection, actor, "case.read", case)
                return
            row = connection.execute(
                # Replaced, not updated: the row order is the order of the doctors' actions, whatever the clock said.
                "INSERT OR REPLACE INTO reviews (case_reference, revision, images, actor, at)"
                f" SELECT c.reference, {SHOWN}, {IMAGES}, ?, ? FROM cases c WHERE c.reference = ? RETURNING revision",
                (actor, clock.stamp_text(), case),
            ).fetchone()
            audit.append(connection, actor, "case.done", case, {"revision": row[0]})

    def reopen(self, case: str, actor: str, whose: str, at: str) -> bool:
        """Remove the mark that *whose* set on *case* at the time *at*; False if it is no longer there."""
        with self._clinical.database.transaction() as connection:
            done = self.find_completion(case)
            if done is None or (done.actor, done.at.text()) != (whose, at):
                return False
            _reopen(connection, case, actor)
            return True

    # --- on one image --------------------------------------------------------------------------------------------

    def judge_image(
        self,
        case: str,
        instance: str,
        finding: str,
        verdict: str,
        actor: str,
        seen: str | None = None,
        drawing: Drawing | None = None,
    ) -> None:
        """Store what a doctor says of *finding* on the image *instance*; "" takes the doctor's last word there back.

        Raises `CaseUnknown`, `CaseChanged` if the case differs from the token *seen*, `VerdictsLocked`, and
        `ValueError` for a finding that the image was not read for, or for a drawing on another image.
        """
        with self._clinical.database.transaction() as connection:
            self._require_unchanged(case, seen)
            readings = [reading for reading in self._clinical.load_case(case).readings if instance in reading.instances]
            findings = {known.code: known.positive for reading in reversed(readings) for known in reading.findings}
            if finding not in findings or verdict not in (*IMAGE_VERDICTS, ""):
                raise ValueError(verdict)
            self._require_unlocked(case, actor)
            together = {instance, *(other for reading in readings for other in reading.instances)}
            if drawing is not None and drawing.instance not in together:
                raise ValueError("the drawing lies on another image")
            spoken = {
                (word.actor, word.finding, word.instance)
                for word in remarks.select_current(Remarks(self._clinical.database).list_for_case(case))
            }
            if not verdict and (actor, finding, instance) not in spoken:
                return
            remarks.insert_remark(
                connection,
                case,
                RemarkKind.VERDICT,
                verdict,
                actor,
                instance=instance,
                finding=finding,
                positive=findings[finding],
                drawing=drawing if verdict else None,
            )
            details: dict[str, Detail] = {"finding": finding, "image": instance}
            if verdict:
                details |= {"verdict": verdict, **(drawing.describe_for_audit() if drawing is not None else {})}
            audit.append(connection, actor, "image.judged" if verdict else "image.withdrawn", case, details)


def _reopen(connection: sqlite3.Connection, case: str, actor: str) -> None:
    """Remove all "Done" marks of *case*; does nothing if there are none."""
    if connection.execute("DELETE FROM reviews WHERE case_reference = ?", (case,)).rowcount:
        audit.append(connection, actor, "case.reopened", case)


def may_see_statements(reader: str, actor: str, readers: DoubleReading | None, done: CaseCompletion | None) -> bool:
    """Whether *reader* may see what *actor* has entered for a case; an empty *reader* is the world outside the box."""
    if readers is None or done is not None or (reader and actor == reader):
        return True
    return not readers.is_blind if reader else readers.is_complete
