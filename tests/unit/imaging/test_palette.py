"""A palette names the colours that the standard says it names, however its tables are written."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import FileDataset
from pydicom.pixels.processing import _expand_segmented_lut

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import image_file, palette
from tests import films

Pixels = np.ndarray[Any, Any]


def coloured(
    pixels: Pixels, first: int, bits: int, tables: list[bytes], *, segmented: bool = False, entries: int
) -> FileDataset:
    made = films.film(pixels, PhotometricInterpretation="PALETTE COLOR")
    vr = "SS" if pixels.dtype.kind == "i" else "US"
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        made.add_new(f"{name}PaletteColorLookupTableDescriptor", vr, [entries, first, bits])
        prefix = "Segmented" if segmented else ""
        made.add_new(f"{prefix}{name}PaletteColorLookupTableData", "OW", table + b"\0" * (len(table) % 2))
    return made


def shown(folder: Path, dataset: FileDataset) -> Pixels:
    with image_file.open_image_file(films.save(folder, "palette.dcm", dataset), is_picture=False) as opened:
        return opened.shown(0).pixels


def test_a_value_takes_its_entry_and_those_outside_the_first_or_the_last(tmp_path: Path) -> None:
    pixels = np.array([[0, 9, 10, 11, 12, 200]], np.uint8)
    tables = [bytes([1, 2, 3]), bytes([40, 50, 60]), bytes([7, 8, 9])]
    colours = shown(tmp_path, coloured(pixels, 10, 8, tables, entries=3))
    np.testing.assert_array_equal(colours[0, :, 0], [1, 1, 1, 2, 3, 3])
    np.testing.assert_array_equal(colours[0, :, 1], [40, 40, 40, 50, 60, 60])


def test_the_first_value_may_be_negative(tmp_path: Path) -> None:
    pixels = np.array([[-300, -2, -1, 0, 1, 5]], np.int16)
    colours = shown(tmp_path, coloured(pixels, -2, 8, [bytes([10, 20, 30])] * 3, entries=3))
    np.testing.assert_array_equal(colours[0, :, 0], [10, 10, 20, 30, 30, 30])


def test_65536_entries_are_written_as_0(tmp_path: Path) -> None:
    table = np.arange(65536, dtype="<u2").tobytes()
    pixels = np.array([[0, 255, 256, 65535]], np.uint16)
    colours = shown(tmp_path, coloured(pixels, 0, 16, [table] * 3, entries=0))
    np.testing.assert_array_equal(colours[0, :, 2], [0, 0, 1, 255])


WORDS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "eight bits": (8, lambda level: bytes([level])),
    "eight bits, one in the lower half of each word": (8, lambda level: struct.pack("<H", level)),
    "eight bits, one in the upper half of each word": (8, lambda level: struct.pack("<H", level << 8)),
    "sixteen bits": (16, lambda level: struct.pack("<H", level * 257)),
    "sixteen bits with an empty lower half": (16, lambda level: struct.pack("<H", level << 8)),
    "eight bits that are called sixteen": (16, lambda level: struct.pack("<H", level)),
}


@pytest.mark.parametrize("kind", WORDS)
def test_every_habit_of_writing_entries_gives_the_same_colours(tmp_path: Path, kind: str) -> None:
    bits, word = WORDS[kind]
    levels = [0, 1, 100, 254, 255]
    table = b"".join(word(level) for level in levels)
    colours = shown(tmp_path, coloured(np.arange(5, dtype=np.uint8)[None], 0, bits, [table] * 3, entries=5))
    np.testing.assert_array_equal(colours[0, :, 1], levels)


# PS3.3 C.7.9.2: opcode, length, then values (0), an end (1) or a byte offset (2).
SEGMENTS = [
    ([0, 3, 5, 6, 7], [5, 6, 7]),
    ([0, 1, 10, 1, 5, 60], [10, 20, 30, 40, 50, 60]),
    ([0, 1, 60, 1, 4, 20], [60, 50, 40, 30, 20]),
    ([0, 1, 0, 1, 3, 10], [0, 3, 7, 10]),  # to the nearest
    ([0, 2, 1, 2, 1, 2, 8], [1, 2, 5, 8]),
]


@pytest.mark.parametrize(("words", "entries"), SEGMENTS)
@pytest.mark.parametrize("width", [1, 2])
def test_discrete_and_linear_segments_are_expanded(words: list[int], entries: list[int], width: int) -> None:
    assert palette.expand_segments(np.array(words, f"u{width}")) == entries


def test_an_indirect_segment_repeats_others_from_its_byte_offset() -> None:
    sixteen = np.array([0, 2, 100, 200, 1, 2, 400, 2, 2, 0, 0], np.uint16)
    assert palette.expand_segments(sixteen) == [100, 200, 300, 400] * 2
    from_the_line = np.array([0, 2, 100, 200, 1, 2, 400, 2, 1, 8, 0], np.uint16)
    assert palette.expand_segments(from_the_line) == [100, 200, 300, 400, 400, 400]
    eight = np.array([0, 2, 10, 20, 1, 2, 40, 2, 1, 4, 0, 0, 0], np.uint8)
    assert palette.expand_segments(eight) == [10, 20, 30, 40, 40, 40]
    far = np.array([0, 3, 7, 8, 9] + [0, 1, 1] * 22000 + [2, 1, 0x86E0 & 0xFFFF, 0], np.uint16)
    assert palette.expand_segments(far, 70000)[:3] == [7, 8, 9]


def test_an_offset_beyond_64_kib_is_read_from_both_its_words() -> None:
    filler = [0, 40000, *([3] * 40000)]
    offset = 2 * len(filler)
    words = [*filler, 0, 2, 11, 12, 2, 1, offset & 0xFFFF, offset >> 16]
    assert offset > 65536
    assert palette.expand_segments(np.array(words, np.uint16), 70000)[-4:] == [11, 12, 11, 12]


@pytest.mark.parametrize(
    "words",
    [[1, 3, 9], [3, 1, 1], [0, 1, 5, 2, 1, 6, 0, 2, 1, 0, 0], [0, 1, 5, 2, 1, 3, 0], [0, 1, 5, 2, 1, 0]],
    ids=["line from nowhere", "unknown kind", "indirect to indirect", "odd offset", "cut off"],
)
def test_segments_that_cannot_be_are_refused(words: list[int]) -> None:
    with pytest.raises(ValueError, match="segment"):
        palette.expand_segments(np.array(words, np.uint16))


@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(0, 255), min_size=1, max_size=9).map(lambda values: [0, len(values), *values]),
            st.tuples(st.integers(1, 40), st.integers(0, 255)).map(lambda line: [1, *line]),
        ),
        max_size=8,
    ),
    st.sampled_from(["<B", "<H"]),
)
def test_any_segments_are_expanded_as_pydicom_expands_them(segments: list[list[int]], kind: str) -> None:
    words = [word for segment in [[0, 1, 128], *segments] for word in segment]
    theirs = _expand_segmented_lut(tuple(words), kind)
    ours = palette.expand_segments(np.array(words, "u1" if kind == "<B" else "u2"))
    assert len(ours) == len(theirs)
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1  # halves are rounded either way


def test_endless_segments_end_with_the_table() -> None:
    words = np.array([0, 1, 5, *([1, 65535, 9] * 500)], np.uint16)
    assert len(palette.expand_segments(words, 300)) == 300


@pytest.mark.parametrize("bits", [8, 16])
def test_a_segmented_palette_colours_a_film(tmp_path: Path, bits: int) -> None:
    kind, top = ("B", 255) if bits == 8 else ("H", 65535)
    table = struct.pack(f"<6{kind}", 0, 1, 0, 1, 5, top)
    pixels = np.arange(6, dtype=np.uint8)[None]
    colours = shown(tmp_path, coloured(pixels, 0, bits, [table] * 3, segmented=True, entries=6))
    np.testing.assert_array_equal(colours[0, :, 0], [0, 51, 102, 153, 204, 255])


def test_a_palette_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Undecodable, match="colour table"):
        shown(tmp_path, films.film(np.zeros((2, 2), np.uint8), PhotometricInterpretation="PALETTE COLOR"))
