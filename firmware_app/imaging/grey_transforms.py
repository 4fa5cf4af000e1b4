"""The grey transforms in an object's header: all of them, or none where one cannot be read.

Classic objects have them at the top level, enhanced ones in functional groups (PS3.3 C.7.6.16.2.9 and C.7.6.16.2.10).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from firmware_app.imaging import header_values
from firmware_app.imaging.dicom_source import HEADER_ERRORS
from firmware_app.imaging.grey_scale import GreyScale, LookUpTable, Padding, StoredWords, Window, WindowFunction


@dataclass(frozen=True, slots=True)
class OfferedWindow:
    """A window that the machine offers, with the machine's *name* for it; the first one is the default."""

    window: Window
    name: str


def read_grey_scale(
    header: Dataset, frame: int, photometric: str, reach: tuple[float, float] | None = None
) -> GreyScale:
    """The transforms of one *frame* of the object; *reach* are the lowest and highest values that can be stored.

    Where one of them cannot be read none is applied (`GreyScale.dropped`): a window is in units of the rescale's
    output, so one without the other gives greys that nobody meant.
    """
    # PS3.3 C.11.6: INVERSE inverts P-values.  DX writes it together with MONOCHROME1 (C.8.11.3): invert only once.
    inverted = photometric == "MONOCHROME1" or _read_word(header, "PresentationLUTShape") == "INVERSE"
    scale = read_modality_transform(header, frame, reach)
    if scale.modality is not None:
        reach = (0.0, scale.modality.top)
    elif reach is not None:
        ends = [end * scale.slope + scale.intercept for end in reach]
        reach = (min(ends), max(ends))
    try:
        voi = None if scale.dropped else _read_voi(header, frame, reach)
    except _Unreadable:
        return GreyScale(inverted=inverted, dropped=True)
    return replace(scale, voi=voi, inverted=inverted)


def read_modality_transform(header: Dataset, frame: int, reach: tuple[float, float] | None = None) -> GreyScale:
    """The modality transform alone, as `read_grey_scale` has it; what a window says does not matter to it."""
    item = _item(header, "ModalityLUTSequence")
    if item is not None:
        table = _read_table(item, reach)
        return GreyScale(dropped=True) if table is None else GreyScale(modality=table)
    rescale = functional_group(header, frame, "PixelValueTransformationSequence")
    slope = header_values.read_decimals(rescale, "RescaleSlope")
    intercept = header_values.read_decimals(rescale, "RescaleIntercept")
    by, plus = slope.single if slope.values else 1.0, intercept.single if intercept.values else 0.0
    if by is None or by == 0.0 or plus is None:
        return GreyScale(dropped=True)
    return GreyScale(by, plus)


def read_offered_windows(header: Dataset, frame: int) -> tuple[OfferedWindow, ...]:
    """Every usable window of one *frame*, as the header orders them; PS3.3 C.11.2.1.2 lets a person choose."""
    groups = functional_group(header, frame, "FrameVOILUTSequence")
    names = header_values.read_text(groups, "WindowCenterWidthExplanation", header).split("\\")
    named = zip_longest(_read_windows(groups), names, fillvalue="")
    return tuple(OfferedWindow(one, str(name).strip()) for one, name in named if isinstance(one, Window) and one.usable)


def read_padding(header: Dataset, words: StoredWords) -> Padding | None:
    """The stored values that are padding; an element with the wrong sign is read with the sign of the pixels."""
    value, limit = (_padding_value(header, name, words) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value is None:
        return None
    limit = value if limit is None else limit
    return Padding(min(value, limit), max(value, limit))


def _padding_value(header: Dataset, keyword: str, words: StoredWords) -> int | None:
    """The padding value; None also where no pixel can have it, because another value would hide part of the image."""
    try:
        first = _first_value(header.get(keyword))
        if first in (None, ""):
            return None
        value = int.from_bytes(first, "little") if isinstance(first, bytes) else int(first)
    except HEADER_ERRORS:
        return None
    value &= 2**words.allocated - 1
    if words.signed:
        value -= (value >> (words.allocated - 1)) << words.allocated
    low, high = words.value_range
    return value if low <= value <= high else None


class _Unreadable(Exception):
    """A number or a table of the values of interest cannot be read."""


def _read_voi(header: Dataset, frame: int, reach: tuple[float, float] | None) -> Window | LookUpTable | None:
    """The VOI LUT if there is one, else the first usable window; C.11.2.1 lets the display choose.

    Raises `_Unreadable` where it comes to a window that cannot be read, or where a table cannot and there is no window.
    """
    groups = functional_group(header, frame, "FrameVOILUTSequence")
    item = _item(groups, "VOILUTSequence")
    table = _read_table(item, reach)
    if table is not None and table.top > 0:
        return table
    for window in _read_windows(groups):
        if window is None:
            raise _Unreadable
        if window.usable:
            return window
    if item is not None and table is None:
        raise _Unreadable
    return None


def _read_windows(groups: Dataset) -> list[Window | None]:
    """The windows in the header's order, usable or not; None for one that cannot be read."""
    function = _read_function(groups)
    centres = header_values.read_decimals(groups, "WindowCenter")
    widths = header_values.read_decimals(groups, "WindowWidth")
    windows: list[Window | None] = []
    for centre, width in zip(centres.values, widths.values, strict=False):
        windows.append(None if centre is None or width is None else Window(centre, width, function))
    return windows


def _read_function(groups: Dataset) -> WindowFunction:
    named = _read_word(groups, "VOILUTFunction")
    return "SIGMOID" if named == "SIGMOID" else "LINEAR_EXACT" if named == "LINEAR_EXACT" else "LINEAR"


def functional_group(header: Dataset, frame: int, keyword: str) -> Dataset:
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
    except HEADER_ERRORS:
        return None
    return item if isinstance(item, Dataset) else None


def _first_value(value: Any) -> Any:
    if isinstance(value, (str, bytes, int, float)) or value is None:
        return value
    return value[0] if len(value) else None


def _read_word(header: Dataset, keyword: str) -> str:
    try:
        return str(_first_value(header.get(keyword)) or "").strip().upper()
    except HEADER_ERRORS:
        return ""


def _read_table(item: Dataset | None, reach: tuple[float, float] | None) -> LookUpTable | None:
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
    except HEADER_ERRORS:
        return None
    if table.size == 0 or not 1 <= bits <= 16:
        return None
    return LookUpTable(_shift_to_reach(first, len(table), reach), table, bits)


def _shift_to_reach(first: int, entries: int, reach: tuple[float, float] | None) -> int:
    """*first* as signed or unsigned, whichever makes the table overlap the values; its VR (US or SS) is often wrong.

    PS3.3 C.11.2.1.1 asks for SS where the modality transform's output may be negative, but a CT with unsigned words
    may write 64512 for −1024.
    """
    other = first - 65536 if first >= 32768 else first + 65536 if first < 0 else first
    if reach is None or other == first:
        return first

    def overlap(begin: int) -> float:
        return min(begin + entries - 1.0, reach[1]) - max(float(begin), reach[0])

    return other if overlap(first) < 0 <= overlap(other) else first


# The sentences are in `reading.hints`.
NUMBERS_MENDED_HINT: Final = "hint.numbers_mended"
GREYS_UNREADABLE_HINT: Final = "hint.greys_unreadable"
SIZES_UNREADABLE_HINT: Final = "hint.sizes_unreadable"

_Groups = Mapping[str, tuple[str, ...]]
_GREY_NUMBERS: Final[_Groups] = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth"),
}
_SIZE_NUMBERS: Final[_Groups] = {
    "PixelMeasuresSequence": ("PixelSpacing",),
    "": (
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "EstimatedRadiographicMagnificationFactor",
        "PixelAspectRatio",
    ),
}
_OTHER_NUMBERS: Final[_Groups] = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "": ("FrameTime", "FrameTimeVector"),
}


def find_number_hints(header: Dataset, frame: int, photometric: str, *, grey: bool) -> set[str]:
    """The codes for one *frame*; *grey*: whether its greys are made by the header's transforms."""
    sizes = list(_read_numbers(header, frame, _SIZE_NUMBERS))
    others = [
        *_read_numbers(header, frame, _OTHER_NUMBERS),
        *(_read_numbers(header, frame, _GREY_NUMBERS) if grey else ()),
    ]
    found = {NUMBERS_MENDED_HINT} if any(size.mended for size in (*sizes, *others)) else set()
    if any(size.unreadable for size in sizes):
        found.add(SIZES_UNREADABLE_HINT)
    if grey and read_grey_scale(header, frame, photometric).dropped:
        found.add(GREYS_UNREADABLE_HINT)
    return found


def _read_numbers(header: Dataset, frame: int, groups: _Groups) -> Iterator[header_values.Decimals]:
    for name, keywords in groups.items():
        item = functional_group(header, frame, name) if name else header
        yield from (header_values.read_decimals(item, keyword) for keyword in keywords)
