"""Verdicts on one image alone, where a case has several: whether the box is right about a finding on this film.

They stand beside the verdict on the case, which alone decides whether the case is done, and are never changed; the last
of each doctor on a finding of an image counts (`remarks.current`).
"""

from __future__ import annotations

import sqlite3
from typing import Final

from firmware_app.cases import remarks
from firmware_app.cases.accounts import audit
from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.drawings import Drawing
from firmware_app.cases.remarks import Kind, Remarks
from firmware_app.cases.worklist import Worklist
from firmware_app.core.records import Detail

VERDICTS: Final = ("agree", "disagree", "missed", "unsure")
"""``missed``: the box overlooked something of this finding on this image, whatever else it found there."""


class ImageVerdicts:
    """The verdicts on images of one clinical database."""

    def __init__(self, clinical: Clinical, worklist: Worklist) -> None:
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
            if positive is None or verdict not in (*VERDICTS, ""):
                raise ValueError(verdict)
            self._worklist.require_free(case, actor)
            if drawing is not None and not self._lies_on(case, instance, drawing):
                raise ValueError("the drawing lies on another image")
            if not verdict and not self._has_spoken(case, instance, finding, actor):
                return
            self._keep(connection, case, instance, finding, verdict, actor, positive, drawing)

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
        remarks.insert(
            connection,
            case,
            Kind.VERDICT,
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
        said = remarks.current(Remarks(self._clinical.database).of_case(case))
        return any((one.actor, one.finding, one.instance) == (actor, finding, instance) for one in said)
