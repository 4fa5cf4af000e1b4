"""Pixels that are converted a few rows at a time, or by another door to the same library, are the same to the bit."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg8_encode
from PIL import Image

from firmware_app.imaging import colour_models, grey_scale
from firmware_app.imaging.codec import jpeg

Pixels = np.ndarray[Any, Any]
# The last is a frame of more pixels in a row than are converted at once.
SHAPES = [(1, 1), (97, 130), (3, 60_000)]


def noise(rows: int, columns: int, *samples: int) -> Pixels:
    return np.random.default_rng(rows).integers(0, 256, (rows, columns, *samples)).astype(np.uint8)


def pillow(stream: bytes, mode: str | None) -> Pixels:
    with Image.open(io.BytesIO(stream)) as image:
        image.draft(mode, image.size)
        return np.asarray(image)


def encode_png(pixels: Pixels, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **how)
    return out.getvalue()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("flipped", [False, True])
def test_ycbcr_becomes_rgb_as_in_one_piece(shape: tuple[int, int], flipped: bool) -> None:
    samples = noise(*shape, 3)
    samples = samples[::-1, ::-1] if flipped else samples
    image = Image.frombytes("YCbCr", (shape[1], shape[0]), samples.tobytes())
    assert np.array_equal(colour_models.ybr_full_to_rgb(samples), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_luminance_is_as_in_one_piece(shape: tuple[int, int], kind: type) -> None:
    rgb: Pixels = noise(*shape, 3).astype(kind) * (257 if kind is np.uint16 else 1)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    assert np.array_equal(grey_scale.luminance(rgb), rgb.astype(np.float32) @ weights)


@pytest.mark.parametrize("how", [{}, {"progressive": True, "restart_marker_rows": 2}], ids=lambda how: str(list(how)))
@pytest.mark.parametrize("subsampling", [None, 0, 1, 2])
def test_samples_of_a_jpeg_are_those_that_pillow_gives(how: dict[str, Any], subsampling: int | None) -> None:
    if subsampling is None:
        stream = encode_png(noise(97, 130), quality=75, **how)
        assert np.array_equal(jpeg.decode_jpeg_samples(stream, 1, 8), pillow(stream, None))
    else:
        stream = encode_png(noise(97, 130, 3), quality=75, subsampling=subsampling, **how)
        assert np.array_equal(jpeg.decode_jpeg_samples(stream, 3, 8), pillow(stream, "YCbCr"))


def test_rgb_that_is_stored_as_such_is_not_converted() -> None:
    stream = bytes(jpeg8_encode(noise(97, 130, 3), colorspace="RGB", outcolorspace="RGB", level=95))
    assert colour_models.model_of_stream(stream) == "RGB"
    assert np.array_equal(jpeg.decode_jpeg_samples(stream, 3, 8), pillow(stream, None))


def test_four_inks_of_a_picture_are_checked_too() -> None:
    out = io.BytesIO()
    Image.fromarray(noise(97, 130, 4), "CMYK").save(out, "JPEG")
    jpeg.check_lost_data(out.getvalue())
