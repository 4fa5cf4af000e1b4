"""JPEG lossless in all its forms gives back every word, and what is no such stream is an error and no crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg8_encode
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import dicom_image, image_file
from firmware_app.imaging.codec.stored_frames import FrameReader
from tests import films, lossless_jpeg

Pixels = np.ndarray[Any, Any]
CHANCE = np.random.default_rng(9)
ROWS, COLUMNS = 6, 7


def noise(bits: int, *more: int) -> Pixels:
    return CHANCE.integers(0, 1 << bits, (ROWS, COLUMNS, *more), dtype=np.uint32).astype(np.uint16)


def write_object(folder: Path, stream: bytes, bits: int, samples: int = 1, **attributes: Any) -> Path:
    """A DICOM object around *stream*."""
    allocated = 8 if bits <= 8 else 16
    frame = np.zeros((ROWS, COLUMNS) if samples == 1 else (ROWS, COLUMNS, samples), f"u{allocated // 8}")
    depth = {"BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1}
    made = films.film(frame, syntax=JPEGLossless, pixel_data=encapsulate([stream]), **depth | attributes)
    return films.save(folder, "lossless.dcm", made)


def words(path: Path) -> Pixels:
    with image_file.open_image_file(path, is_picture=False) as opened:
        assert isinstance(opened, dicom_image.DicomImage)
        return FrameReader(opened.source).frame(0)


@pytest.mark.parametrize(("bits", "predictor"), [(2, 1), (8, 2), (9, 3), (12, 4), (15, 5), (16, 6), (16, 7)])
def test_every_predictor_and_precision_gives_back_the_words(tmp_path: Path, bits: int, predictor: int) -> None:
    pixels = noise(bits)
    np.testing.assert_array_equal(
        words(write_object(tmp_path, lossless_jpeg.encode_lossless(pixels, bits, predictor), bits)), pixels
    )


@pytest.mark.parametrize(("shift", "lines"), [(3, 0), (0, 1), (2, 2)])
def test_a_point_transform_and_restarts_are_followed(tmp_path: Path, shift: int, lines: int) -> None:
    bits, predictor, pixels = 12, 4, noise(12)
    decoded = words(write_object(tmp_path, lossless_jpeg.encode_lossless(pixels, bits, predictor, shift, lines), bits))
    np.testing.assert_array_equal(decoded, pixels >> shift << shift)


def test_the_sign_is_that_of_the_bits_that_are_stored(tmp_path: Path) -> None:
    values = np.array([[-2048, -1], [0, 2047]])
    stream = lossless_jpeg.encode_lossless(np.asarray(values & 0xFFF, np.uint16), 12)
    made = films.film(
        np.zeros((2, 2), np.int16), syntax=JPEGLosslessSV1, pixel_data=encapsulate([stream]), BitsStored=12, HighBit=11
    )
    with image_file.open_image_file(films.save(tmp_path, "signed.dcm", made), is_picture=False) as opened:
        assert isinstance(opened, dicom_image.DicomImage)
        np.testing.assert_array_equal(opened.read_modality_values(0), values)


@pytest.mark.parametrize(
    "broken",
    [
        lambda stream: stream.replace(b"\xff\xc3", b"\xff\xcb"),  # arithmetic coding
        lambda stream: stream.replace(b"\xff\xc4", b"\xff\xe5"),  # without a table of codes
        lambda stream: stream.replace(b"\xff\xc3\x00\x0b\x0c", b"\xff\xc3\x00\x0b\x11"),  # 17 bits a sample
        lambda stream: stream.replace(b"\xff\xda\x00\x08\x01\x01\x00\x01", b"\xff\xda\x00\x08\x01\x01\x00\x09"),
    ],
    ids=["arithmetic", "no codes", "17 bits", "no such predictor"],
)
def test_a_broken_stream_is_undecodable_and_ends_no_process(tmp_path: Path, broken: Any) -> None:
    stream = lossless_jpeg.encode_lossless(noise(12), 12)
    path = write_object(tmp_path, broken(stream), 12)
    with image_file.open_image_file(path, is_picture=False) as opened, pytest.raises(Undecodable):
        opened.grey(0)


@pytest.mark.parametrize(("bits", "allocated", "samples"), [(12, 8, 1), (8, 8, 3)])
def test_a_stream_with_more_than_its_header_says_is_undecodable(
    tmp_path: Path, bits: int, allocated: int, samples: int
) -> None:
    stream = lossless_jpeg.encode_lossless(noise(bits, *([samples] if samples > 1 else [])), bits)
    with (
        image_file.open_image_file(write_object(tmp_path, stream, allocated), is_picture=False) as opened,
        pytest.raises(Undecodable),
    ):
        opened.grey(0)


def read_values(path: Path) -> Pixels:
    with image_file.open_image_file(path, is_picture=False) as opened:
        assert isinstance(opened, dicom_image.DicomImage)
        return opened.read_modality_values(0)


@pytest.mark.parametrize("subsampling", ["444", "422"])
def test_12_bits_in_colour_come_back_within_what_jpeg_loses(tmp_path: Path, subsampling: str) -> None:
    pixels = np.zeros((64, 64, 3), np.uint16)
    pixels[...] = (3000, 1500, 700)
    pixels[:32] = (200, 200, 200)
    stream = bytes(jpeg8_encode(pixels, level=98, bitspersample=12, subsampling=subsampling))
    made = films.film(
        pixels,
        syntax=JPEGExtended12Bit,
        pixel_data=encapsulate([stream]),
        BitsStored=12,
        HighBit=11,
        PhotometricInterpretation="YBR_FULL_422",
    )
    with image_file.open_image_file(films.save(tmp_path, "colour.dcm", made), is_picture=False) as opened:
        assert isinstance(opened, dicom_image.DicomImage)
        rgb = opened.rgb(0).astype(np.float64)
        np.testing.assert_allclose(rgb[8:24, 8:56], 200, atol=12)
        np.testing.assert_allclose(rgb[40:56, 8:56], np.broadcast_to((3000, 1500, 700), (16, 48, 3)), atol=12)
        assert opened.render_frame(0).pixels.dtype == np.uint8
