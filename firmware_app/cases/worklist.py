"""The doctor's lists: cases to look at, cases that could not be judged, cases that are done.

A case is done as long as its revision and number of images are those that a doctor marked as done, and none of its
images waits.  A late image, a second reading, or a doctor who takes back "Done" brings it back.  The verdicts of
several doctors on a finding are kept side by side; nobody changes another's.  A verdict applies to the reading that the
doctor saw: after a late image or a second reading it is still shown, but no longer counts.

Where local calibration asks for the truth of a finding, a verdict is also the doctor's reading after the result
(`monitoring`).  A case that a doctor is asked to read before its result is shown stands among the urgent ones,
so that its place says nothing and an urgent one does not wait; its row has neither priority nor findings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from firmware_app.cases import audit, remarks, row_json, usb_import
from firmware_app.cases.case_answer import select_strongest, sort_findings
from firmware_app.cases.casebook import WITHOUT_IMAGE
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import HIDDEN, Confirmations, Source, Truth
from firmware_app.cases.errors import CaseUnknown, NotReadYet
from firmware_app.cases.remarks import SHOWN as SHOWN
from firmware_app.cases.remarks import DoctorVerdict, DoubleReading, Drawing, RemarkKind
from firmware_app.core import clock
from firmware_app.core.records import Finding, Priority, ReadingStatus, Reason

Tab = Literal["open", "cannot-judge", "done"]
VERDICTS: Final = ("agree", "disagree", "unsure", "none")

IMAGES: Final = "(SELECT COUNT(*) FROM instances i WHERE i.case_reference = c.reference AND i.kind IS NULL)"
_WAITS: Final = "(SELECT COUNT(*) FROM instances i WHERE i.case_reference = c.reference AND i.state = 'waiting')"
_WAITING = "EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = c.reference AND i.state = 'waiting')"
DONE: Final = f"""(r.revision >= c.revision AND NOT {_WAITING}
    AND r.images = {IMAGES})"""
_UNJUDGED = f"(c.priority IS 'cannot-judge' AND NOT {_WAITING})"
_TABS: Final = {
    "open": f"c.earlier = 0 AND NOT COALESCE({DONE}, 0) AND NOT {_UNJUDGED} AND NOT {WITHOUT_IMAGE}",
    "cannot-judge": f"c.earlier = 0 AND NOT COALESCE({DONE}, 0) AND {_UNJUDGED}",
    "done": f"COALESCE({DONE}, 0)",
}
# Cases that are unread or incomplete come before routine cases: no result does not mean normal.
_HIDDEN = HIDDEN.format(case="c.reference")
_RANK = f"""CASE WHEN c.priority = 'urgent' OR {_HIDDEN} THEN 0 WHEN c.priority = 'soon' THEN 1
    WHEN c.priority = 'routine' AND NOT {usb_import.INCOMPLETE.format(case="c.reference")} THEN 3 ELSE 2 END"""
# Who has waited longest comes first, by order of arrival and not by time: the box's clock may be wrong today (1970).
_ORDERS: Final = {"open": f"{_RANK}, c.rowid", "cannot-judge": "c.rowid", "done": "r.rowid DESC"}


_LOOKED_AHEAD: Final = 100
"""Open cases among which the next one is sought, where a doctor has read some of them already."""
_SELECT: Final = (
    f"SELECT c.*, r.actor, r.at, COALESCE({DONE}, 0) AS done,"
    f" {IMAGES} AS images, {_WAITS} AS waiting, {_HIDDEN} AS hidden"
    " FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference"
)


class CaseChanged(Exception):
    """An image or a reading has arrived since the page was opened; nothing was written."""


class VerdictsLocked(CaseChanged):
    """Both readers have spoken, and their words can no longer be changed; nothing was written."""


class VerdictMissing(Exception):
    """A finding of the current case has no doctor's verdict; nothing was written."""


@dataclass(frozen=True, slots=True)
class CaseCompletion:
    """Who marked a case as done, and when."""

    actor: str
    at: clock.Stamp


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One case in a list."""

    case: str
    priority: Priority | None
    modality: str | None
    opened_at: clock.Stamp
    images: int
    waiting: int
    findings: tuple[Finding, ...]
    reason: Reason | None
    incomplete: Reason | None = None
    verdicts: tuple[DoctorVerdict, ...] = ()
    done: CaseCompletion | None = None
    hidden: bool = False
    """A doctor is asked to read the case first: `priority` and `findings` are left out."""
    readers: DoubleReading | None = None
    """Where two doctors read each case: how far they are."""


@dataclass(frozen=True, slots=True)
class ReadingProgress:
    """The progress of reading: how many images wait, since when the oldest, and when one was last read."""

    waiting: int
    oldest: clock.Stamp | None
    last_read: clock.Stamp | None


class Worklist:
    """The lists of one clinical database; with *two_readers* two doctors read each case (`clinical.two_readers`)."""

    def __init__(self, clinical: ClinicalDatabase, *, two_readers: bool = False) -> None:
        self._clinical, self._two_readers = clinical, two_readers

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._clinical.database.connection

    def rows(self, tab: Tab, limit: int, offset: int = 0) -> list[WorklistRow]:
        """At most *limit* cases of *tab* in its order."""
        rows = self._connection.execute(
            f"{_SELECT} WHERE {_TABS[tab]} ORDER BY {_ORDERS[tab]} LIMIT ? OFFSET ?", (limit, offset)
        ).fetchall()
        return [self._row(row) for row in rows]

    def row(self, case: str) -> WorklistRow | None:
        """The row of one case; None where the box has none."""
        row = self._connection.execute(f"{_SELECT} WHERE c.reference = ?", (case,)).fetchone()
        return self._row(row) if row is not None else None

    def order(self, tab: Tab) -> list[str]:
        """Every case of *tab* in its order."""
        rows = self._connection.execute(
            "SELECT c.reference FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference"
            f" WHERE {_TABS[tab]} ORDER BY {_ORDERS[tab]}"
        )
        return [row[0] for row in rows]

    def first(self) -> frozenset[str]:
        """The open cases that a doctor should look at before all others: the urgent ones, and those to be read first,
        of which nobody may be told whether they are."""
        rows = self._connection.execute(
            "SELECT c.reference FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference"
            f" WHERE {_TABS['open']} AND ({_RANK}) = 0"
        )
        return frozenset(row[0] for row in rows)

    def count(self, tab: Tab) -> int:
        row = self._connection.execute(
            f"SELECT COUNT(*) FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference WHERE {_TABS[tab]}"
        ).fetchone()
        return int(row[0])

    def next_after(self, case: str, actor: str) -> str | None:
        """The next case for *actor* to look at: the first open case other than *case* that waits for this doctor."""
        if not self._two_readers:
            return next((row.case for row in self.rows("open", 2) if row.case != case), None)
        others = (row for row in self.rows("open", _LOOKED_AHEAD) if row.case != case)
        return next((row.case for row in others if row.readers is None or row.readers.wants(actor)), None)

    def standing(self) -> ReadingProgress:
        """The progress of reading."""
        row = self._connection.execute(
            "SELECT COUNT(*), MIN(received_at), (SELECT MAX(read_at) FROM instances) FROM instances"
            " WHERE state = 'waiting'"
        ).fetchone()
        return ReadingProgress(row[0], moment(row[1]) if row[1] else None, moment(row[2]) if row[2] else None)

    def mark(self) -> tuple[object, ...]:
        """A value that changes whenever a list may have changed (but not after a view or a log-in)."""
        row = self._connection.execute(
            "SELECT (SELECT MAX(sequence) FROM arrivals), (SELECT COUNT(*) FROM instances WHERE state = 'waiting'),"
            " (SELECT MAX(rowid) FROM readings), (SELECT COUNT(*) FROM readings), (SELECT SUM(revision) FROM cases),"
            " (SELECT COUNT(*) FROM identities), (SELECT at FROM reviews ORDER BY rowid DESC LIMIT 1),"
            " (SELECT at FROM verdicts ORDER BY rowid DESC LIMIT 1),"
            " (SELECT COUNT(*) FROM reviews), (SELECT COUNT(*) FROM verdicts),"
            " (SELECT COUNT(*) FROM whole), (SELECT SUM(count) FROM listed_more),"
            " (SELECT MAX(sequence) FROM confirmations), (SELECT COUNT(*) FROM entered),"
            " (SELECT MAX(sequence) FROM remarks)"
        ).fetchone()
        return tuple(row)

    # --- what a doctor says --------------------------------------------------------------------------------------

    def verdicts(self, case: str) -> tuple[DoctorVerdict, ...]:
        """The latest verdict of every doctor on each finding of *case*, in the order in which they were given."""
        rows = self._connection.execute(
            f"SELECT v.*, v.revision < {SHOWN} AS earlier"
            " FROM verdicts v JOIN cases c ON c.reference = v.case_reference WHERE c.reference = ? ORDER BY v.rowid",
            (case,),
        )
        return tuple(
            DoctorVerdict(row["finding"], row["verdict"], row["actor"], moment(row["at"]), bool(row["earlier"]))
            for row in rows
        )

    def unjudged(self, case: str) -> tuple[Finding, ...]:
        """The current findings of *case* without any doctor's verdict; raises `CaseUnknown`."""
        said = {word.finding for word in self.verdicts(case) if not word.earlier}
        return tuple(finding for finding in self._clinical.case(case).findings if finding.code not in said)

    def readers(self, case: str) -> DoubleReading | None:
        """How far the two readers of *case* are; None where one is enough.  Raises `CaseUnknown`."""
        return self._readers(self._clinical.case(case).findings, self.verdicts(case)) if self._two_readers else None

    def _readers(self, findings: tuple[Finding, ...], verdicts: tuple[DoctorVerdict, ...]) -> DoubleReading | None:
        if not self._two_readers or not findings:
            return None
        return remarks.compare_readers(verdicts, [one.code for one in findings])

    def wanted_of(self, case: str, actor: str) -> tuple[Finding, ...]:
        """The findings of *case* on which *actor* has to say a word before "Done"; raises `CaseUnknown`."""
        readers = self.readers(case)
        if readers is None:
            return self.unjudged(case)
        said = {one.finding for one in self.verdicts(case) if one.actor == actor and not one.earlier}
        open_ones = (one for one in self._clinical.case(case).findings if one.code not in said)
        if not readers.wants(actor):
            return ()
        return tuple(one for one in open_ones if readers.blind or one.code in readers.differ)

    def done(self, case: str) -> CaseCompletion | None:
        """Who marked the current state of *case* as done; None when nobody did."""
        row = self._connection.execute(
            "SELECT r.actor, r.at FROM cases c JOIN reviews r ON r.case_reference = c.reference"
            f" WHERE c.reference = ? AND {DONE}",
            (case,),
        ).fetchone()
        return CaseCompletion(row["actor"], moment(row["at"])) if row else None

    def is_done(self, case: str) -> bool:
        return self.done(case) is not None

    def seen(self, case: str) -> str:
        """A token of the current state of *case*: revision, number of images, and how many of them wait.

        Raises `CaseUnknown`.
        """
        row = self._connection.execute(
            f"SELECT {SHOWN}, {IMAGES}, {_WAITS} FROM cases c WHERE c.reference = ?", (case,)
        ).fetchone()
        if row is None:
            raise CaseUnknown(case=case[:40])
        return ".".join(map(str, row))

    def hold(self, case: str, seen: str | None) -> None:
        """Raise `CaseChanged` if *case* differs from the token *seen*; None skips the check."""
        if seen is not None and seen != self.seen(case):
            raise CaseChanged

    def judge(
        self, case: str, finding: str, verdict: str, actor: str, seen: str | None = None, drawing: Drawing | None = None
    ) -> None:
        """Store a doctor's verdict: agrees, disagrees, is unsure or has no opinion; with what was *drawn* for it.

        Raises `CaseUnknown`, `CaseChanged` if the case differs from the token *seen*, and `ValueError`.
        """
        with self._clinical.database.transaction() as connection:
            self.hold(case, seen)
            self._say(connection, case, finding, verdict=verdict, actor=actor, drawing=drawing)

    def _say(
        self,
        connection: sqlite3.Connection,
        case: str,
        finding: str,
        verdict: str,
        actor: str,
        drawing: Drawing | None = None,
    ) -> None:
        positive = self._box_says(case, finding)
        if verdict not in VERDICTS or positive is None:
            raise ValueError(verdict)
        self.require_free(case, actor)
        connection.execute(
            "INSERT OR REPLACE INTO verdicts (case_reference, finding, verdict, revision, actor, at)"
            f" SELECT c.reference, ?, ?, {SHOWN}, ?, ? FROM cases c WHERE c.reference = ?",
            (finding, verdict, actor, _now(), case),
        )
        if drawing is not None:
            remarks.require_image(connection, case, drawing.instance)
        remarks.insert_remark(
            connection, case, RemarkKind.VERDICT, verdict, actor, finding=finding, positive=positive, drawing=drawing
        )
        drawn = drawing.audited() if drawing is not None else {}
        audit.append(connection, actor, "finding.judged", case, {"finding": finding, "verdict": verdict, **drawn})
        self._confirm(connection, case, finding, verdict, actor)

    def require_free(self, case: str, actor: str) -> None:
        """Raise `VerdictsLocked` where the words of *actor* on *case* can no longer be changed."""
        readers = self.readers(case)
        if readers is not None and readers.binds(actor):
            raise VerdictsLocked

    def _box_says(self, case: str, finding: str) -> bool | None:
        """Whether *finding* is positive in *case* now; None where the case has no such finding."""
        return next((one.positive for one in self._clinical.case(case).findings if one.code == finding), None)

    def _confirm(self, connection: sqlite3.Connection, case: str, finding: str, verdict: str, actor: str) -> None:
        """Where the truth of *finding* is asked for, keep *verdict* as a reading after the result."""
        says = Confirmations(self._clinical.database)
        if finding not in says.asked(case):
            return
        positive = next(one.positive for one in self._clinical.case(case).findings if one.code == finding)
        truth = Truth.UNSURE
        if verdict in ("agree", "disagree"):
            truth = Truth.POSITIVE if positive is (verdict == "agree") else Truth.NEGATIVE
        said = [one.truth for one in says.of_case(case) if (one.finding, one.source) == (finding, Source.AFTER)]
        if (said or [Truth.UNSURE])[-1] is truth:
            return
        before = says.counts(connection, {(case, finding)})
        says.write(connection, case, finding, truth=truth, source=Source.AFTER, actor=actor)
        says.test(connection, before)

    def withdraw(self, case: str, finding: str, actor: str) -> None:
        """Remove a doctor's verdict on *finding*; does nothing if there is none.

        A case that then lacks a verdict is no longer done.  Raises `VerdictsLocked`.
        """
        with self._clinical.database.transaction() as connection:
            self.require_free(case, actor)
            gone = connection.execute(
                "DELETE FROM verdicts WHERE case_reference = ? AND finding = ? AND actor = ?", (case, finding, actor)
            )
            if gone.rowcount:
                positive = self._box_says(case, finding)
                remarks.insert_remark(
                    connection, case, RemarkKind.VERDICT, "", actor, finding=finding, positive=positive
                )
                audit.append(connection, actor, "finding.withdrawn", case, {"finding": finding})
                left = [one.verdict for one in self.verdicts(case) if one.finding == finding and not one.earlier]
                if finding in {one.code for one in self._clinical.case(case).findings}:
                    self._confirm(connection, case, finding, (left or ["none"])[-1], actor)
                if self.unjudged(case):
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
            if connection.execute(f"SELECT 1 FROM cases c WHERE c.reference = ? AND {_WAITING}", (case,)).fetchone():
                raise NotReadYet
            self.hold(case, seen)
            for finding, word in words.items():
                self._say(connection, case, finding, word, actor)
            if self.wanted_of(case, actor):
                raise VerdictMissing
            readers = self.readers(case)
            if readers is not None and not readers.complete:
                audit.append(connection, actor, "case.read", case)
                return
            row = connection.execute(
                # Replaced, not updated: the row order is the order of the doctors' actions, whatever the clock said.
                "INSERT OR REPLACE INTO reviews (case_reference, revision, images, actor, at) SELECT c.reference,"
                f" {SHOWN}, {IMAGES}, ?, ?"
                " FROM cases c WHERE c.reference = ? RETURNING revision",
                (actor, _now(), case),
            ).fetchone()
            audit.append(connection, actor, "case.done", case, {"revision": row[0]})

    def reopen(self, case: str, actor: str, whose: str, at: str) -> bool:
        """Remove the mark that *whose* set on *case* at the time *at*; False if it is no longer there."""
        with self._clinical.database.transaction() as connection:
            done = self.done(case)
            if done is None or (done.actor, done.at.text()) != (whose, at):
                return False
            _reopen(connection, case, actor)
            return True

    def _row(self, row: sqlite3.Row) -> WorklistRow:
        readings = [
            row_json.reading_adapter().validate_json(body)
            for (body,) in self._connection.execute(
                "SELECT body FROM readings WHERE case_reference = ?", (row["reference"],)
            )
        ]
        reasons = [reading.reason for reading in readings if reading.status is ReadingStatus.CANNOT_JUDGE]
        hidden, priority = bool(row["hidden"]), Priority(row["priority"]) if row["priority"] else None
        findings = () if hidden else sort_findings(select_strongest(readings))
        verdicts = self.verdicts(row["reference"])
        return WorklistRow(
            case=row["reference"],
            priority=None if hidden else priority,
            modality=row["modality"],
            opened_at=moment(row["opened_at"]),
            images=row["images"],
            waiting=row["waiting"],
            findings=findings,
            reason=reasons[0] if reasons else None,
            incomplete=usb_import.explain_incompleteness(self._connection, row["reference"]),
            verdicts=verdicts,
            done=CaseCompletion(row["actor"], moment(row["at"])) if row["done"] else None,
            hidden=hidden,
            readers=self._readers(findings, verdicts),
        )


def _reopen(connection: sqlite3.Connection, case: str, actor: str) -> None:
    """Remove all "Done" marks of *case*; does nothing if there are none."""
    if connection.execute("DELETE FROM reviews WHERE case_reference = ?", (case,)).rowcount:
        audit.append(connection, actor, "case.reopened", case)


def moment(text: str) -> clock.Stamp:
    """The stamp of a stored time."""
    return clock.parse_stamp(text)


def _now() -> str:
    return clock.stamp_text()
