"""Whether a study of an archive is of the patient whom the clinic means.

Issuer of the patient's number, the number, and birth date must be the same, and none of them unknown; a placeholder
such as 1 January 1900 is no birth date.  A name never
decides: two patients of one name stay apart, and one patient's name is spelled in several ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firmware_app.dicom.headers.age import birth_date


class Doubt(StrEnum):
    """What keeps a study from being taken for the same patient's; a person decides then."""

    ISSUER = "issuer"
    NUMBER = "number"
    BIRTH_DATE = "birth_date"
    SEX = "sex"


@dataclass(frozen=True, slots=True)
class PatientKey:
    """What a patient is told apart by; empty texts are unknown.  `birth_date` is a DA, `sex` a CS."""

    issuer: str
    number: str
    birth_date: str
    sex: str = ""

    def or_issuer(self, assumed: str) -> PatientKey:
        """The same with *assumed* as the issuer where none is known."""
        return PatientKey(self.issuer or assumed, self.number, self.birth_date, self.sex)


def doubts(ours: PatientKey, theirs: PatientKey) -> tuple[Doubt, ...]:
    """Why *theirs* may be another patient; empty when it is the same."""
    pairs = (
        (Doubt.ISSUER, ours.issuer, theirs.issuer),
        (Doubt.NUMBER, ours.number, theirs.number),
        (Doubt.BIRTH_DATE, birth_date(ours.birth_date), birth_date(theirs.birth_date)),
    )
    found = [doubt for doubt, mine, other in pairs if not mine or mine != other]
    if {ours.sex, theirs.sex} == {"M", "F"}:
        found.append(Doubt.SEX)
    return tuple(found)
