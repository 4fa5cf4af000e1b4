"""PALETTE COLOR: a stored value is an index into a colour table (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, segmented C.7.9.2).

Known errors of modalities are accepted where the meaning is clear: eight bits stored in 16-bit words, 16-bit
descriptors with 8-bit entries, tables shorter than announced.  pydicom's `apply_color_lut` would give wrong colours for
words above an 8-bit table, and for some of these (docs/decisions/pixels.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from firmware_app.imaging.dicom_source import HEADER_ERRORS
from firmware_app.imaging.grey_scale import Floats

_COLOURS: Final = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR = 0, 1
_MOST_ENTRIES: Final = 65536


@dataclass(frozen=True, slots=True)
class Palette:
    """Three tables of equal length; *first* is the stored value that entry 0 belongs to."""

    first: int
    entries: NDArray[np.uint8]  # (N, 3)

    def apply(self, values: Floats) -> NDArray[np.uint8]:
        """Stored values (any shape) → RGB; values outside the tables take the first or the last entry."""
        index = np.clip(values - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return np.asarray(self.entries[index])


def read_palette(header: Dataset, signed: bool) -> Palette:
    """The palette of *header*, whose stored values are *signed* or not; raises `ValueError` where there is none."""
    tables, firsts = [], set()
    for colour in _COLOURS:
        entries, first, bits = _descriptor(header, f"{colour}PaletteColorLookupTableDescriptor")
        firsts.add(_to_signed(first) if signed else first & 0xFFFF)
        table = _table(header, colour, entries, bits)
        tables.append((table, bits))
    if len(firsts) != 1:
        raise ValueError("the three colour tables begin at different values")
    length = min(len(table) for table, _ in tables)
    if length == 0:
        raise ValueError("a colour table is empty")
    stacked = np.stack([table[:length] for table, _ in tables], axis=-1)
    # PS3.3 C.7.6.3.1.5 allows 8 or 16; entries that all fit into 8 bits are 8 bits, whatever the descriptor says.
    deep = any(bits > 8 for _, bits in tables) and stacked.max() > 0xFF
    return Palette(firsts.pop(), (stacked >> 8 if deep else stacked & 0xFF).astype(np.uint8))


def expand_segments(words: list[int], most: int = _MOST_ENTRIES) -> list[int]:
    """The entries of segmented *words* (PS3.3 C.7.9.2), at most *most* of them; raises `ValueError`.

    A linear segment's values are rounded to the nearest.  Indirect segments are refused.
    """
    table: list[int] = []
    at = 0
    # A trailing single word is padding: the shortest segment has two words and a value.
    while at + 2 < len(words) and len(table) < most:
        kind, length, at = words[at], words[at + 1], at + 2
        if kind == _DISCRETE:
            table.extend(words[at : at + length])
            at += length
        elif kind == _LINEAR and table:
            begin, end = table[-1], words[at]
            table.extend((2 * (begin * (length - i) + end * i) + length) // (2 * length) for i in range(1, length + 1))
            at += 1
        else:
            raise ValueError(f"a segmented colour table has a segment of kind {kind} at its entry {len(table)}")
    return table[:most]


def _descriptor(header: Dataset, keyword: str) -> tuple[int, int, int]:
    try:
        entries, first, bits = (int(value) for value in header[keyword].value)
    except HEADER_ERRORS:
        raise ValueError(f"its {keyword} is missing or broken") from None
    if bits not in (8, 16):
        raise ValueError(f"its colour tables have entries of {bits} bits")
    return entries & 0xFFFF or _MOST_ENTRIES, first, bits


def _table(header: Dataset, colour: str, entries: int, bits: int) -> NDArray[np.uint16]:
    data = _table_bytes(header.get(f"{colour}PaletteColorLookupTableData"))
    if data:
        # Eight-bit entries are stored two in a word; older machines store one, in the lower or the upper byte.
        if bits == 8 and len(data) < 2 * entries:
            return np.frombuffer(data, np.uint8)[:entries].astype(np.uint16)
        words = np.frombuffer(data[: len(data) & ~1], "<u2")[:entries].astype(np.uint16)
        return np.right_shift(words, 8) if bits == 8 and not (words & 0xFF).any() else words
    data = _table_bytes(header.get(f"Segmented{colour}PaletteColorLookupTableData"))
    if not data:
        raise ValueError(f"its {colour.lower()} table is missing")
    segments: NDArray[Any] = np.frombuffer(data[: len(data) // (bits // 8) * (bits // 8)], f"<u{bits // 8}")
    return np.asarray(expand_segments(segments.tolist(), entries), dtype=np.uint16)


def _table_bytes(value: Any) -> bytes:
    """The table's bytes; a table with VR US (PS3.3 1998) arrives as numbers."""
    if value is None or isinstance(value, bytes):
        return value or b""
    return np.asarray(value, dtype=np.int64).reshape(-1).astype("<u2").tobytes()


def _to_signed(word: int) -> int:
    return ((word & 0xFFFF) ^ 0x8000) - 0x8000
