"""Decimal strings of a de-identified object: written as DICOM has them, and no half of a grey scale."""

from __future__ import annotations

from typing import Final

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import format_number_as_ds

from firmware_app.imaging import decimals
from firmware_app.imaging.deidentify import kept
from firmware_app.imaging.grey import transforms

_LARGEST: Final = 1e7  # more may be a number of a person, as of a telephone
_PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"
_GREYS: Final = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "VOILUTSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)


def written(data: Dataset, tag: BaseTag, vr: str) -> list[str] | None:
    """The numbers of a decimal or integer string: their own text where it is one of numbers, else written anew.

    None where one of them is no number, or may be more than a number.
    """
    keyword = keyword_for_tag(tag)
    if (texts := kept.decimals(decimals.texts(data, keyword))) is not None:
        return texts
    numbers = decimals.of(data, keyword).whole
    if not numbers or not all(abs(one) < _LARGEST for one in numbers):
        return None
    if vr == "IS":
        return [str(int(one)) for one in numbers] if all(one.is_integer() for one in numbers) else None
    return [format_number_as_ds(one) for one in numbers]


def drop_half_greys(header: Dataset, cleaned: Dataset) -> None:
    """Remove the grey scale from *cleaned* where the box does not apply that of *header* (`GreyScale.dropped`)."""
    frames = len(header[_PER_FRAME].value) if _PER_FRAME in header else 1
    if not any(transforms.of(header, frame, "").dropped for frame in range(frames)):
        return
    groups = [item for keyword in (_PER_FRAME, "SharedFunctionalGroupsSequence") for item in cleaned.get(keyword) or ()]
    for item in (cleaned, *groups):
        for keyword in _GREYS:
            if keyword in item:
                delattr(item, keyword)
