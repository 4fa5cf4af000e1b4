"""The grey transforms that an object's header asks for, read leniently: what cannot be used is left out.

Classic objects hold them at the top, enhanced multi-frame ones in functional groups, per frame or shared (PS3.3
C.7.6.16.2.9 and C.7.6.16.2.10).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from firmware_app.imaging.grey import Function, GreyScale, Table, Window
from firmware_app.imaging.source import BROKEN


def of(header: Dataset, frame: int, photometric: str) -> GreyScale:
    """The transforms of one *frame* of the object."""
    modality = _table(_item(header, "ModalityLUTSequence"))
    slope, intercept = 1.0, 0.0
    if modality is None:
        rescale = _group(header, frame, "PixelValueTransformationSequence")
        slope, intercept = _real(rescale, "RescaleSlope", 1.0), _real(rescale, "RescaleIntercept", 0.0)
    if slope == 0:
        slope = 1.0
    # PS3.3 C.11.6: INVERSE turns P-values over.  DX writes it beside MONOCHROME1 (C.8.11.3), one turn and not two.
    inverted = photometric == "MONOCHROME1" or _word(header, "PresentationLUTShape") == "INVERSE"
    return GreyScale(slope, intercept, modality, _voi(header, frame), inverted)


def _voi(header: Dataset, frame: int) -> Window | Table | None:
    """The VOI LUT if there is one, else the first usable window; C.11.2.1 lets the display choose."""
    groups = _group(header, frame, "FrameVOILUTSequence")
    table = _table(_item(groups, "VOILUTSequence"))
    if table is not None and table.top > 0:
        return table
    named = str(groups.get("VOILUTFunction") or "LINEAR").strip().upper()
    function: Function = "SIGMOID" if named == "SIGMOID" else "LINEAR_EXACT" if named == "LINEAR_EXACT" else "LINEAR"
    window = Window(_real(groups, "WindowCenter", math.nan), _real(groups, "WindowWidth", math.nan), function)
    return window if window.usable else None


def _group(header: Dataset, frame: int, keyword: str) -> Dataset:
    """The functional group item *keyword* of *frame*, the shared one, or the object's own top level."""
    for sequence, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        found = _item(_item(header, sequence, index), keyword)
        if found is not None:
            return found
    return header


def _item(header: Dataset | None, keyword: str, index: int = 0) -> Dataset | None:
    if header is None:
        return None
    try:
        sequence = header.get(keyword)
        item = sequence[index] if sequence else None
    except BROKEN:
        return None
    return item if isinstance(item, Dataset) else None


def _first(value: Any) -> Any:
    if isinstance(value, (str, bytes, int, float)) or value is None:
        return value
    return value[0] if len(value) else None


def _word(header: Dataset, keyword: str) -> str:
    try:
        return str(_first(header.get(keyword)) or "").strip().upper()
    except BROKEN:
        return ""


def _real(header: Dataset, keyword: str, default: float) -> float:
    try:
        value = _first(header.get(keyword))
        number = default if value in (None, "") else float(value)
    except BROKEN:
        return default
    return number if math.isfinite(number) else default


def _table(item: Dataset | None) -> Table | None:
    """The look-up table of a modality or VOI LUT item; None when it is absent or cannot be one."""
    if item is None:
        return None
    try:
        entries, first, bits = (int(value) for value in item.LUTDescriptor)
        entries = entries or 65536
        data = item.LUTData
        if isinstance(data, bytes):
            wide = len(data) >= 2 * entries
            order = "<" if item.is_little_endian in (True, None) else ">"
            table = np.frombuffer(data, f"{order}u2" if wide else "u1")[:entries].astype(np.uint16)
        else:
            table = (np.asarray(data, dtype=np.int64).reshape(-1)[:entries] & 0xFFFF).astype(np.uint16)
    except BROKEN:
        return None
    if table.size == 0 or not 1 <= bits <= 16:
        return None
    return Table(first, table, bits)
