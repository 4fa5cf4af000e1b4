"""Bits of a pixel cell outside the pixel's value mean nothing, in whatever transfer syntax they come (PS3.5 8.1.1)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import htj2k_encode, jpeg2k_encode
from jpeg_ls import encode_buffer
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from firmware_app.imaging import dicom_image, image_file
from tests import films, lossless_jpeg
from tests.unit.imaging.test_decode import DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED, UNKNOWN
from tests.unit.imaging.test_deidentified_pixels import deidentify_film
from tests.unit.imaging.test_grey_pipeline import run_lengths

Pixels = np.ndarray[Any, Any]
Encoder = Callable[[Pixels], bytes]
ROWS, COLUMNS = 32, 24


def jpeg_ls(words: Pixels) -> bytes:
    return bytes(encode_buffer(words.tobytes(), *words.shape, 1, 8 * words.itemsize))


LOSSLESS: dict[str, tuple[UID, Encoder | None]] = {
    "implicit": (ImplicitVRLittleEndian, None),
    "little endian": (ExplicitVRLittleEndian, None),
    "big endian": (ExplicitVRBigEndian, None),
    "run lengths": (RLELossless, run_lengths),
    "wrapped": (ENCAPSULATED_UNCOMPRESSED, lambda words: words.tobytes()),
    "deflated": (DEFLATED_FRAMES, lambda words: zlib.compress(words.tobytes(), wbits=-zlib.MAX_WBITS)),
    "JPEG 70": (JPEGLosslessSV1, lambda words: lossless_jpeg.encode_lossless(words, 8 * words.itemsize)),
    "JPEG-LS": (JPEGLSLossless, jpeg_ls),
    "JPEG 2000 90": (JPEG2000Lossless, lambda words: bytes(jpeg2k_encode(words, codecformat="j2k", reversible=True))),
    "HTJ2K 201": (HTJ2KLossless, lambda words: bytes(htj2k_encode(words, reversible=True))),
}


def encode_film(syntax: UID, encoder: Encoder | None, words: Pixels, **attributes: Any) -> FileDataset:
    """A film whose cells are *words*, each bit of them in the stream."""
    if encoder is not None:
        data = encapsulate([encoder(words)])
        return films.film(words, syntax=UNKNOWN.get(syntax, syntax), pixel_data=data, **attributes)
    raw = words.astype(words.dtype.newbyteorder(">")).tobytes() if syntax == ExplicitVRBigEndian else words.tobytes()
    made = films.film(words, syntax=syntax, pixel_data=raw, **attributes)
    made["PixelData"].VR = "OB" if words.itemsize == 1 else "OW"
    return made


def save_film(folder: Path, made: FileDataset, syntax: UID) -> Path:
    path = films.save(folder, "film.dcm", made)
    if syntax in UNKNOWN:
        written = UNKNOWN[syntax].encode() + b"\0" * (len(UNKNOWN[syntax]) % 2)
        path.write_bytes(path.read_bytes().replace(written, syntax.encode().ljust(len(written), b"\0"), 1))
    return path


def read_values(path: Path) -> Pixels:
    with image_file.open_image_file(path, is_picture=False) as opened:
        assert isinstance(opened, dicom_image.DicomImage)
        return opened.read_modality_values(0)


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
        return [layer.mask for layer in opened.render_frame(0).layers]


def noise(low: int, high: int, seed: int = 5) -> Pixels:
    return np.random.default_rng(seed).integers(low, high + 1, (ROWS, COLUMNS))


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(
    ("allocated", "stored", "high_bit", "signed"), [(16, 12, 11, True), (16, 12, 13, False), (8, 6, 6, True)]
)
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
    made = encode_film(uid, encoder, words, **told)
    np.testing.assert_array_equal(read_values(save_film(tmp_path, made, uid)), values)
    if uid not in UNKNOWN:
        cleaned, _ = deidentify_film(tmp_path, made)
        left = np.frombuffer(cleaned.PixelData, f"<{'i' if signed else 'u'}{allocated // 8}").reshape(ROWS, COLUMNS)
        np.testing.assert_array_equal(left, values << (cleaned.HighBit + 1 - cleaned.BitsStored))


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("position", [0, 15])
def test_an_overlay_in_the_cells_is_a_layer_and_does_not_leave(tmp_path: Path, syntax: str, position: int) -> None:
    uid, encoder = LOSSLESS[syntax]
    low = 4 if position == 0 else 0
    values = noise(0, 2047 if position == 12 else 1023)
    words = np.asarray(values << low | mark().astype(np.int64) << position, np.uint16)
    made = with_overlay(encode_film(uid, encoder, words, BitsStored=12 - low, HighBit=11), position)
    path = save_film(tmp_path, made, uid)
    [layer] = layers(path)
    np.testing.assert_array_equal(layer, mark())
    np.testing.assert_array_equal(read_values(path), values & (1 << 12 - low) - 1)
    if uid not in UNKNOWN:
        cleaned, _ = deidentify_film(tmp_path, made)
        left = np.frombuffer(cleaned.PixelData, "<u2").reshape(ROWS, COLUMNS)
        np.testing.assert_array_equal(left, (values & (1 << 12 - low) - 1) << low)
        assert not [element for element in cleaned if element.tag.group & 0xFF00 == 0x6000]


def test_a_lossy_value_beyond_white_is_white_and_not_black(tmp_path: Path) -> None:
    """A stream of 16 bits lets a value of 12 bits be a little above 4095; without its highest bit it were near 0."""
    uid, encoder = JPEG2000, lambda words: bytes(jpeg2k_encode(words, 90, codecformat="j2k", reversible=False))
    steep = np.where(mark(), 4095, 3000 + noise(0, 900)).astype(np.uint16)
    made = encode_film(uid, encoder, steep, BitsStored=12, HighBit=11)
    seen = read_values(save_film(tmp_path, made, uid))
    assert seen[mark()].min() > 4000
    assert seen.max() <= 4095
