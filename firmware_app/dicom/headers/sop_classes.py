"""SOP classes the door must know by name (PS3.6 Table A-1, PS3.4 B.5)."""

from __future__ import annotations

from typing import Final

VERIFICATION: Final = "1.2.840.10008.1.1"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"

_STORAGE = "1.2.840.10008.5.1.4.1.1."

# Retired from the standard but still sent by old machines, mostly ultrasound; pynetdicom no longer lists them.
RETIRED: Final = {
    "UltrasoundMultiFrameImageStorageRetired": _STORAGE + "3",
    "NuclearMedicineImageStorageRetired": _STORAGE + "5",
    "UltrasoundImageStorageRetired": _STORAGE + "6",
    "StandaloneOverlayStorage": _STORAGE + "8",
    "StandaloneCurveStorage": _STORAGE + "9",
    "WaveformStorageTrial": _STORAGE + "9.1",
    "StandaloneModalityLUTStorage": _STORAGE + "10",
    "StandaloneVOILUTStorage": _STORAGE + "11",
    "XRayAngiographicBiPlaneImageStorage": _STORAGE + "12.3",
    "VLImageStorageTrial": _STORAGE + "77.1",
    "VLMultiFrameImageStorageTrial": _STORAGE + "77.2",
    "TextSRStorageTrial": _STORAGE + "88.1",
    "AudioSRStorageTrial": _STORAGE + "88.2",
    "DetailSRStorageTrial": _STORAGE + "88.3",
    "ComprehensiveSRStorageTrial": _STORAGE + "88.4",
    "StandalonePETCurveStorage": _STORAGE + "129",
}

# Classes whose objects always hold pixels (PS3.3 A: the Image Pixel Module is mandatory).
_IMAGES: Final = frozenset(
    _STORAGE + suffix
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
_DOSE: Final = _STORAGE + "481.2"
_BY_PREFIX: Final = {
    _STORAGE + "9.": (0x54000100,),  # waveforms: Waveform Sequence
    _STORAGE + "88.": (0x0040A730, 0x0040A504),  # structured reports: Content Sequence, or only a template
    _STORAGE + "104.": (0x00420011,),  # encapsulated documents: Encapsulated Document
}
ESSENTIAL_TAGS: Final = frozenset((*_PIXELS, 0x30040050, *(tag for tags in _BY_PREFIX.values() for tag in tags)))


def essential(sop_class_uid: str) -> tuple[int, ...]:
    """Attributes of which a complete object of this class has at least one; () where none is known.

    An object cut exactly between two elements is well-formed, so no length shows the cut; the missing attribute does.
    """
    if sop_class_uid in _IMAGES:
        return _PIXELS
    if sop_class_uid == _DOSE:
        return (*_PIXELS, 0x30040050)  # DVH Sequence: a dose may be curves only
    return next((tags for prefix, tags in _BY_PREFIX.items() if sop_class_uid.startswith(prefix)), ())
