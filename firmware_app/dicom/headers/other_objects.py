"""The objects of a study that are not images: reports, presentation states, segmentations, plans, curves, documents.

Such an object is kept like an image and given to no model; alone it gives a doctor nothing to look at.  The SOP Class
tells its kind (PS3.4 B.5, retired classes PS3.6 A).  A class that is not listed here is an image or unknown; for an
unknown one people are told that it could not be judged.
"""

from __future__ import annotations

from typing import Final

from firmware_app.core.language import N_, register
from firmware_app.core.records import Header

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

KINDS: Final = {
    "report": register("other.report", N_("structured report (kept; no image to read)")),
    "key_objects": register("other.key_objects", N_("list of key images (kept; no image to read)")),
    "presentation": register("other.presentation", N_("presentation state (kept; no image to read)")),
    "segmentation": register("other.segmentation", N_("segmentation (kept; no image to read)")),
    "registration": register("other.registration", N_("registration (kept; no image to read)")),
    "radiotherapy": register(
        "other.radiotherapy", N_("radiotherapy plan, structures or dose (kept; no image to read)")
    ),
    "waveform": register("other.waveform", N_("waveform such as an ECG (kept; no image to read)")),
    "document": register("other.document", N_("document such as a PDF (kept; no image to read)")),
    "own_result": register("other.own_result", N_("result of this box or of one like it (kept; no image to read)")),
    "other": register("other.other", N_("object of another kind (kept; no image to read)")),
}
"""The code of the sentence for each kind."""

_CLASSES: Final = {
    "88.59": "key_objects",
    "66.4": "segmentation",
    "66.5": "segmentation",
    "66.7": "segmentation",
    "66.1": "registration",
    "66.2": "registration",
    "66.3": "registration",
    "66": "other",
    "66.6": "other",
    "4.2": "other",
    "67": "other",
    "131": "other",
    "77.1.5.3": "other",
    "8": "other",
    "9": "waveform",
    "10": "presentation",
    "11": "presentation",
    "129": "other",
}
_FAMILIES: Final = {
    "88.": "report",
    "11.": "presentation",
    "481.": "radiotherapy",
    "9.": "waveform",
    "104.": "document",
    "78.": "other",
    "79.": "other",
    "90.": "other",
    "91.": "other",
    "200.": "other",
}
_RADIOTHERAPY_IMAGES: Final = ("481.1", "481.23", "481.24")


def kind_in(header: Header) -> str | None:
    """The kind of the object with this header; a picture that the box made itself is no image to read either."""
    return "own_result" if header.own_result else kind_of(header.sop_class_uid)


def kind_of(sop_class_uid: str) -> str | None:
    """The kind, one of `KINDS`, of an object of this SOP class; None for an image or an unknown class."""
    if not sop_class_uid.startswith(_STORAGE):
        return None
    suffix = sop_class_uid.removeprefix(_STORAGE)
    if suffix in _CLASSES:
        return _CLASSES[suffix]
    if suffix in _RADIOTHERAPY_IMAGES:
        return None
    return next((kind for family, kind in _FAMILIES.items() if suffix.startswith(family)), None)
