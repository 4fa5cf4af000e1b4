"""A palette names the colours that the standard says it names, however its tables are written."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from firmware_app.imaging import image_file, palette
from tests import films

Pixels = np.ndarray[Any, Any]


def make_palette_film(
    pixels: Pixels, first: int, bits: int, tables: list[bytes], *, segmented: bool = False, entries: int
) -> FileDataset:
    made = films.film(pixels, PhotometricInterpretation="PALETTE COLOR")
    vr = "SS" if pixels.dtype.kind == "i" else "US"
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        made.add_new(f"{name}PaletteColorLookupTableDescriptor", vr, [entries, first, bits])
        prefix = "Segmented" if segmented else ""
        made.add_new(f"{prefix}{name}PaletteColorLookupTableData", "OW", table + b"\0" * (len(table) % 2))
    return made


def read_colours(folder: Path, dataset: FileDataset) -> Pixels:
    with image_file.open_image_file(films.save(folder, "palette.dcm", dataset), is_picture=False) as opened:
        return opened.render_frame(0).pixels


def test_65536_entries_are_written_as_0(tmp_path: Path) -> None:
    table = np.arange(65536, dtype="<u2").tobytes()
    pixels = np.array([[0, 255, 256, 65535]], np.uint16)
    colours = read_colours(tmp_path, make_palette_film(pixels, 0, 16, [table] * 3, entries=0))
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
    colours = read_colours(
        tmp_path, make_palette_film(np.arange(5, dtype=np.uint8)[None], 0, bits, [table] * 3, entries=5)
    )
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
def test_discrete_and_linear_segments_are_expanded(words: list[int], entries: list[int]) -> None:
    assert palette.expand_segments(words) == entries


@pytest.mark.parametrize(
    "words", [[1, 3, 9], [3, 1, 1], [0, 1, 5, 2, 1, 0, 0]], ids=["line from nowhere", "unknown kind", "indirect"]
)
def test_segments_that_cannot_be_are_refused(words: list[int]) -> None:
    with pytest.raises(ValueError, match="segment"):
        palette.expand_segments(words)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_segmented_palette_colours_a_film(tmp_path: Path, bits: int) -> None:
    kind, top = ("B", 255) if bits == 8 else ("H", 65535)
    table = struct.pack(f"<6{kind}", 0, 1, 0, 1, 5, top)
    pixels = np.arange(6, dtype=np.uint8)[None]
    colours = read_colours(tmp_path, make_palette_film(pixels, 0, bits, [table] * 3, segmented=True, entries=6))
    np.testing.assert_array_equal(colours[0, :, 0], [0, 51, 102, 153, 204, 255])
