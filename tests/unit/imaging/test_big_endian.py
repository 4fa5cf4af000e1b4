"""In Explicit VR Big Endian the bytes of each word are swapped, also of OW that holds bytes or bits (PS3.5 7.3, A.3).

Each object is written twice, by hand in the big-endian one; what the standard makes of the little-endian one is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from firmware_app.imaging import image_file
from tests import films
from tests.unit.imaging.test_deidentified_pixels import deidentify_film

Pixels = np.ndarray[Any, Any]
LITTLE, BIG = ExplicitVRLittleEndian, ExplicitVRBigEndian
ROWS, COLUMNS = 5, 7


def swap_words(data: bytes, syntax: Any, size: int = 2) -> bytes:
    """*data*, laid out for little endian, as words of *syntax*."""
    data += bytes(-len(data) % size)
    return np.frombuffer(data, f"<u{size}").astype(f"{'>' if syntax == BIG else '<'}u{size}").tobytes()


def make_word_film(pixels: Pixels, syntax: Any, **attributes: Any) -> FileDataset:
    """A film whose pixel element is OW; *pixels* of bytes lie two in a word."""
    many = {"NumberOfFrames": len(pixels)} if pixels.ndim == 3 and pixels.shape[2] != 3 else {}
    frame = pixels[0] if many else pixels
    made = films.film(frame, syntax=syntax, pixel_data=swap_words(pixels.tobytes(), syntax), **many, **attributes)
    made["PixelData"].VR = "OW"
    return made


def grey(folder: Path, made: FileDataset, frame: int = 0) -> Pixels:
    with image_file.open_image_file(films.save(folder, "film.dcm", made), is_picture=False) as opened:
        return opened.grey(frame)


def table(entries: Pixels, syntax: Any, bits: int, first: int = 0) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", swap_words(entries.tobytes(), syntax))
    item.ModalityLUTType = "US"
    return item


def ramp(columns: int = COLUMNS) -> Pixels:
    return np.tile(np.arange(columns, dtype=np.uint16), (ROWS, 1))


@pytest.mark.parametrize(
    ("kind", "place"), [("u1", "ModalityLUTSequence"), ("<u2", "VOILUTSequence"), ("<u2", "functional groups")]
)
def test_a_look_up_table_gives_its_entries(tmp_path: Path, kind: str, place: str) -> None:
    syntax = BIG
    entries = np.array([3, 250, 7, 200, 90, 11], kind) * (1 if kind == "u1" else 200)
    made = make_word_film(ramp(), syntax)
    item = table(entries.astype(kind), syntax, 8 * entries.itemsize)
    if place == "functional groups":
        group, shared = Dataset(), Dataset()
        group.VOILUTSequence = [item]
        shared.FrameVOILUTSequence = [group]
        made.SharedFunctionalGroupsSequence = [shared]
    else:
        setattr(made, place, [item])
    top = 1 if place == "ModalityLUTSequence" else 2 ** (8 * entries.itemsize) - 1
    expected = np.take(entries.astype(np.float64), ramp(), mode="clip") / top
    np.testing.assert_allclose(grey(tmp_path, made), expected, rtol=1e-6)


@pytest.mark.parametrize(("kind", "is_colour"), [("u1", False), ("u1", True), ("<u2", False)])
def test_each_frame_is_itself_also_where_it_begins_within_a_word(tmp_path: Path, kind: str, is_colour: bool) -> None:
    syntax = BIG
    shape = (3, ROWS, COLUMNS, *((3,) if is_colour else ()))
    clip = np.random.default_rng(2).integers(0, 250, shape).astype(kind)
    made = films.film(clip[0], syntax=syntax, pixel_data=swap_words(clip.tobytes(), syntax), NumberOfFrames=3)
    made["PixelData"].VR = "OW"
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        for frame in range(3):
            if not is_colour:
                np.testing.assert_array_equal(opened.grey(frame), clip[frame])
            elif kind == "u1":
                np.testing.assert_array_equal(opened.render_frame(frame).pixels, clip[frame])
    cleaned, _ = deidentify_film(tmp_path, made)
    assert np.frombuffer(cleaned.PixelData, clip.dtype)[: clip.size].tolist() == clip.ravel().tolist()


@pytest.mark.parametrize(
    ("keyword", "size", "syntax"), [("FloatPixelData", 4, BIG), ("DoubleFloatPixelData", 8, LITTLE)]
)
def test_floats_are_their_values(tmp_path: Path, keyword: str, size: int, syntax: Any) -> None:
    values = np.linspace(-3.25, 1e6, ROWS * COLUMNS).astype(f"<f{size}").reshape(ROWS, COLUMNS)
    made = films.film(
        ramp(), syntax=syntax, BitsAllocated=8 * size, BitsStored=None, HighBit=None, PixelRepresentation=None
    )
    del made.PixelData
    made.add_new(keyword, "OF" if size == 4 else "OD", swap_words(values.tobytes(), syntax, size))
    np.testing.assert_allclose(grey(tmp_path, made), values, rtol=1e-6)


def test_an_exported_film_has_its_words_and_tables_in_little_endian(tmp_path: Path) -> None:
    syntax = BIG
    pixels = films.shapes(5, 32, 24)
    entries = np.arange(4096, dtype="<u2")[::-1].copy()
    made = make_word_film(pixels | 0x8000, syntax, BitsStored=12, HighBit=11)
    made.VOILUTSequence = [table(entries, syntax, 12)]
    made.add_new("SmallestImagePixelValue", "US", int(pixels.min()))
    cleaned, _ = deidentify_film(tmp_path, made)
    assert np.frombuffer(cleaned.PixelData, "<u2").tolist() == pixels.ravel().tolist()
    assert cleaned.VOILUTSequence[0].LUTData == entries.tobytes()
    assert cleaned.VOILUTSequence[0].LUTDescriptor[0] == 4096
    np.testing.assert_allclose(grey(tmp_path, cleaned), entries[pixels] / 4095, rtol=1e-6)
