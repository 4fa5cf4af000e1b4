"""An entry of the modality worklist (PS3.4 K): one patient who is registered for one examination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_CHILD_YEARS: Final = 18


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """One patient and one examination; empty texts are unknown."""

    accession: str
    study_uid: str
    patient_id: str
    name: str
    person_name: str
    """PN with its groups, as ``WANG^XIAOMING=王^小明``."""
    birth_date: str
    """DA, as ``19580731``."""
    age: str
    """AS at registration, as ``067Y``."""
    sex: str
    examination: str
    scheduled: str
    """Local time, DA and TM together: ``20261124093000``."""
    procedure_id: str = ""
    """Requested Procedure ID and, below, the step's: the hospital's own; empty: as the accession number."""
    step_id: str = ""
    description: str = ""
    """What the hospital calls the examination; empty: as `examination` is called."""
    origin: str = ""
    """AE title of the worklist that it is from; empty: registered here."""

    @property
    def is_child(self) -> bool:
        return self.age[-1:] in ("D", "W", "M") or int(self.age[:3] or _CHILD_YEARS) < _CHILD_YEARS

    @property
    def spelled(self) -> str:
        """The Latin letters of the name, for people."""
        return self.person_name.partition("=")[0].replace("^", " ")
