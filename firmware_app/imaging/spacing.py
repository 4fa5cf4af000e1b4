"""The size of a pixel in millimetres and its meaning: only a calibrated spacing is the size in the patient.

A projection's Imager Pixel Spacing is measured at the detector, where everything is magnified (PS3.3 10.7.1.1).
Ultrasound and cameras have no such detector; a picture's regions give its scale (C.8.5.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from firmware_app.imaging import header_values
from firmware_app.imaging.dicom_source import HEADER_ERRORS
from firmware_app.imaging.pixel_size import (
    AT_DETECTOR,
    CALIBRATED,
    ESTIMATED,
    PATIENT,
    SCANNED,
    UNCALIBRATED,
    UNKNOWN,
    Spacing,
    pixel_aspect,
)

_SLICES: Final = frozenset({"CT", "MR", "PT", "NM"})
_NO_X_RAYS: Final = frozenset(
    {"US", "IVUS", "MR", "PT", "NM", "ES", "GM", "SM", "OP", "OPT", "OCT", "IVOCT", "XC", "DMS", "ECG"}
)
"""Modalities without a projection detector: an Imager Pixel Spacing in their headers has no meaning."""
_PROJECTIONS: Final = frozenset({"CR", "DX", "MG", "IO", "PX", "RF", "XA", "RG", "DR", "XR", "XRAY"})
"""Modalities whose Pixel Spacing alone is the detector's; the last three are not defined terms but occur."""
_SAME: Final = 1e-3  # of the value: some makers round one of the two


def read_spacing(header: Dataset, frame: int = 0) -> Spacing:
    """The pixel spacing of one *frame*, by PS3.3 10.7.1.1 for projections and C.7.6.2 for slices."""
    measures = next(_group_items(header, frame, "PixelMeasuresSequence"), header)
    modality = _read_code(header, "Modality")
    stated = header_values.read_pair(measures, "PixelSpacing")
    detector = None if modality in _NO_X_RAYS else header_values.read_pair(header, "ImagerPixelSpacing")
    scanned = header_values.read_pair(header, "NominalScannedPixelSpacing")
    if detector is None and _is_slice(header, frame):
        return Spacing(PATIENT, stated, stated) if stated else Spacing(UNKNOWN)
    if "SequenceOfUltrasoundRegions" in header:  # each region has its own scale; no single value holds for the frame
        return Spacing(UNKNOWN)
    if stated and _read_code(measures, "PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL"):
        return Spacing(CALIBRATED, stated, stated)
    if stated and detector and not _are_alike(stated, detector):
        return Spacing(CALIBRATED, stated, stated)
    if detector:
        magnified = header_values.read_decimals(header, "EstimatedRadiographicMagnificationFactor").single
        if magnified is not None and magnified >= 1:
            return Spacing(ESTIMATED, None, (detector[0] / magnified, detector[1] / magnified))
        return Spacing(AT_DETECTOR, None, detector)
    if scanned:
        return Spacing(SCANNED, None, scanned)
    if stated is None:
        return Spacing(UNKNOWN)
    # Pixel Spacing alone does not show whether it was calibrated (10.7.1.1); in a projection it mostly was not.
    return Spacing(AT_DETECTOR if modality in _PROJECTIONS else UNCALIBRATED, None, stated)


def read_aspect(header: Dataset, frame: int = 0) -> float:
    """A pixel's height over its width: of its spacing, else of Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7)."""
    measures = next(_group_items(header, frame, "PixelMeasuresSequence"), header)
    size = header_values.read_pair(measures, "PixelSpacing")
    if _read_code(header, "Modality") not in _NO_X_RAYS:
        size = size or header_values.read_pair(header, "ImagerPixelSpacing")
    return pixel_aspect(
        size
        or header_values.read_pair(header, "NominalScannedPixelSpacing")
        or header_values.read_pair(header, "PixelAspectRatio")
    )


def _is_slice(header: Dataset, frame: int) -> bool:
    """Whether its pixels lie in a plane of the patient: by its modality, else by its image orientation."""
    if _read_code(header, "Modality") in _SLICES:
        return True
    if "SequenceOfUltrasoundRegions" in header:
        return False
    return any(map(_has_directions, (header, *_group_items(header, frame, "PlaneOrientationSequence"))))


def _has_directions(item: Dataset) -> bool:
    return len(header_values.read_decimals(item, "ImageOrientationPatient").values) == 6


def _group_items(header: Dataset, frame: int, name: str) -> Iterator[Dataset]:
    """The items of the functional group *name* for *frame*, the frame's own before the shared one."""
    for keyword, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        try:
            yield header[keyword][index][name][0]
        except HEADER_ERRORS:
            continue


def _read_code(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip().upper()
    except HEADER_ERRORS:
        return ""


def _are_alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(math.isclose(a, b, rel_tol=_SAME) for a, b in zip(one, other, strict=True))
