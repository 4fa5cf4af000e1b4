"""A case as every report and result object states it, in one value that travels to a child process as JSON."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from firmware_app.cases.patient_identity import Patient
from firmware_app.core.records import Case, Header


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of the case; `file` and `display` are absolute paths."""

    instance: str
    file: str
    display: str
    header: Header | None


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one doctor says of a finding: ``agree``, ``disagree`` or ``unsure``."""

    finding: str
    verdict: str
    actor: str


@dataclass(frozen=True, slots=True)
class WrittenRemark:
    """What one doctor wrote of the case, or of one of its images: ``impression``, ``missed`` or ``note``."""

    kind: str
    text: str
    instance: str
    actor: str
    at: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """Who finished the case, and when (ISO 8601); `sure`: the box's clock was confirmed then."""

    actor: str
    at: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """A case as it stands, for one version of its report and its objects.

    `key` is the secret of the box for the objects' UIDs, in hexadecimal.  `version` counts from 1 and rises whenever
    the case says something else; `made_at` (ISO 8601) is when this version was first made, so that a second making
    gives the same bytes.  `made_sure`: the box's clock was confirmed then.
    """

    case: Case
    images: tuple[SourceImage, ...]
    patient: Patient
    opinions: tuple[Opinion, ...]
    signature: Signature | None
    box: str
    language: str
    key: str
    software: str
    version: int = 0
    made_at: str = ""
    made_sure: bool = True
    drawn: int = 0
    """The version since which the pictures are the same, 0: this one; and when that was first made."""
    drawn_at: str = ""
    by_hand: tuple[str, ...] = ()
    """The fields of the patient that a person entered, in place of what the images say."""
    written: tuple[WrittenRemark, ...] = ()
    person_name: str = ""
    """The patient's name as DICOM has it (PN), where the patient is registered."""

    def is_rejected(self, finding: str) -> bool:
        """Whether a doctor disagrees with the finding of this code."""
        return any(one.finding == finding and one.verdict == "disagree" for one in self.opinions)

    @property
    def drawn_version(self) -> int:
        """The version of the objects with pictures."""
        return self.drawn or self.version

    @property
    def pictures_state(self) -> str:
        """A digest of what the objects with pictures show: everything but what a person says of it."""
        case = replace(self.case, revision=0, priority=None, follow_up=None)
        return _digest(replace(self, case=case, opinions=(), signature=None, written=()))

    @property
    def state(self) -> str:
        """A digest of all that report and objects say, without repeated arrivals of an image and without timings."""
        return _digest(self)

    @property
    def signed_state(self) -> str | None:
        """A digest of what a doctor has signed: `state` without the box's name, language and software, which may
        change while the report does not.  None for a case that nobody has signed."""
        return _digest(replace(self, box="", language="", software="")) if self.signature is not None else None


def _digest(result: Result) -> str:
    readings = tuple(replace(one, timing=type(one.timing)(0.0, 0.0, 0.0)) for one in result.case.readings)
    case = replace(result.case, files=(), readings=readings)
    said = replace(result, case=case, key="", version=0, made_at="", made_sure=True, drawn=0, drawn_at="")
    # As before there were such fields: what is signed stays as it is.
    empty = {name for name in ("by_hand", "written") if not getattr(said, name)}
    follows = {"person_name"}  # from the patient
    silent = {at: {"not_looked_for"} for at, one in enumerate(readings) if not one.not_looked_for}
    exclude: dict[str, Any] = dict.fromkeys(empty | follows, True)
    if silent:
        exclude["case"] = {"readings": silent}
    return hashlib.sha256(result_adapter().dump_json(said, exclude=exclude)).hexdigest()


@cache
def result_adapter() -> TypeAdapter[Result]:
    """How a `Result` is written and read."""
    return TypeAdapter(Result)
