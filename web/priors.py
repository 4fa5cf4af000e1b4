"""Earlier and other images of the same patient, to be looked at beside the ones of a case."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from firmware_app.cases.patients import Patient
from firmware_app.results import terms
from web.viewer_context import Box

_NEWEST: Final = 1000
"""Cases that are looked through, the newest first: names and numbers lie beside the images, in no index."""
_MOST: Final = 12


@dataclass(frozen=True, slots=True)
class Prior:
    """Another case of the same patient, and an image of it that can be shown."""

    case: str
    examination: str
    examined: str
    instance: str
    has_screen: bool


def list_priors(box: Box, reference: str) -> list[Prior]:
    """Cases whose patient has the same number, and the same name where both have one; the newest first.

    Without a number there is none: two patients may have one name.
    """
    patient = box.patients.load_displayed(reference).patient
    if not patient.patient_id:
        return []
    others = (one for one in reversed(box.clinical.list_references()) if one != reference)
    same = (
        other
        for other in islice(others, _NEWEST)
        if _is_same_patient(patient, box.patients.load_displayed(other).patient)
    )
    shown = ((one, _find_rendered_image(box, one)) for one in same)
    return [
        Prior(
            one,
            terms.join_study_names(box.clinical.list_examinations(one)),
            terms.format_study_times(box.clinical.list_study_times(one)),
            image,
            (box.state.display / image / "frame-000-screen.jpg").is_file(),
        )
        for one, image in islice(((one, image) for one, image in shown if image), _MOST)
    ]


def _is_same_patient(patient: Patient, other: Patient) -> bool:
    names = {patient.name.casefold(), other.name.casefold()} - {""}
    return other.patient_id == patient.patient_id and len(names) < 2


def _find_rendered_image(box: Box, case: str) -> str:
    """The first image of *case* that was rendered; empty where there is none."""
    instances = (image.reference for image in box.clinical.list_images(case))
    return next((instance for instance in instances if (box.state.display / instance / "frame-000.json").is_file()), "")
