"""What the result objects of a case are made from, in one value that travels to the child process as JSON."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache

from pydantic import TypeAdapter

from firmware_app.records import Case, Header
from firmware_app.store.clinical.patients import Patient


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
class Signature:
    """Who finished the case, and when (ISO 8601)."""

    actor: str
    at: str


@dataclass(frozen=True, slots=True)
class Result:
    """A case as it stands, for one version of its objects.

    `key` is the secret of the box for the objects' UIDs, in hexadecimal.  `version` counts from 1 and rises whenever
    the case says something else; `made_at` (ISO 8601) is when this version was first made, so that a second making
    gives the same bytes.
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

    @property
    def state(self) -> str:
        """A digest of all that the objects say; arrivals of the same image again and timings are no part of it."""
        readings = tuple(replace(one, timing=type(one.timing)(0.0, 0.0, 0.0)) for one in self.case.readings)
        case = replace(self.case, files=(), readings=readings)
        said = replace(self, case=case, key="", version=0, made_at="")
        return hashlib.sha256(form().dump_json(said)).hexdigest()


@cache
def form() -> TypeAdapter[Result]:
    """How a `Result` is written and read."""
    return TypeAdapter(Result)
