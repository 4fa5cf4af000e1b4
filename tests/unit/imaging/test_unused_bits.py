"""Bits of a pixel cell outside the pixel's value mean nothing, in whatever transfer syntax they come (PS3.5 8.1.1)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import htj2k_encode, jpeg2k_encode, jpeg8_encode
from jpeg_ls import encode_buffer
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from firmware_app.imaging import dicom_image, image_file
from firmware_app.imaging.errors import PixelsUnsupported
from tests import films, lossless_jpeg
from tests.unit.imaging.test_decode import DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED, UNKNOWN
from tests.unit.imaging.test_deidentified_pixels import exported
from tests.unit.imaging.test_grey_pipeline import run_lengths

Pixels = np.ndarray[Any, Any]
Encoder = Callable[[Pixels], bytes]
NEAR = 2
ROWS, COLUMNS = 32, 24


def jpeg_ls(words: Pixels, near: int = 0) -> bytes:
    return bytes(encode_buffer(words.tobytes(), *words.shape, 1, 8 * words.itemsize, lossy_error=near))


LOSSLESS: dict[str, tuple[UID, Encoder | None]] = {
    "implicit": (ImplicitVRLittleEndian, None),
    "little endian": (ExplicitVRLittleEndian, None),
    "big endian": (ExplicitVRBigEndian, None),
    "run lengths": (RLELossless, run_lengths),
    "wrapped": (ENCAPSULATED_UNCOMPRESSED, lambda words: words.tobytes()),
    "deflated": (DEFLATED_FRAMES, lambda words: zlib.compress(words.tobytes(), wbits=-zlib.MAX_WBITS)),
    "JPEG 57": (JPEGLossless, lambda words: lossless_jpeg.encoded(words, 8 * words.itemsize, 7)),
    "JPEG 70": (JPEGLosslessSV1, lambda words: lossless_jpeg.encoded(words, 8 * words.itemsize)),
    "JPEG-LS": (JPEGLSLossless, jpeg_ls),
    "JPEG 2000 90": (JPEG2000Lossless, lambda words: bytes(jpeg2k_encode(words, codecformat="j2k", reversible=True))),
    "JPEG 2000 91": (JPEG2000, lambda words: bytes(jpeg2k_encode(words, codecformat="j2k", reversible=True))),
    "HTJ2K 201": (HTJ2KLossless, lambda words: bytes(htj2k_encode(words, reversible=True))),
    "HTJ2K 202": (HTJ2KLosslessRPCL, lambda words: bytes(htj2k_encode(words, reversible=True))),
    "HTJ2K 203": (HTJ2K, lambda words: bytes(htj2k_encode(words, reversible=True))),
}
LOSSY: dict[str, tuple[UID, Encoder]] = {
    "JPEG-LS": (JPEGLSNearLossless, lambda words: jpeg_ls(words, NEAR)),
    "JPEG 2000": (JPEG2000, lambda words: bytes(jpeg2k_encode(words, 90, codecformat="j2k", reversible=False))),
    "HTJ2K": (HTJ2K, lambda words: bytes(htj2k_encode(words, 1e-5, reversible=False))),
}


def coded(syntax: UID, encoder: Encoder | None, words: Pixels, **attributes: Any) -> FileDataset:
    """A film whose cells are *words*, each bit of them in the stream."""
    if encoder is not None:
        data = encapsulate([encoder(words)])
        return films.film(words, syntax=UNKNOWN.get(syntax, syntax), pixel_data=data, **attributes)
    raw = words.astype(words.dtype.newbyteorder(">")).tobytes() if syntax == ExplicitVRBigEndian else words.tobytes()
    made = films.film(words, syntax=syntax, pixel_data=raw, **attributes)
    made["PixelData"].VR = "OB" if words.itemsize == 1 else "OW"
    return made


def saved(folder: Path, made: FileDataset, syntax: UID) -> Path:
    path = films.save(folder, "film.dcm", made)
    if syntax in UNKNOWN:
        written = UNKNOWN[syntax].encode() + b"\0" * (len(UNKNOWN[syntax]) % 2)
        path.write_bytes(path.read_bytes().replace(written, syntax.encode().ljust(len(written), b"\0"), 1))
    return path


def measured(path: Path) -> Pixels:
    with image_file.open_image_file(path, is_picture=False) as opened:
        assert isinstance(opened, dicom_image.DicomImage)
        return opened.measured(0)


def mark() -> Pixels:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[5:20, 3:9] = mask[25, :] = True
    return mask


def with_overlay(made: FileDataset, position: int) -> FileDataset:
    """An overlay in the pixel cells, as PS3.3 C.9.2 of 1998 has it: no Overlay Data, a bit position."""
    made.add_new((0x6000, 0x0010), "US", ROWS)
    made.add_new((0x6000, 0x0011), "US", COLUMNS)
    made.add_new((0x6000, 0x0040), "CS", "G")
    made.add_new((0x6000, 0x0050), "SS", [1, 1])
    made.add_new((0x6000, 0x0100), "US", 16)
    made.add_new((0x6000, 0x0102), "US", position)
    return made


def layers(path: Path) -> list[Pixels]:
    with image_file.open_image_file(path, is_picture=False) as opened:
        return [layer.mask for layer in opened.shown(0).layers]


def noise(low: int, high: int, seed: int = 5) -> Pixels:
    return np.random.default_rng(seed).integers(low, high + 1, (ROWS, COLUMNS))


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(
    ("allocated", "stored", "high_bit"), [(16, 12, 11), (16, 10, 9), (16, 12, 13), (16, 12, 15), (8, 7, 6), (8, 6, 6)]
)
@pytest.mark.parametrize("signed", [False, True])
def test_what_lies_around_a_value_is_no_grey_and_does_not_leave(
    tmp_path: Path, syntax: str, allocated: int, stored: int, high_bit: int, signed: bool
) -> None:
    uid, encoder = LOSSLESS[syntax]
    values = noise(-(1 << stored - 1), (1 << stored - 1) - 1) if signed else noise(0, (1 << stored) - 1)
    low = high_bit + 1 - stored
    value_bits = ((1 << stored) - 1) << low
    dirt = noise(0, (1 << allocated) - 1, seed=6) & ~value_bits
    words = (((values << low) & value_bits) | dirt).astype(f"u{allocated // 8}")
    told: dict[str, Any] = {"BitsStored": stored, "HighBit": high_bit, "PixelRepresentation": int(signed)}
    made = coded(uid, encoder, words, **told)
    np.testing.assert_array_equal(measured(saved(tmp_path, made, uid)), values)
    if uid not in UNKNOWN:
        cleaned, _ = exported(tmp_path, made)
        left = np.frombuffer(cleaned.PixelData, f"<{'i' if signed else 'u'}{allocated // 8}").reshape(ROWS, COLUMNS)
        np.testing.assert_array_equal(left, values << (cleaned.HighBit + 1 - cleaned.BitsStored))


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("position", [0, 12, 15])
def test_an_overlay_in_the_cells_is_a_layer_and_does_not_leave(tmp_path: Path, syntax: str, position: int) -> None:
    uid, encoder = LOSSLESS[syntax]
    low = 4 if position == 0 else 0
    values = noise(0, 2047 if position == 12 else 1023)
    words = np.asarray(values << low | mark().astype(np.int64) << position, np.uint16)
    made = with_overlay(coded(uid, encoder, words, BitsStored=12 - low, HighBit=11), position)
    path = saved(tmp_path, made, uid)
    [layer] = layers(path)
    np.testing.assert_array_equal(layer, mark())
    np.testing.assert_array_equal(measured(path), values & (1 << 12 - low) - 1)
    if uid not in UNKNOWN:
        cleaned, _ = exported(tmp_path, made)
        left = np.frombuffer(cleaned.PixelData, "<u2").reshape(ROWS, COLUMNS)
        np.testing.assert_array_equal(left, (values & (1 << 12 - low) - 1) << low)
        assert not [element for element in cleaned if element.tag.group & 0xFF00 == 0x6000]


@pytest.mark.parametrize("syntax", LOSSY)
def test_an_overlay_in_the_cells_of_a_lossy_stream_is_a_layer_and_no_grey(tmp_path: Path, syntax: str) -> None:
    uid, encoder = LOSSY[syntax]
    slope = np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) * 4095 // (ROWS + COLUMNS - 2)  # black to white
    words = np.asarray(slope | mark().astype(np.int64) << 15, np.uint16)
    made = with_overlay(coded(uid, encoder, words, BitsStored=12, HighBit=11), 15)
    path = saved(tmp_path, made, uid)
    [layer] = layers(path)
    np.testing.assert_array_equal(layer, mark())
    np.testing.assert_allclose(measured(path), slope, atol=NEAR if syntax == "JPEG-LS" else 60)
    cleaned, _ = exported(tmp_path, made)
    assert int(np.frombuffer(cleaned.PixelData, "<u2").max()) <= 4095


@pytest.mark.parametrize("syntax", LOSSY)
def test_a_lossy_value_beyond_white_is_white_and_not_black(tmp_path: Path, syntax: str) -> None:
    """A stream of 16 bits lets a value of 12 bits be a little above 4095; without its highest bit it were near 0."""
    uid, encoder = LOSSY[syntax]
    steep = np.where(mark(), 4095, 3000 + noise(0, 900)).astype(np.uint16)
    made = coded(uid, encoder, steep, BitsStored=12, HighBit=11)
    seen = measured(saved(tmp_path, made, uid))
    assert seen[mark()].min() > 4000
    assert seen.max() <= 4095


@pytest.mark.parametrize("stored", [8, 10])
def test_an_overlay_in_a_jpeg_of_12_bits_is_a_layer_and_no_grey(tmp_path: Path, stored: int) -> None:
    words = np.asarray(600 % (1 << stored) + (mark().astype(np.int64) << 11), np.uint16)
    stream = bytes(jpeg8_encode(words, level=100, bitspersample=12))
    made = films.film(
        words, syntax=JPEGExtended12Bit, pixel_data=encapsulate([stream]), BitsStored=stored, HighBit=stored - 1
    )
    path = films.save(tmp_path, "film.dcm", with_overlay(made, 11))
    [layer] = layers(path)
    np.testing.assert_array_equal(layer, mark())
    np.testing.assert_allclose(measured(path), 600 % (1 << stored), atol=8)


def test_an_overlay_in_words_of_32_bits_is_a_layer(tmp_path: Path) -> None:
    values = noise(0, (1 << 20) - 1)
    words = np.asarray(values | mark().astype(np.int64) << 31, np.uint32)
    made = with_overlay(films.film(words, BitsStored=20, HighBit=19), 31)
    [layer] = layers(films.save(tmp_path, "film.dcm", made))
    np.testing.assert_array_equal(layer, mark())


def test_a_plane_without_data_and_position_is_not_looked_for_below_the_value(tmp_path: Path) -> None:
    made = with_overlay(films.film(noise(0, 65535).astype(np.uint16), BitsStored=12, HighBit=15), 0)
    del made[0x6000, 0x0102]
    assert layers(films.save(tmp_path, "film.dcm", made)) == []


@pytest.mark.parametrize("syntax", ["JPEG-LS", "JPEG 2000 90", "HTJ2K 201"])
def test_a_stream_deeper_than_its_cell_is_refused(tmp_path: Path, syntax: str) -> None:
    uid, encoder = LOSSLESS[syntax]
    assert encoder is not None
    deep = noise(0, 65535).astype(np.uint16)
    made = films.film(deep.astype(np.uint8), syntax=uid, pixel_data=encapsulate([encoder(deep)]))
    with pytest.raises(PixelsUnsupported):
        measured(films.save(tmp_path, "film.dcm", made))
