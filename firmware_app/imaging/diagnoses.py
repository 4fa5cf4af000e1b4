"""The coded diagnoses in a DICOM header, for the rules of follow-up that take a patient's background into account.

Only Admitting Diagnoses Code Sequence (0008,1084; PS3.3 C.7.2.2) is read.  Free text is not: “no hepatitis B” has the
same words as “hepatitis B”; and the reason for an examination may be what it is to rule out.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from firmware_app.imaging.dicom_film import DicomFilm
from firmware_app.imaging.film import Film
from firmware_app.imaging.source import BROKEN

MOST: Final = 32


def of(film: Film) -> tuple[tuple[str, str], ...]:
    """(coding scheme designator, code value) of each, at most `MOST`; none of a picture or a clip file."""
    return of_header(film.source.header) if isinstance(film, DicomFilm) else ()


def of_header(header: Dataset) -> tuple[tuple[str, str], ...]:
    """The same of a header."""
    try:
        items = list(header.get("AdmittingDiagnosesCodeSequence") or ())[:MOST]
        coded = [(str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeValue") or "")) for item in items]
    except BROKEN:
        return ()
    return tuple(dict.fromkeys(one for one in coded if all(one)))
