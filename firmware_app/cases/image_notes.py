"""What people say of one image: what it shows ("What is this?"), and verdicts on it alone.

A description fills in what the image itself does not state.  It is a row of its own with who and when, and an audit
entry with the values before and after; the image is never changed.  The case is read again with it, and a reading made
meanwhile without it is not written (`cases.reading_queue`).

A verdict on an image says whether the box is right about a finding on it, where a case has several images.  It stands
beside the verdict on the case, which alone decides whether the case is done.  It is never changed; the last one of each
doctor on a finding of an image counts (`remarks.select_current`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from firmware_app.cases import audit, remarks
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.remarks import Drawing, RemarkKind, Remarks
from firmware_app.cases.worklist import Worklist
from firmware_app.core import clock
from firmware_app.core.records import Detail, EnteredFacts

IMAGE_DESCRIBED = "image.described"


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """What a person said of one image, by whom and when."""

    said: EnteredFacts
    actor: str
    at: clock.Stamp


class ImageDescriptions:
    """The entries of one clinical database."""

    def __init__(self, clinical: ClinicalDatabase) -> None:
        self._clinical = clinical

    def of_case(self, case: str) -> dict[str, ImageDescription]:
        """Instance -> what was said of it last; without those that were taken back."""
        rows = self._clinical.database.connection.execute(
            "SELECT * FROM entered WHERE case_reference = ? ORDER BY version", (case,)
        )
        newest = {row["instance"]: _parse_description(row) for row in rows}
        return {instance: entry for instance, entry in newest.items() if entry.said != EnteredFacts()}

    def enter(self, case: str, instances: Iterable[str], said: EnteredFacts, actor: str) -> int:
        """Let *said* hold for *instances* of *case*; returns how many images are read again for it.

        Raises `CaseUnknown`.  Instances of another case, and words that hold already, change nothing.
        """
        self._clinical.case(case)
        known = {one.reference for one in self._clinical.images(case)}
        with self._clinical.database.transaction() as connection:
            before = self.of_case(case)
            changed = [
                one
                for one in dict.fromkeys(instances)
                if one in known and said != (before[one].said if one in before else EnteredFacts())
            ]
            for one in changed:
                connection.execute(
                    "INSERT INTO entered (case_reference, instance, version, modality, body_part, view, population,"
                    " actor, at) VALUES (?, ?, (SELECT COALESCE(MAX(version), 0) + 1 FROM entered WHERE instance = ?),"
                    " ?, ?, ?, ?, ?, ?)",
                    (
                        case,
                        one,
                        one,
                        said.modality,
                        said.body_part,
                        said.view,
                        said.population,
                        actor,
                        clock.stamp_text("seconds"),
                    ),
                )
                old = before[one].said if one in before else EnteredFacts()
                audit.append(
                    connection, actor, IMAGE_DESCRIBED, case, {"image": one, "before": str(old), "after": str(said)}
                )
            return self._clinical.reopen(case) if changed else 0


def _parse_description(row: sqlite3.Row) -> ImageDescription:
    said = EnteredFacts(row["modality"], row["body_part"], row["view"], row["population"])
    return ImageDescription(said, row["actor"], clock.parse_stamp(row["at"]))


IMAGE_VERDICTS: Final = ("agree", "disagree", "missed", "unsure")
"""``missed``: the box overlooked something of this finding on this image, whatever else it found there."""


class ImageVerdicts:
    """The verdicts on images of one clinical database."""

    def __init__(self, clinical: ClinicalDatabase, worklist: Worklist) -> None:
        self._clinical, self._worklist = clinical, worklist

    def judge(
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

        Raises `CaseUnknown`, `CaseChanged` if the case differs from the token *seen*, and `ValueError` for a finding
        that the image was not read for, or for a drawing on another image; `WordsStand` where the words of *actor* can
        no longer be changed, because two doctors read blind.
        """
        with self._clinical.database.transaction() as connection:
            self._worklist.hold(case, seen)
            positive = self._box_says(case, instance, finding)
            if positive is None or verdict not in (*IMAGE_VERDICTS, ""):
                raise ValueError(verdict)
            self._worklist.require_free(case, actor)
            if drawing is not None and not self._lies_on(case, instance, drawing):
                raise ValueError("the drawing lies on another image")
            if not verdict and not self._has_spoken(case, instance, finding, actor):
                return
            self._keep(
                connection,
                case,
                instance,
                finding=finding,
                verdict=verdict,
                actor=actor,
                positive=positive,
                drawing=drawing,
            )

    def _keep(
        self,
        connection: sqlite3.Connection,
        case: str,
        instance: str,
        finding: str,
        verdict: str,
        actor: str,
        positive: bool,
        drawing: Drawing | None,
    ) -> None:
        remarks.insert_remark(
            connection,
            case,
            RemarkKind.VERDICT,
            verdict,
            actor,
            instance=instance,
            finding=finding,
            positive=positive,
            drawing=drawing if verdict else None,
        )
        details: dict[str, Detail] = {"finding": finding, "image": instance}
        if not verdict:
            audit.append(connection, actor, "image.withdrawn", case, details)
            return
        drawn = drawing.audited() if drawing is not None else {}
        audit.append(connection, actor, "image.judged", case, {**details, "verdict": verdict, **drawn})

    def _box_says(self, case: str, instance: str, finding: str) -> bool | None:
        """Whether *finding* is positive on the image; None where the image was not read for it."""
        findings = (
            one
            for reading in self._clinical.case(case).readings
            if instance in reading.instances
            for one in reading.findings
            if one.code == finding
        )
        return next((one.positive for one in findings), None)

    def _lies_on(self, case: str, instance: str, drawing: Drawing) -> bool:
        """Whether *drawing* is on the image *instance*, or on a slice that was read together with it."""
        together = [one.instances for one in self._clinical.case(case).readings if instance in one.instances]
        return drawing.instance == instance or any(drawing.instance in one for one in together)

    def _has_spoken(self, case: str, instance: str, finding: str, actor: str) -> bool:
        said = remarks.select_current(Remarks(self._clinical.database).of_case(case))
        return any((one.actor, one.finding, one.instance) == (actor, finding, instance) for one in said)
