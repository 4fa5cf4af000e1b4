"""A file that lies about its pixels is refused by its numbers, before memory is taken or a decoder is asked."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from firmware_app.core.errors import ImagingError, Undecodable
from firmware_app.imaging import image_file
from firmware_app.imaging.errors import FrameTooLarge, NoPixels, PixelsUnsupported
from tests import films


def refusal(path: Path) -> ImagingError:
    """How the file is refused, and that no more than a few megabytes were taken for it."""
    tracemalloc.start()
    try:
        with pytest.raises(ImagingError) as refused, image_file.open_image_file(path, is_picture=False) as opened:
            opened.grey(0)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert refused.value.text("en")
    return refused.value


def rle_bomb(rows: int, columns: int) -> FileDataset:
    header = np.array([1, 64] + [0] * 14, "<u4").tobytes()
    return films.film(
        np.zeros((1, 1), np.uint8),
        syntax=RLELossless,
        Rows=rows,
        Columns=columns,
        pixel_data=encapsulate([header + b"\x81\x00" * 400]),
    )


@pytest.mark.parametrize(("side", "kind"), [(65535, FrameTooLarge), (5000, Undecodable)])
def test_a_kilobyte_of_rle_does_not_become_gigabytes(tmp_path: Path, side: int, kind: type[ImagingError]) -> None:
    assert isinstance(refusal(films.save(tmp_path, "bomb.dcm", rle_bomb(side, side))), kind)


def jpeg(rows: int, columns: int, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((rows, columns), np.uint8)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("syntax", "kind"), [(JPEG2000Lossless, "JPEG2000"), (JPEGBaseline8Bit, "JPEG")])
def test_a_stream_larger_than_its_header_says_is_not_decoded(tmp_path: Path, syntax: Any, kind: str) -> None:
    dataset = films.film(np.zeros((64, 64), np.uint8), syntax=syntax, pixel_data=encapsulate([jpeg(3000, 3000, kind)]))
    assert "3000" in str(refusal(films.save(tmp_path, "bomb.dcm", dataset)))


def jpeg2000(rows: int, columns: int, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((rows, columns), np.uint8)).save(out, "JPEG2000", no_jp2=True, **how)
    return out.getvalue()


def claiming(stream: bytes, rows: int, columns: int, tile: tuple[int, int] | None = None) -> bytes:
    """*stream* with the size of its image, and of its *tile*, written over (ISO/IEC 15444-1 A.5.1)."""
    changed = bytearray(stream)
    changed[8:16] = columns.to_bytes(4, "big") + rows.to_bytes(4, "big")
    if tile is not None:
        changed[24:32] = tile[1].to_bytes(4, "big") + tile[0].to_bytes(4, "big")
    return bytes(changed)


def refused_jpeg2000(folder: Path, stream: bytes, rows: int, columns: int) -> str:
    pixels = np.zeros((1, 1), np.uint8)
    made = films.film(pixels, syntax=JPEG2000Lossless, Rows=rows, Columns=columns, pixel_data=encapsulate([stream]))
    return str(refusal(films.save(folder, "bomb.dcm", made)))


@pytest.mark.parametrize(("rows", "columns"), [(8000, 4000), (128, 128)])
def test_a_jpeg_2000_that_claims_more_tiles_than_it_has_is_not_decoded(tmp_path: Path, rows: int, columns: int) -> None:
    """With one tile of 64 × 64 in it and the end-of-codestream marker where it belongs."""
    assert refused_jpeg2000(tmp_path, claiming(jpeg2000(64, 64), rows, columns), rows, columns)


@pytest.mark.parametrize("how", [{}, {"tile_size": (500, 300), "precinct_size": (128, 128), "progression": "RPCL"}])
def test_a_black_frame_that_nearly_nothing_is_left_of_is_read(tmp_path: Path, how: dict[str, Any]) -> None:
    side = 1000 if how else 2000
    stream = jpeg2000(side, side, **how)
    assert how or len(stream) < 200
    made = films.film(
        np.zeros((1, 1), np.uint8), syntax=JPEG2000Lossless, Rows=side, Columns=side, pixel_data=encapsulate([stream])
    )
    with image_file.open_image_file(films.save(tmp_path, "black.dcm", made), is_picture=False) as opened:
        assert not opened.grey(0).any()


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"Rows": 60000, "Columns": 60000}, FrameTooLarge),
        ({"Rows": 400}, Undecodable),
        ({"NumberOfFrames": 1000}, Undecodable),
        ({"Rows": 0}, NoPixels),
        ({"Columns": None}, NoPixels),
        ({"BitsAllocated": 12}, PixelsUnsupported),
        ({"BitsStored": 17}, PixelsUnsupported),
        ({"HighBit": 3}, PixelsUnsupported),
        ({"SamplesPerPixel": 4}, PixelsUnsupported),
        ({"PhotometricInterpretation": "CMYK"}, PixelsUnsupported),
        ({"NumberOfFrames": 2_000_000_000}, PixelsUnsupported),
        ({"RescaleSlope": "1e300"}, Undecodable),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    tmp_path: Path, attributes: dict[str, Any], kind: type[ImagingError]
) -> None:
    assert isinstance(refusal(films.save(tmp_path, "odd.dcm", films.film(**attributes))), kind)


def test_a_deflated_data_set_is_refused(tmp_path: Path) -> None:
    dataset = films.film(np.zeros((70, 70), np.uint8), syntax=DeflatedExplicitVRLittleEndian)
    assert isinstance(refusal(films.save(tmp_path, "deflated.dcm", dataset)), PixelsUnsupported)


def test_an_object_without_pixels_says_so(tmp_path: Path) -> None:
    dataset = films.film()
    del dataset.PixelData
    assert isinstance(refusal(films.save(tmp_path, "report.dcm", dataset)), NoPixels)
