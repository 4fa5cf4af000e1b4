"""Which cases a clinic gives a model engineer to learn from: the patient's consent as a doctor noted it, and what was
given already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware_app.cases.accounts import audit
from firmware_app.core import clock
from firmware_app.core.errors import CaseUnknown
from firmware_app.core.records import Detail
from firmware_app.core.sqlite.database import Database

_LAST = "sequence IN (SELECT MAX(sequence) FROM feedback_consents GROUP BY case_reference)"


@dataclass(frozen=True, slots=True)
class Consent:
    """What a doctor noted of a case: that the patient agrees, and that no words in its pictures name anybody."""

    given: bool
    looked: bool
    actor: str
    at: clock.Stamp

    @property
    def allows(self) -> bool:
        """Whether the case may be given away."""
        return self.given and self.looked


class Feedback:
    """The consents of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def consent(self, case: str) -> Consent | None:
        """What was noted last of *case*; None where nobody has noted anything."""
        row = self._database.connection.execute(
            f"SELECT * FROM feedback_consents WHERE case_reference = ? AND {_LAST}", (case,)
        ).fetchone()
        if row is None:
            return None
        return Consent(bool(row["given"]), bool(row["looked"]), row["actor"], clock.parse(row["at"]))

    def note(self, case: str, actor: str, *, given: bool, looked: bool) -> None:
        """Note the consent, or that it is taken back; raises `CaseUnknown`."""
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
                raise CaseUnknown(case=case[:40])
            connection.execute(
                "INSERT INTO feedback_consents (case_reference, given, looked, actor, at) VALUES (?, ?, ?, ?, ?)",
                (case, given, looked, actor, clock.text()),
            )
            details: dict[str, Detail] = {"given": int(given), "looked": int(looked)}
            audit.append(connection, actor, "feedback.consent", case, details)

    def cases(self) -> tuple[str, ...]:
        """The cases that may be given away, in the order of their consents."""
        rows = self._database.connection.execute(
            f"SELECT case_reference FROM feedback_consents WHERE {_LAST} AND given = 1 AND looked = 1 ORDER BY sequence"
        )
        return tuple(row["case_reference"] for row in rows)

    def given(self) -> dict[str, str]:
        """Instance -> the state in which it was given."""
        return dict(self._database.connection.execute("SELECT instance, state FROM feedback_given").fetchall())

    def leave(self, films: Mapping[tuple[str, str], str], actor: str, **facts: Detail) -> None:
        """Record, before it leaves, that a file with *films*, (case, instance) -> state, was made by *actor*."""
        with self._database.transaction() as connection:
            for (case, instance), state in films.items():
                connection.execute(
                    "INSERT OR REPLACE INTO feedback_given (instance, case_reference, state, at) VALUES (?, ?, ?, ?)",
                    (instance, case, state, clock.text()),
                )
            for case in dict.fromkeys(case for case, _ in films):
                count = sum(1 for of, _ in films if of == case)
                audit.append(connection, actor, "feedback.exported", case, {"films": count, **facts})
