"""A phone's photograph of a film is read; what is too large is refused by its header, and never called damaged."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.core.records import Reason
from firmware_app.imaging import image_file, picture
from firmware_app.imaging.errors import FrameTooLarge
from firmware_app.imaging.input_spec import Demands, InputSpec
from firmware_app.reading.decoder import DecodedImage, DecodeOptions, Decoder
from firmware_app.reading.hints import PIXEL_HINTS
from tests import films

MEMORY_MB = 384
SPEC = InputSpec("image", 224, 224, crop="frame")
CARE = DecodeOptions("middle", 1, "DX", Demands("chest_film"))


def photograph(rows: int, columns: int) -> Image.Image:
    """A film in soft shapes, taken by a camera that has noise and a yellow lamp beside it."""
    shapes = films.shapes(1, rows // 8, columns // 8)
    greys = Image.fromarray((shapes.astype(np.float32) * (240 / shapes.max())).astype(np.uint8))
    soft = np.asarray(greys.resize((columns, rows), Image.Resampling.BILINEAR))
    noisy = Image.fromarray(soft + np.random.default_rng(1).integers(0, 10, soft.shape, np.uint8))
    return Image.merge("RGB", (noisy.point(lambda grey: min(grey + 4, 255)), noisy, noisy))


@pytest.fixture(scope="module")
def square() -> Image.Image:
    return photograph(4096, 4096)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(MEMORY_MB, 60.0)
    made.warm()
    yield made
    made.close()


def read_picture(decoder: Decoder, path: Path, shown: Path) -> DecodedImage:
    """*path*, read for a model and shown to people by one child."""
    first = decoder.pid
    decoded = decoder.begin(path, path.suffix != ".dcm", SPEC, shown, CARE)
    assert isinstance(decoded, DecodedImage), decoded
    assert decoder.end()
    assert decoder.pid == first
    return decoded


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("film.png", {"compress_level": 1}),
        ("film.jpg", {"quality": 90, "progressive": True, "subsampling": 0}),
        ("film.tif", {"compression": "tiff_lzw"}),
        ("film.webp", {"method": 0}),
    ],
)
def test_a_picture_of_16_megapixels_in_colour_is_read_whole(
    tmp_path: Path, decoder: Decoder, square: Image.Image, name: str, options: dict[str, Any]
) -> None:
    square.save(tmp_path / name, **options)
    decoded = read_picture(decoder, tmp_path / name, tmp_path / "shown")
    assert (decoded.rows, decoded.columns, decoded.hints) == (4096, 4096, ())


@pytest.mark.parametrize(
    ("name", "rows", "columns", "shown"),
    [
        ("film.jpg", 9000, 12000, (2250, 3000)),  # 108
        ("film.tif", 6000, 8000, (3000, 4000)),  # 48
    ],
)
def test_a_phones_photograph_is_read_smaller_than_it_was_taken_and_says_so(
    tmp_path: Path, decoder: Decoder, name: str, rows: int, columns: int, shown: tuple[int, int]
) -> None:
    options: dict[str, Any] = {"compress_level": 1} if name == "film.png" else {}
    photograph(rows, columns).save(tmp_path / name, **options)
    decoded = read_picture(decoder, tmp_path / name, tmp_path / "shown")
    assert (decoded.rows, decoded.columns) == shown
    assert decoded.hints == (picture.REDUCED_HINT,)
    assert picture.REDUCED_HINT in PIXEL_HINTS


def draw_picture(mode: str, rows: int = 90, columns: int = 70) -> Image.Image:
    soft = np.asarray(photograph(8 * 12, 8 * 10).convert("L").resize((columns, rows)))
    if mode == "I;16":
        return Image.fromarray(soft.astype(np.uint16) * 200)
    if mode == "F":
        return Image.fromarray(soft.astype(np.float32) / 7)
    return Image.fromarray(soft).convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix", "orientation"),
    [
        ("LA", ".png", 1),
        ("P", ".png", 6),
        ("I;16", ".png", 1),
        ("F", ".tif", 6),
        ("RGB", ".jpg", 6),
        ("CMYK", ".jpg", 1),
    ],
)
def test_made_smaller_it_is_the_same_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"film{suffix}"
    draw_picture(mode).save(path, exif=exif)
    with image_file.open_image_file(path, is_picture=True) as opened:
        whole, seen = opened.grey(0), opened.render_frame(0)
        assert opened.hints == ()
    monkeypatch.setattr(picture, "WHOLE_PX", 90 * 70 // 4)
    monkeypatch.setattr(picture, "_STRIP_PX", 1000)
    with image_file.open_image_file(path, is_picture=True) as opened:
        smaller, shown = opened.grey(0), opened.render_frame(0)
        assert (opened.rows, opened.columns) == smaller.shape == (whole.shape[0] // 2, whole.shape[1] // 2)
        assert opened.hints == (picture.REDUCED_HINT,)
    means = whole.reshape(smaller.shape[0], 2, smaller.shape[1], 2).mean((1, 3))
    span = float(np.ptp(whole))
    assert np.abs(smaller - means).max() < (0.05 if suffix == ".jpg" else 0.01) * span
    assert (shown.pixels.dtype, shown.pixels.ndim) == (seen.pixels.dtype, seen.pixels.ndim)


def png_head(columns: int, rows: int, *, bits: int = 8, colour: int = 2) -> bytes:
    head = b"IHDR" + pack(">LLBBBBB", columns, rows, bits, colour, 0, 0, 0)
    body = b"".join(
        pack(">L", len(chunk) - 4) + chunk + pack(">L", zlib.crc32(chunk))
        for chunk in (head, b"IDAT" + zlib.compress(b""), b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_head(columns: int, rows: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG", **options)
    return buffer.getvalue().replace(pack(">HH", 64, 64), pack(">HH", rows, columns))


@pytest.mark.parametrize(
    ("name", "data", "limit"),
    [
        ("film.png", png_head(8000, 7000), 54),
        ("film.png", png_head(16_000, 9_000, colour=0), 134),
        ("film.jpg", jpeg_head(16_000, 9_000), 134),
        ("film.jpg", jpeg_head(9_000, 9_000, progressive=True, subsampling=0), 36),
    ],
)
def test_what_is_too_large_is_refused_by_its_header_with_its_size_and_the_limit(
    tmp_path: Path, name: str, data: bytes, limit: int
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FrameTooLarge) as refused, image_file.open_image_file(tmp_path / name, is_picture=True):
        pass
    error = refused.value
    assert error.megapixels == limit
    assert error.columns * error.rows > 1e6 * limit
    for number in (error.columns, error.rows, limit):
        assert str(number) in error.text()
    assert "fewer pixels" in error.text()


@pytest.mark.parametrize("memory_mb", [96, 192])
def test_memory_that_is_too_little_is_called_so_and_loses_no_child(
    tmp_path: Path, square: Image.Image, memory_mb: int
) -> None:
    square.save(tmp_path / "film.png", compress_level=1)
    decoder = Decoder(memory_mb, 60.0)
    try:
        decoder.warm()
        decoded = decoder.begin(tmp_path / "film.png", True, SPEC, tmp_path / "shown", CARE)
        assert isinstance(decoded, DecodedImage | Reason)
        assert isinstance(decoded, DecodedImage) == (memory_mb == 192)
        if isinstance(decoded, Reason):
            assert decoded.code == "imaging.memory"
            assert "need not be damaged" in decoded.text("en")
    finally:
        decoder.close()
