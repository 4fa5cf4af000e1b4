"""A file that ends early is never taken for a whole one: not by the door, and not by what decodes it."""

from __future__ import annotations

import io
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.core.errors import ImagingError
from firmware_app.dicom import picture_formats
from firmware_app.dicom.errors import END_NOT_MARKED, IntakeError, Truncated
from firmware_app.dicom.header import examine_file
from firmware_app.imaging import image_file
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.ingest.intake import ImageIntake
from firmware_app.reading.decoder import DecodedImage, Decoder
from tests import clips
from tests.peers import pydicom_file
from tests.refusals import raises_refusal

STEP = 997
END_CODE = b"\0\0\1\xb9"
# 20 files that pydicom brings: every transfer syntax it has, one and many frames, grey and colour.
NAMES = [
    "693_J2KI.dcm",
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "JPEG-lossy.dcm",
    "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "JPGExtended.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "examples_palette.dcm",
    "rtdose_rle.dcm",
]
SPEC = InputSpec("image", 32, 32)


def frames(path: Path) -> list[np.ndarray[Any, Any]]:
    with image_file.open_image_file(path, is_picture=False) as opened:
        return [opened.grey(index) for index in range(opened.frames)]


def cuts(path: Path) -> Iterator[int]:
    """Shorten the file at *path* more and more, at every multiple of `STEP` and a little before its end."""
    size = path.stat().st_size
    for length in sorted({size - 2, *range(STEP, size, STEP)}, reverse=True):
        os.truncate(path, length)
        yield length


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_object_is_refused_at_the_door_and_no_cut_frame_is_decoded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(pydicom_file(name).read_bytes())
    whole = frames(path)
    examine_file(path)
    tried = 0
    for length in cuts(path):
        tried += 1
        with pytest.raises(IntakeError):
            examine_file(path)
        try:
            left = frames(path)
        except ImagingError:
            continue
        # Only what lies behind the pixels was cut: then every frame is there, and is the same.
        for decoded, expected in itertools.zip_longest(left, whole):
            np.testing.assert_array_equal(decoded, expected, err_msg=f"cut at {length}")
    assert tried >= 1


# --- pictures and clips -------------------------------------------------------------------------------------------


def _noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8))


def _save_picture(form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    _noise().save(out, form, **options)
    return out.getvalue()


def _with_thumbnail() -> bytes:
    """A photograph whose first kilobytes hold a whole small JPEG, end marker and all."""
    small = io.BytesIO()
    _noise().resize((40, 30)).save(small, "JPEG")
    return _save_picture("JPEG", exif=b"Exif\0\0" + small.getvalue())


def _forgetful_bmp() -> bytes:
    data = bytearray(_save_picture("BMP"))
    data[2:6] = bytes(4)  # some writers leave the size of the file out
    return bytes(data)


PICTURES: dict[str, Callable[[], bytes]] = {
    "png": lambda: _save_picture("PNG"),
    "jpeg": lambda: _save_picture("JPEG"),
    "progressive jpeg": lambda: _save_picture("JPEG", progressive=True),
    "jpeg with a thumbnail": _with_thumbnail,
    "bmp": lambda: _save_picture("BMP"),
    "bmp without its size": _forgetful_bmp,
    "webp": lambda: _save_picture("WEBP"),
    "tiff": lambda: _save_picture("TIFF"),
    "tiff, LZW": lambda: _save_picture("TIFF", compression="tiff_lzw"),
    "tiff, JPEG": lambda: _save_picture("TIFF", compression="jpeg"),
    "tiff of three pages": lambda: _save_picture("TIFF", save_all=True, append_images=[_noise(), _noise()]),
    "mp4": lambda: clips.encode_clip("libx264", "mp4", 30),
    "mp4, index first": lambda: clips.encode_clip("libx264", "mp4", 30, movflags="faststart"),
    "avi": lambda: clips.encode_clip("mjpeg", "avi", 30),
    "mpg": lambda: clips.encode_clip("mpeg1video", "mpeg", 30),
    "mpg of MPEG-2": lambda: clips.encode_clip("mpeg2video", "vob", 30),
    "mpg with its end code": lambda: clips.encode_clip("mpeg1video", "vcd", 30) + END_CODE,
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_cut_picture_or_clip_is_refused_at_the_door(tmp_path: Path, kind: str) -> None:
    data = PICTURES[kind]()
    path = tmp_path / "picture"
    path.write_bytes(data)
    suffix = picture_formats.detect_format(data[:64])
    assert suffix is not None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        picture_formats.check_complete(descriptor, suffix)
        for length in {len(data) - 3, *range(17, len(data) - 3, 211)}:
            os.truncate(path, length)
            with raises_refusal(END_NOT_MARKED if suffix == ".mpg" else Truncated):
                picture_formats.check_complete(descriptor, suffix)
            path.write_bytes(data)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("kind", ["mp4", "avi", "mpg"])
def test_a_clip_is_taken_by_the_door_and_read_by_the_child(
    tmp_path: Path, door: ImageIntake, child: Decoder, kind: str
) -> None:
    path = tmp_path / "clip"
    path.write_bytes(PICTURES[kind]())
    door.accept_file(path)
    [kept] = door.state.images.rglob(f"*.{kind}")
    answer = child.begin(kept, True, SPEC, tmp_path / "display")
    assert isinstance(answer, DecodedImage)
    assert (answer.frames, answer.rows, answer.columns) == (30, clips.ROWS, clips.COLUMNS)
    assert child.end()


def test_a_program_stream_that_does_not_say_where_it_ends_is_taken_for_a_cut_one() -> None:
    """Discs have packs in the middle, too, that are filled up."""
    disc, plain = clips.encode_clip("mpeg2video", "dvd", 20), clips.encode_clip("mpeg2video", "mpeg", 200, g="12")
    for stream in (disc, plain[:-2048]):
        assert not any(picture_formats.is_complete_program_stream(stream[:end]) for end in range(len(stream) + 1))
    for stream in (disc + END_CODE, plain, plain + END_CODE, plain + END_CODE + bytes(100)):
        assert picture_formats.is_complete_program_stream(stream)
    for stream in (plain + b"\0", plain + plain[:2048], END_CODE, plain[:12] + END_CODE, plain + END_CODE + plain):
        assert not picture_formats.is_complete_program_stream(stream)


def test_a_program_stream_of_tiny_packets_is_followed_for_a_bounded_time() -> None:
    stream = b"\0\0\1\xba" + b"\x21" * 8 + b"\0\0\1\xe0\0\1\0" * 3_000_000 + END_CODE
    begun = time.process_time()
    assert not picture_formats.is_complete_program_stream(stream)
    assert time.process_time() - begun < 2.0


@pytest.fixture(scope="module")
def child() -> Iterator[Decoder]:
    decoder = Decoder(1024, 20.0)
    decoder.warm()
    yield decoder
    decoder.close()
