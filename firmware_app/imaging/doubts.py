"""Codes of hints on the numbers of a header by which greys and sizes are made: mended, or left out as unreadable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pydicom.dataset import Dataset

from firmware_app.imaging import decimals
from firmware_app.imaging.grey import transforms

# The sentences are in `reading.hints`.
MENDED: Final = "hint.numbers_mended"
GREYS: Final = "hint.greys_unreadable"
SIZES: Final = "hint.sizes_unreadable"

_Groups = Mapping[str, tuple[str, ...]]
_OF_GREYS: Final[_Groups] = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth"),
}
_OF_SIZES: Final[_Groups] = {
    "PixelMeasuresSequence": ("PixelSpacing",),
    "": (
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "EstimatedRadiographicMagnificationFactor",
        "PixelAspectRatio",
    ),
}
_OF_OTHERS: Final[_Groups] = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "": ("FrameTime", "FrameTimeVector"),
}


def of(header: Dataset, frame: int, photometric: str, *, grey: bool) -> set[str]:
    """The codes for one *frame*; *grey*: whether its greys are made by the header's transforms."""
    sizes = list(_read(header, frame, _OF_SIZES))
    others = [*_read(header, frame, _OF_OTHERS), *(_read(header, frame, _OF_GREYS) if grey else ())]
    found = {MENDED} if any(one.mended for one in (*sizes, *others)) else set()
    if any(one.unreadable for one in sizes):
        found.add(SIZES)
    if grey and transforms.of(header, frame, photometric).dropped:
        found.add(GREYS)
    return found


def _read(header: Dataset, frame: int, groups: _Groups) -> Iterator[decimals.Decimals]:
    for name, keywords in groups.items():
        item = transforms.group(header, frame, name) if name else header
        yield from (decimals.of(item, keyword) for keyword in keywords)
