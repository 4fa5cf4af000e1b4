"""Images and their readings as the database keeps them: one builder for every test of what is said of a case."""

from __future__ import annotations

from typing import Any

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.errors import LanternError
from firmware_app.core.records import (
    Finding,
    Header,
    Instance,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)

PACK = PackIdentity("p", "1.0.0", "onnxruntime", "int8")
STUDY = "1.2.3"


def make_header(number: int = 1, study: str = STUDY, **more: Any) -> Header:
    """The header of image *number* of a study."""
    return Header("1.2", f"{study}.1.{number}", study, f"{study}.9", "1.2.840.10008.1.2", **{"modality": "CR", **more})


def admit(
    clinical: ClinicalDatabase, number: int = 1, header: Header | None = None, *, picture: bool = False, **more: Any
) -> Instance:
    """Image *number* arrives, with *header* or that of `make_header`; a *picture* has none."""
    made = clinical.admit(
        path=f"film{number}.dcm",
        file=f"images/{number}",
        sha256=f"{number:064d}",
        size=9,
        header=None if picture else header or make_header(number),
        **{"association": None, **more},
    )
    assert isinstance(made, Instance)
    return made


def make_reading(
    instance: Instance, probability: float = 0.9, *, refusal: LanternError | None = None, **more: Any
) -> Reading:
    """What a pack says of *instance*: pneumonia with *probability*, or no number because of *refusal*."""
    said: dict[str, Any] = {"reason": None, "pack": PACK, "findings": (make_finding(probability),)}
    if refusal is not None:
        said = {"reason": Reason.from_error(refusal), "pack": None}
    status = ReadingStatus.READ if refusal is None else ReadingStatus.CANNOT_JUDGE
    values = {"scope": Scope.INSTANCE, "instances": (instance.reference,), "timing": Timing(1, 1, 2)}
    return Reading(**{**values, "status": status, **said, **more})


def make_finding(probability: float = 0.9, code: str = "pneumonia") -> Finding:
    return Finding(code, {"en": "Pneumonia", "zh_CN": "肺炎"}, probability, 0.5)


def read_case(clinical: ClinicalDatabase, number: int = 1, header: Header | None = None, **more: Any) -> Instance:
    """Image *number* arrives and is read, and its case gets its next revision."""
    instance = admit(clinical, number, header)
    clinical.finish(instance, make_reading(instance, **more), Priority.URGENT)
    clinical.close_revisions(0)
    return instance
