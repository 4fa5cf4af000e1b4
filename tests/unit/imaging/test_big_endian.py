"""In Explicit VR Big Endian the bytes of each word are swapped, also of OW that holds bytes or bits (PS3.5 7.3, A.3).

Each object is written twice, by hand in the big-endian one; what the standard makes of the little-endian one is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from firmware_app.imaging import image_file
from tests import films
from tests.unit.imaging.test_deidentified_pixels import exported
from tests.unit.imaging.test_overlays import with_plane

Pixels = np.ndarray[Any, Any]
LITTLE, BIG = ExplicitVRLittleEndian, ExplicitVRBigEndian
SYNTAXES = pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, LITTLE, BIG], ids=["implicit", "little", "big"])
ROWS, COLUMNS = 5, 7


def in_words(data: bytes, syntax: Any, size: int = 2) -> bytes:
    """*data*, laid out for little endian, as words of *syntax*."""
    data += bytes(-len(data) % size)
    return np.frombuffer(data, f"<u{size}").astype(f"{'>' if syntax == BIG else '<'}u{size}").tobytes()


def of_words(pixels: Pixels, syntax: Any, **attributes: Any) -> FileDataset:
    """A film whose pixel element is OW; *pixels* of bytes lie two in a word."""
    many = {"NumberOfFrames": len(pixels)} if pixels.ndim == 3 and pixels.shape[2] != 3 else {}
    frame = pixels[0] if many else pixels
    made = films.film(frame, syntax=syntax, pixel_data=in_words(pixels.tobytes(), syntax), **many, **attributes)
    made["PixelData"].VR = "OW"
    return made


def grey(folder: Path, made: FileDataset, frame: int = 0) -> Pixels:
    with image_file.open_image_file(films.save(folder, "film.dcm", made), is_picture=False) as opened:
        return opened.grey(frame)


def table(entries: Pixels, syntax: Any, bits: int, first: int = 0) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", in_words(entries.tobytes(), syntax))
    item.ModalityLUTType = "US"
    return item


def ramp(columns: int = COLUMNS) -> Pixels:
    return np.tile(np.arange(columns, dtype=np.uint16), (ROWS, 1))


@SYNTAXES
@pytest.mark.parametrize("kind", ["u1", "<u2"])
@pytest.mark.parametrize("place", ["ModalityLUTSequence", "VOILUTSequence", "functional groups"])
def test_a_look_up_table_gives_its_entries(tmp_path: Path, syntax: Any, kind: str, place: str) -> None:
    entries = np.array([3, 250, 7, 200, 90, 11], kind) * (1 if kind == "u1" else 200)
    made = of_words(ramp(), syntax)
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


@SYNTAXES
@pytest.mark.parametrize("origin", [(1, 1), (2, 3)])
def test_an_overlay_plane_is_where_it_was_drawn(tmp_path: Path, syntax: Any, origin: tuple[int, int]) -> None:
    plane = np.zeros((3, 4), np.uint8)
    plane[0, :3] = plane[2, 1] = 1
    made = with_plane(of_words(ramp(), syntax), plane, origin=origin)
    made[0x6000, 0x3000].value = in_words(made[0x6000, 0x3000].value, syntax)
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        [layer] = opened.shown(0).layers
    expected = np.zeros((ROWS + 8, COLUMNS + 8), bool)
    expected[origin[0] - 1 : origin[0] + 2, origin[1] - 1 : origin[1] + 3] = plane
    np.testing.assert_array_equal(layer.mask, expected[:ROWS, :COLUMNS])


COLOURS = (np.array([1, 2, 3, 4, 5, 6, 7]), np.array([10, 0, 30, 0, 50, 0, 70]), np.array([255, 3, 0, 90, 17, 8, 1]))
# A discrete segment of three entries, then a line of four to the last (PS3.3 C.7.9.2).
SEGMENTS = ([0, 3, 9, 4, 2, 1, 4, 10], [0, 3, 1, 1, 0, 1, 4, 200], [0, 3, 0, 1, 2, 1, 4, 6])


@SYNTAXES
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("is_segmented", [False, True])
def test_a_palette_gives_its_colours_and_leaves_as_it_is(
    tmp_path: Path, syntax: Any, bits: int, is_segmented: bool
) -> None:
    scale = 1 if bits == 8 else 257 if not is_segmented else 256
    made = of_words(ramp().astype(np.uint8), syntax, PhotometricInterpretation="PALETTE COLOR")
    kind, name = f"<u{bits // 8}", "Segmented{}Palette" if is_segmented else "{}Palette"
    expected = []
    for colour, entries, segments in zip(("Red", "Green", "Blue"), COLOURS, SEGMENTS, strict=True):
        data = entries * scale
        if is_segmented:
            data = np.array(
                [*segments[:2], *(one * scale for one in segments[2:5]), *segments[5:7], segments[7] * scale]
            )
            line = [segments[4] + (segments[7] - segments[4]) * step / 4 for step in range(1, 5)]
            entries = np.array([*segments[2:5], *line])
        made.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [7, 0, bits])
        keyword = f"{name.format(colour)}ColorLookupTableData"
        made.add_new(keyword, "OW", in_words(data.astype(kind).tobytes(), syntax))
        expected.append(entries)
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        seen = opened.shown(0).pixels
    np.testing.assert_allclose(seen, np.stack(expected, -1)[ramp()], atol=1 if is_segmented else 0)
    cleaned, _ = exported(tmp_path, made)
    assert np.array_equal(np.frombuffer(cleaned.PixelData, np.uint8)[: ROWS * COLUMNS], ramp().ravel())
    with image_file.open_image_file(tmp_path / "out.dcm", is_picture=False) as opened:
        np.testing.assert_array_equal(opened.shown(0).pixels, seen)


@pytest.mark.parametrize("syntax", [LITTLE, BIG])
@pytest.mark.parametrize("vr", ["OB", "OW"])
@pytest.mark.parametrize("frames", [1, 3])
def test_one_bit_pixels_are_the_bits_of_their_words(tmp_path: Path, syntax: Any, vr: str, frames: int) -> None:
    bits = np.random.default_rng(2).integers(0, 2, (frames, ROWS, COLUMNS), dtype=np.uint8)
    data = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data += bytes(len(data) % 2)
    made = films.film(
        bits[0],
        syntax=syntax,
        pixel_data=in_words(data, syntax) if vr == "OW" else data,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        NumberOfFrames=frames,
    )
    made["PixelData"].VR = vr
    for frame in range(frames):
        np.testing.assert_array_equal(grey(tmp_path, made, frame), bits[frame])
    cleaned, _ = exported(tmp_path, made)
    assert np.array_equal(cleaned.pixel_array.reshape(bits.shape), bits)


@pytest.mark.parametrize("syntax", [LITTLE, BIG])
@pytest.mark.parametrize("kind", ["u1", "<u2"])
@pytest.mark.parametrize("is_colour", [False, True])
def test_each_frame_is_itself_also_where_it_begins_within_a_word(
    tmp_path: Path, syntax: Any, kind: str, is_colour: bool
) -> None:
    shape = (3, ROWS, COLUMNS, *((3,) if is_colour else ()))
    clip = np.random.default_rng(2).integers(0, 250, shape).astype(kind)
    made = films.film(clip[0], syntax=syntax, pixel_data=in_words(clip.tobytes(), syntax), NumberOfFrames=3)
    made["PixelData"].VR = "OW"
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        for frame in range(3):
            if not is_colour:
                np.testing.assert_array_equal(opened.grey(frame), clip[frame])
            elif kind == "u1":
                np.testing.assert_array_equal(opened.shown(frame).pixels, clip[frame])
    cleaned, _ = exported(tmp_path, made)
    assert np.frombuffer(cleaned.PixelData, clip.dtype)[: clip.size].tolist() == clip.ravel().tolist()


@pytest.mark.parametrize("syntax", [LITTLE, BIG])
@pytest.mark.parametrize(("keyword", "size"), [("FloatPixelData", 4), ("DoubleFloatPixelData", 8)])
def test_floats_are_their_values(tmp_path: Path, syntax: Any, keyword: str, size: int) -> None:
    values = np.linspace(-3.25, 1e6, ROWS * COLUMNS).astype(f"<f{size}").reshape(ROWS, COLUMNS)
    made = films.film(
        ramp(), syntax=syntax, BitsAllocated=8 * size, BitsStored=None, HighBit=None, PixelRepresentation=None
    )
    del made.PixelData
    made.add_new(keyword, "OF" if size == 4 else "OD", in_words(values.tobytes(), syntax, size))
    np.testing.assert_allclose(grey(tmp_path, made), values, rtol=1e-6)


@SYNTAXES
def test_an_exported_film_has_its_words_and_tables_in_little_endian(tmp_path: Path, syntax: Any) -> None:
    pixels = films.shapes(5, 32, 24)
    entries = np.arange(4096, dtype="<u2")[::-1].copy()
    made = of_words(pixels | 0x8000, syntax, BitsStored=12, HighBit=11)
    made.VOILUTSequence = [table(entries, syntax, 12)]
    made.add_new("SmallestImagePixelValue", "US", int(pixels.min()))
    cleaned, _ = exported(tmp_path, made)
    assert np.frombuffer(cleaned.PixelData, "<u2").tolist() == pixels.ravel().tolist()
    assert cleaned.VOILUTSequence[0].LUTData == entries.tobytes()
    assert cleaned.VOILUTSequence[0].LUTDescriptor[0] == 4096
    np.testing.assert_allclose(grey(tmp_path, cleaned), entries[pixels] / 4095, rtol=1e-6)
