"""The export's side of clinical.db: which files a case has, under which secret they are renamed, who took them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_app.store import audit
from firmware_app.store.casebook import Casebook
from firmware_app.store.database import Database
from firmware_app.store.references import References

_PURPOSE: Final = "de-identification"
BEGUN: Final = "export.begun"
DONE: Final = "export.done"
STOPPED: Final = "export.stopped"


@dataclass(frozen=True, slots=True)
class Kept:
    """One image of a case: its reference, its file below the state directory, and whether that is a DICOM object."""

    reference: str
    file: str
    is_dicom: bool


class Exports:
    """What an export needs of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def images(self, case: str) -> tuple[Kept, ...]:
        """The images of *case* in the order in which they came; raises `CaseUnknown`."""
        Casebook(self._database).case(case)
        rows = self._database.connection.execute(
            "SELECT reference, file, header IS NOT NULL FROM instances WHERE case_reference = ? ORDER BY sequence",
            (case,),
        )
        return tuple(Kept(row[0], row[1], bool(row[2])) for row in rows)

    def key(self) -> bytes:
        """The secret behind the new identities; raises `ReferencesLost`.

        It follows from the secret of the references, so it is as durable, and a rescue restores it.
        """
        references = References(self._database.path.parent)
        references.load(self._database.connection)
        return references.subkey(_PURPOSE)

    def record(self, action: str, case: str, person: str, **counts: int) -> None:
        """An entry of the audit, durable on return: who stood at the console as *person*, and what happened."""
        audit.Audit(self._database).record(audit.CONSOLE, action, case, account=person, **counts)
