"""The grey transforms in an object's header; unusable ones are left out.

Classic objects have them at the top level, enhanced multi-frame objects in functional groups, per frame or shared
(PS3.3 C.7.6.16.2.9 and C.7.6.16.2.10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from firmware_app.imaging import header_words
from firmware_app.imaging.grey.pipeline import Function, GreyScale, Padding, StoredWords, Table, Window
from firmware_app.imaging.source import BROKEN


@dataclass(frozen=True, slots=True)
class Offered:
    """A window that the machine offers, with the machine's *name* for it; the first one is the default."""

    window: Window
    name: str


def of(header: Dataset, frame: int, photometric: str, reach: tuple[float, float] | None = None) -> GreyScale:
    """The transforms of one *frame* of the object; *reach* are the lowest and highest values that can be stored."""
    modality = _table(_item(header, "ModalityLUTSequence"), reach)
    slope, intercept = 1.0, 0.0
    if modality is None:
        rescale = group(header, frame, "PixelValueTransformationSequence")
        slope, intercept = _real(rescale, "RescaleSlope", 1.0), _real(rescale, "RescaleIntercept", 0.0)
    if slope == 0:
        slope = 1.0
    if modality is not None:
        reach = (0.0, modality.top)
    elif reach is not None:
        ends = [end * slope + intercept for end in reach]
        reach = (min(ends), max(ends))
    # PS3.3 C.11.6: INVERSE inverts P-values.  DX writes it together with MONOCHROME1 (C.8.11.3): invert only once.
    inverted = photometric == "MONOCHROME1" or _word(header, "PresentationLUTShape") == "INVERSE"
    return GreyScale(slope, intercept, modality, _voi(header, frame, reach), inverted)


def offered(header: Dataset, frame: int) -> tuple[Offered, ...]:
    """Every usable window of one *frame*, as the header orders them; PS3.3 C.11.2.1.2 lets a person choose."""
    groups = group(header, frame, "FrameVOILUTSequence")
    function = _function(groups)
    centres, widths = _reals(groups, "WindowCenter"), _reals(groups, "WindowWidth")
    names = header_words.text(groups, "WindowCenterWidthExplanation", header).split("\\")
    windows = [Window(centre, width, function) for centre, width in zip(centres, widths, strict=False)]
    named = zip(windows, names + [""] * len(windows), strict=False)
    return tuple(Offered(window, name.strip()) for window, name in named if window.usable)


def padding(header: Dataset, words: StoredWords) -> Padding | None:
    """The stored values that are padding; an element with the wrong sign is read with the sign of the pixels."""
    value, limit = (_padding_value(header, name, words) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value is None:
        return None
    limit = value if limit is None else limit
    return Padding(min(value, limit), max(value, limit))


def _padding_value(header: Dataset, keyword: str, words: StoredWords) -> int | None:
    """The padding value; None also where no pixel can have it, because another value would hide part of the image."""
    try:
        first = _first(header.get(keyword))
        if first in (None, ""):
            return None
        value = int.from_bytes(first, "little") if isinstance(first, bytes) else int(first)
    except BROKEN:
        return None
    value &= 2**words.allocated - 1
    if words.signed:
        value -= (value >> (words.allocated - 1)) << words.allocated
    low, high = words.reach
    return value if low <= value <= high else None


def _voi(header: Dataset, frame: int, reach: tuple[float, float] | None) -> Window | Table | None:
    """The VOI LUT if there is one, else the first usable window; C.11.2.1 lets the display choose."""
    groups = group(header, frame, "FrameVOILUTSequence")
    table = _table(_item(groups, "VOILUTSequence"), reach)
    if table is not None and table.top > 0:
        return table
    function = _function(groups)
    pairs = zip(_reals(groups, "WindowCenter"), _reals(groups, "WindowWidth"), strict=False)
    return next((window for window in (Window(*pair, function) for pair in pairs) if window.usable), None)


def _function(groups: Dataset) -> Function:
    named = _word(groups, "VOILUTFunction")
    return "SIGMOID" if named == "SIGMOID" else "LINEAR_EXACT" if named == "LINEAR_EXACT" else "LINEAR"


def group(header: Dataset, frame: int, keyword: str) -> Dataset:
    """The functional group item *keyword* of *frame*, the shared one, or the object's own top level."""
    for sequence, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        item = _item(_item(header, sequence, index), keyword)
        if item is not None:
            return item
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
    number = next(iter(_reals(header, keyword)), default)
    return number if math.isfinite(number) else default


def _reals(header: Dataset, keyword: str) -> list[float]:
    """Every value of the element; NaN for a value that is not a number."""
    try:
        value = header.get(keyword)
        single = value is None or isinstance(value, (str, bytes, int, float))
        return [float(one) if one not in (None, "") else math.nan for one in ([value] if single else value)]
    except BROKEN:
        return []


def _table(item: Dataset | None, reach: tuple[float, float] | None) -> Table | None:
    """The look-up table of a modality or VOI LUT item; None when it is absent or invalid."""
    if item is None:
        return None
    try:
        entries, first, bits = (int(value) for value in item.LUTDescriptor)
        entries &= 0xFFFF
        entries = entries or 65536
        data = item.LUTData
        if isinstance(data, bytes):
            wide = len(data) >= 2 * entries
            table = np.frombuffer(data, "<u2" if wide else "u1")[:entries].astype(np.uint16)
        else:
            table = (np.asarray(data, dtype=np.int64).reshape(-1)[:entries] & 0xFFFF).astype(np.uint16)
    except BROKEN:
        return None
    if table.size == 0 or not 1 <= bits <= 16:
        return None
    return Table(_reached(first, len(table), reach), table, bits)


def _reached(first: int, entries: int, reach: tuple[float, float] | None) -> int:
    """*first* as signed or unsigned, whichever makes the table overlap the values; its VR (US or SS) is often wrong.

    PS3.3 C.11.2.1.1 asks for SS where the modality transform's output may be negative, but a CT with unsigned words
    may write 64512 for −1024.
    """
    other = first - 65536 if first >= 32768 else first + 65536 if first < 0 else first
    if reach is None or other == first:
        return first

    def meeting(begin: int) -> float:
        return min(begin + entries - 1.0, reach[1]) - max(float(begin), reach[0])

    return other if meeting(first) < 0 <= meeting(other) else first
