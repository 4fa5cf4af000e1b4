"""SOP classes that the box must know by name (PS3.6 Table A-1, PS3.4 B.5), and objects that are no images to read.

Reports, presentation states, segmentations, plans, curves and documents are kept like images and given to no model;
alone they give a doctor nothing to look at.  The SOP class tells the kind (PS3.4 B.5, retired classes PS3.6 A).  A
class that is not listed here is an image or unknown; for an unknown one people are told that it could not be judged.

The box also knows the objects that it made itself, when a PACS or a stick brings them back.  Every object that
`results.dicom_objects` makes names *Lantern* as its manufacturer and *Lantern result object* as its model, and holds a
private element (PS3.5 7.8): creator ``LANTERN RESULT``, (0009,xx01), the object's kind.  Archives remove private
elements more often than the equipment, and one of the two signs is enough.
"""

from __future__ import annotations

from typing import Final

from firmware_app.core.language import N_, register
from firmware_app.core.records import Header

VERIFICATION: Final = "1.2.840.10008.1.1"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"

_STORAGE_CLASS = "1.2.840.10008.5.1.4.1.1."

# Retired from the standard but still sent by old machines, mostly ultrasound; pynetdicom no longer lists them.
RETIRED: Final = {
    "UltrasoundMultiFrameImageStorageRetired": _STORAGE_CLASS + "3",
    "NuclearMedicineImageStorageRetired": _STORAGE_CLASS + "5",
    "UltrasoundImageStorageRetired": _STORAGE_CLASS + "6",
    "StandaloneOverlayStorage": _STORAGE_CLASS + "8",
    "StandaloneCurveStorage": _STORAGE_CLASS + "9",
    "WaveformStorageTrial": _STORAGE_CLASS + "9.1",
    "StandaloneModalityLUTStorage": _STORAGE_CLASS + "10",
    "StandaloneVOILUTStorage": _STORAGE_CLASS + "11",
    "XRayAngiographicBiPlaneImageStorage": _STORAGE_CLASS + "12.3",
    "VLImageStorageTrial": _STORAGE_CLASS + "77.1",
    "VLMultiFrameImageStorageTrial": _STORAGE_CLASS + "77.2",
    "TextSRStorageTrial": _STORAGE_CLASS + "88.1",
    "AudioSRStorageTrial": _STORAGE_CLASS + "88.2",
    "DetailSRStorageTrial": _STORAGE_CLASS + "88.3",
    "ComprehensiveSRStorageTrial": _STORAGE_CLASS + "88.4",
    "StandalonePETCurveStorage": _STORAGE_CLASS + "129",
}

# Classes whose objects always hold pixels (PS3.3 A: the Image Pixel Module is mandatory).
_IMAGES: Final = frozenset(
    _STORAGE_CLASS + suffix
    for suffix in (
        "1",
        "1.1",
        "1.1.1",
        "1.2",
        "1.2.1",
        "1.3",
        "1.3.1",
        "2",
        "2.1",
        "2.2",
        "3",
        "3.1",
        "4",
        "4.1",
        "4.3",
        "4.4",
        "5",
        "6",
        "6.1",
        "6.2",
        "7",
        "7.1",
        "7.2",
        "7.3",
        "7.4",
        "12.1",
        "12.1.1",
        "12.2",
        "12.2.1",
        "12.3",
        "13.1.1",
        "13.1.2",
        "13.1.3",
        "13.1.4",
        "13.1.5",
        "20",
        "66.4",
        "77.1.1",
        "77.1.1.1",
        "77.1.2",
        "77.1.2.1",
        "77.1.3",
        "77.1.4",
        "77.1.4.1",
        "77.1.5.1",
        "77.1.5.2",
        "77.1.5.4",
        "77.1.6",
        "128",
        "128.1",
        "130",
        "481.1",
    )
)
_PIXELS: Final = (0x7FE00010, 0x7FE00008, 0x7FE00009, 0x00287FE0)  # the last: Pixel Data Provider URL
_DOSE: Final = _STORAGE_CLASS + "481.2"
_BY_PREFIX: Final = {
    _STORAGE_CLASS + "9.": (0x54000100,),  # waveforms: Waveform Sequence
    _STORAGE_CLASS + "88.": (0x0040A730, 0x0040A504),  # structured reports: Content Sequence, or only a template
    _STORAGE_CLASS + "104.": (0x00420011,),  # encapsulated documents: Encapsulated Document
}
ESSENTIAL_TAGS: Final = frozenset((*_PIXELS, 0x30040050, *(tag for tags in _BY_PREFIX.values() for tag in tags)))


def essential_tags(sop_class_uid: str) -> tuple[int, ...]:
    """Attributes of which a complete object of this class has at least one; () where none is known.

    An object cut exactly between two elements is well-formed, so no length shows the cut; the missing attribute does.
    """
    if sop_class_uid in _IMAGES:
        return _PIXELS
    if sop_class_uid == _DOSE:
        return (*_PIXELS, 0x30040050)  # DVH Sequence: a dose may be curves only
    return next((tags for prefix, tags in _BY_PREFIX.items() if sop_class_uid.startswith(prefix)), ())


_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

OBJECT_KINDS: Final = {
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


def object_kind(header: Header) -> str | None:
    """The kind of the object with this header; a picture that the box made itself is no image to read either."""
    return "own_result" if header.own_result else kind_of_class(header.sop_class_uid)


def kind_of_class(sop_class_uid: str) -> str | None:
    """The kind, one of `OBJECT_KINDS`, of an object of this SOP class; None for an image or an unknown class."""
    if not sop_class_uid.startswith(_STORAGE):
        return None
    suffix = sop_class_uid.removeprefix(_STORAGE)
    if suffix in _CLASSES:
        return _CLASSES[suffix]
    if suffix in _RADIOTHERAPY_IMAGES:
        return None
    return next((kind for family, kind in _FAMILIES.items() if suffix.startswith(family)), None)


OWN_MANUFACTURER: Final = "Lantern"
OWN_MODEL: Final = "Lantern result object"
OWN_CREATOR: Final = "LANTERN RESULT"
OWN_GROUP: Final = 0x0009
OWN_CREATOR_TAG: Final = 0x00090010
"""Where our objects reserve their block: a private creator by itself is proof enough, wherever its values went."""


def is_own_result(manufacturer: str | None, model: str | None, creator: str | None) -> bool:
    """Whether an object with these values was made by a box of this kind."""
    return creator == OWN_CREATOR or (manufacturer, model) == (OWN_MANUFACTURER, OWN_MODEL)
