"""The grey transforms in an object's header: all of them, or none where one cannot be read.

Classic objects have them at the top level, enhanced multi-frame objects in functional groups, per frame or shared
(PS3.3 C.7.6.16.2.9 and C.7.6.16.2.10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from firmware_app.imaging import decimals, header_words
from firmware_app.imaging.grey.pipeline import Function, GreyScale, Padding, StoredWords, Table, Window
from firmware_app.imaging.source import BROKEN


@dataclass(frozen=True, slots=True)
class Offered:
    """A window that the machine offers, with the machine's *name* for it; the first one is the default."""

    window: Window
    name: str


def of(header: Dataset, frame: int, photometric: str, reach: tuple[float, float] | None = None) -> GreyScale:
    """The transforms of one *frame* of the object; *reach* are the lowest and highest values that can be stored.

    Where one of them cannot be read none is applied (`GreyScale.dropped`): a window is in units of the rescale's
    output, so one without the other gives greys that nobody meant.
    """
    # PS3.3 C.11.6: INVERSE inverts P-values.  DX writes it together with MONOCHROME1 (C.8.11.3): invert only once.
    inverted = photometric == "MONOCHROME1" or _word(header, "PresentationLUTShape") == "INVERSE"
    scale = modality(header, frame, reach)
    if scale.modality is not None:
        reach = (0.0, scale.modality.top)
    elif reach is not None:
        ends = [end * scale.slope + scale.intercept for end in reach]
        reach = (min(ends), max(ends))
    try:
        voi = None if scale.dropped else _voi(header, frame, reach)
    except _Unreadable:
        return GreyScale(inverted=inverted, dropped=True)
    return replace(scale, voi=voi, inverted=inverted)


def modality(header: Dataset, frame: int, reach: tuple[float, float] | None = None) -> GreyScale:
    """The modality transform alone, as `of` has it; what a window says does not matter to it."""
    item = _item(header, "ModalityLUTSequence")
    if item is not None:
        table = _table(item, reach)
        return GreyScale(dropped=True) if table is None else GreyScale(modality=table)
    rescale = group(header, frame, "PixelValueTransformationSequence")
    slope, intercept = decimals.of(rescale, "RescaleSlope"), decimals.of(rescale, "RescaleIntercept")
    by, plus = slope.single if slope.values else 1.0, intercept.single if intercept.values else 0.0
    if by is None or by == 0.0 or plus is None:
        return GreyScale(dropped=True)
    return GreyScale(by, plus)


def offered(header: Dataset, frame: int) -> tuple[Offered, ...]:
    """Every usable window of one *frame*, as the header orders them; PS3.3 C.11.2.1.2 lets a person choose."""
    groups = group(header, frame, "FrameVOILUTSequence")
    names = header_words.text(groups, "WindowCenterWidthExplanation", header).split("\\")
    named = zip_longest(_windows(groups), names, fillvalue="")
    return tuple(Offered(one, str(name).strip()) for one, name in named if isinstance(one, Window) and one.usable)


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


class _Unreadable(Exception):
    """A number or a table of the values of interest cannot be read."""


def _voi(header: Dataset, frame: int, reach: tuple[float, float] | None) -> Window | Table | None:
    """The VOI LUT if there is one, else the first usable window; C.11.2.1 lets the display choose.

    Raises `_Unreadable` where it comes to a window that cannot be read, or where a table cannot and there is no window.
    """
    groups = group(header, frame, "FrameVOILUTSequence")
    item = _item(groups, "VOILUTSequence")
    table = _table(item, reach)
    if table is not None and table.top > 0:
        return table
    for window in _windows(groups):
        if window is None:
            raise _Unreadable
        if window.usable:
            return window
    if item is not None and table is None:
        raise _Unreadable
    return None


def _windows(groups: Dataset) -> list[Window | None]:
    """The windows in the header's order, usable or not; None for one that cannot be read."""
    function = _function(groups)
    centres, widths = decimals.of(groups, "WindowCenter"), decimals.of(groups, "WindowWidth")
    windows: list[Window | None] = []
    for centre, width in zip(centres.values, widths.values, strict=False):
        windows.append(None if centre is None or width is None else Window(centre, width, function))
    return windows


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
