"""Gathers what a case says now into a `Result`, and gives it its version."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from firmware_app.cases import result_versions
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import (
    NotReadYet,
    RegistrationUnknown,
)
from firmware_app.cases.patients import DisplayedPatient, Patients
from firmware_app.cases.registrations import Registrations
from firmware_app.cases.remarks import Remark, RemarkKind, Remarks
from firmware_app.cases.worklist import CaseCompletion, Worklist
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.core.version import version
from firmware_app.results.result import Opinion, Result, Signature, SourceImage, WrittenRemark

_PURPOSE: Final = "result objects"


def gather_result(config: Config, clinical: ClinicalDatabase, case: str) -> Result:
    """The current result of *case*; its version is durable on return.

    Raises `CaseUnknown`, `NotReadYet` for a case without a reading, and `REFERENCES_LOST`.
    """
    known = clinical.case(case)
    if not known.readings:
        raise NotReadYet
    state, worklist = StateDir(config.state.dir), Worklist(clinical, two_readers=config.review.two_readers)
    patient = Patients(clinical, state).known(case)
    done, readers = worklist.done(case), worklist.readers(case)
    is_blind = readers is not None and not readers.complete and done is None  # one reader's word is not out yet
    result = Result(
        known,
        tuple(
            SourceImage(one.reference, str(state.root / one.file), str(state.display / one.reference), one.header)
            for one in clinical.images(case)
        ),
        patient.patient,
        tuple(
            Opinion(one.finding, one.verdict, one.actor)
            for one in worklist.verdicts(case)
            if not one.earlier and one.verdict != "none" and not is_blind
        ),
        _convert_signature(done) if done is not None else None,
        config.box.name or config.box.id,
        config.box.language,
        clinical.subkey(_PURPOSE).hex(),
        f"Lantern {version()}",
        by_hand=() if patient.registration else tuple(sorted(patient.entered)),
        written=tuple(
            _convert_remark(one)
            for one in Remarks(clinical.database).of_case(case)
            if one.kind is not RemarkKind.VERDICT and not is_blind
        ),
        person_name=_find_person_name(clinical, patient),
    )
    maker = {"box": result.box, "language": result.language, "software": result.software}
    numbered = result_versions.find_current_version(
        clinical.database, case, result.state, result.signed_state, result.pictures_state, maker
    )
    first = {**maker, **numbered.maker}  # a version of an older Lantern names no maker
    return replace(
        result,
        version=numbered.number,
        made_at=numbered.made.at.isoformat(),
        made_sure=numbered.made.trusted,
        drawn=numbered.drawn,
        drawn_at=numbered.drawn_at.at.isoformat(),
        box=first["box"],
        language=first["language"],
        software=first["software"],
    )


def _find_person_name(clinical: ClinicalDatabase, known: DisplayedPatient) -> str:
    """The registered name, unless the patient's was corrected since, or the registration is forgotten."""
    if not known.registration:
        return ""
    try:
        registered = Registrations(clinical.database).entry(known.registration).registered
    except RegistrationUnknown:
        return ""
    return registered.person_name if registered.name == known.patient.name else ""


def _convert_remark(one: Remark) -> WrittenRemark:
    at = one.at.at.astimezone().isoformat(timespec="seconds")
    return WrittenRemark(one.kind.value, one.text, one.instance, one.actor, at, one.at.trusted)


def _convert_signature(done: CaseCompletion) -> Signature:
    return Signature(done.actor, done.at.at.astimezone().isoformat(timespec="seconds"), done.at.trusted)
