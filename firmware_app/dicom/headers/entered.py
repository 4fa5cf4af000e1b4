"""What a person says of an image, put where its header says nothing, or contradicts itself.  What the header says
otherwise always stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from firmware_app.core.records import Entered, Header
from firmware_app.dicom.headers import body_part, view

_PICTURE: Final = Header("", "", None, None, "", has_pixels=True)


def completed(header: Header | None, said: Entered) -> Header:
    """*header* with what *said* adds to it; for a picture without a header (None), all that is known of it."""
    known = header if header is not None else replace(_PICTURE, patient_age=said.age or None)
    if said.modality and lacks_modality(header):
        known = replace(known, modality=said.modality)
    if said.body_part and lacks_part(header):
        coded = replace(known.coded, regions=(), structures=())
        known = replace(known, body_part=said.body_part, coded=coded)
    if said.view and lacks_view(header):
        known = replace(known, view_position=said.view, coded=replace(known.coded, views=(), view_modifiers=()))
    return known


def lacks_modality(header: Header | None) -> bool:
    """Whether the image does not say what kind of machine made it."""
    return header is None or not (header.modality or "").strip()


def lacks_part(header: Header | None) -> bool:
    """Whether the image names no part of the body, neither in field or code nor in the examination's words; nor does
    one whose field and code contradict each other."""
    return header is None or body_part.of(header) is None


def lacks_view(header: Header | None) -> bool:
    """Whether the image does not say from which side it was taken, or names several sides."""
    return header is None or not isinstance(view.stated(header), str)
