"""What images show, as a person has said where they say nothing themselves ("What is this?").

Each entry is a row of its own with who and when, and an audit entry with the words before and after; the image is never
changed.  The case is read again with it, and a reading made meanwhile without it is not written
(`clinical.reading_queue`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from firmware_app.cases.accounts import audit
from firmware_app.cases.clinical_db import Clinical
from firmware_app.core import clock
from firmware_app.core.records import Entered

ACTION = "image.described"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person said of one image, by whom and when."""

    said: Entered
    actor: str
    at: clock.Stamp


class Entries:
    """The entries of one clinical database."""

    def __init__(self, clinical: Clinical) -> None:
        self._clinical = clinical

    def of_case(self, case: str) -> dict[str, Entry]:
        """Instance -> what was said of it last; without those that were taken back."""
        rows = self._clinical.database.connection.execute(
            "SELECT * FROM entered WHERE case_reference = ? ORDER BY version", (case,)
        )
        newest = {row["instance"]: _entry(row) for row in rows}
        return {instance: entry for instance, entry in newest.items() if entry.said != Entered()}

    def enter(self, case: str, instances: Iterable[str], said: Entered, actor: str) -> int:
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
                if one in known and said != (before[one].said if one in before else Entered())
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
                        clock.text("seconds"),
                    ),
                )
                old = before[one].said if one in before else Entered()
                audit.append(connection, actor, ACTION, case, {"image": one, "before": str(old), "after": str(said)})
            return self._clinical.reopen(case) if changed else 0


def _entry(row: sqlite3.Row) -> Entry:
    said = Entered(row["modality"], row["body_part"], row["view"], row["population"])
    return Entry(said, row["actor"], clock.parse(row["at"]))
