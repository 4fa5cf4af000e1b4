"""Pixels that are converted a few rows at a time, or by another door to the same library, are the same to the bit."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg8_decode, jpeg8_encode
from PIL import Image

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import colour_models, dicom_source, grey_scale
from firmware_app.imaging.codec import codestream, jpeg

Pixels = np.ndarray[Any, Any]
# The last is a frame of more pixels in a row than are converted at once.
SHAPES = [(1, 1), (1, 700), (700, 1), (97, 130), (600, 800), (3, 60_000)]


def noise(rows: int, columns: int, *samples: int) -> Pixels:
    return np.random.default_rng(rows).integers(0, 256, (rows, columns, *samples)).astype(np.uint8)


def pillow(stream: bytes, mode: str | None) -> Pixels:
    with Image.open(io.BytesIO(stream)) as image:
        image.draft(mode, image.size)
        return np.asarray(image)


def saved(pixels: Pixels, **how: Any) -> bytes:
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


@pytest.mark.parametrize("quality", [20, 75, 100])
@pytest.mark.parametrize(
    "how", [{}, {"progressive": True}, {"restart_marker_rows": 2}, {"optimize": True}], ids=lambda how: str(list(how))
)
@pytest.mark.parametrize("subsampling", [None, 0, 1, 2])
def test_samples_of_a_jpeg_are_those_that_pillow_gives(
    how: dict[str, Any], quality: int, subsampling: int | None
) -> None:
    if subsampling is None:
        stream = saved(noise(97, 130), quality=quality, **how)
        assert np.array_equal(jpeg.decode_8_bit_jpeg(stream, 1), pillow(stream, None))
    else:
        stream = saved(noise(97, 130, 3), quality=quality, subsampling=subsampling, **how)
        assert np.array_equal(jpeg.decode_8_bit_jpeg(stream, 3), pillow(stream, "YCbCr"))


def damaged(stream: bytes, chance: random.Random) -> bytes:
    at, many = chance.randrange(2, len(stream) - 2), chance.randrange(1, 200)
    return chance.choice(
        (
            stream[:at] + chance.randbytes(1) + stream[at + 1 :],
            stream[:at] + chance.randbytes(many) + stream[at:],
            stream[:at] + stream[at + many :],
            stream[:at] + stream[-2:],
        )
    )


def answer(decode: Callable[[bytes], Pixels], stream: bytes) -> bytes | None:
    try:
        return decode(stream).tobytes()
    except dicom_source.HEADER_ERRORS:
        return None


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_rows": 2}], ids=lambda how: str(list(how)))
def test_damaged_streams_come_out_as_from_pillow(how: dict[str, Any], samples: int) -> None:
    """Of those that are given to a decoder at all, the same ones are refused, and of others the same is made."""
    chance, seen = random.Random(11), 0
    pixels = noise(97, 130) if samples == 1 else noise(97, 130, 3)
    mode, space = (None, "GRAYSCALE") if samples == 1 else ("YCbCr", "YCBCR")
    whole = saved(pixels, **how)
    for _ in range(200):
        stream = damaged(whole, chance)
        with suppress(Undecodable):
            codestream.check_stream(stream, 97, 130, rle=False, frame_bytes=pixels.size)
            if codestream.read_depth(stream) == (8, samples) and colour_models.model_of_stream(stream) != "RGB":
                ours = answer(lambda given: np.asarray(jpeg8_decode(given, outcolorspace=space)), stream)
                assert ours == answer(lambda given: pillow(given, mode), stream)
                seen += 1
    assert seen > 20


def test_rgb_that_is_stored_as_such_is_not_converted() -> None:
    stream = bytes(jpeg8_encode(noise(97, 130, 3), colorspace="RGB", outcolorspace="RGB", level=95))
    assert colour_models.model_of_stream(stream) == "RGB"
    assert np.array_equal(jpeg.decode_8_bit_jpeg(stream, 3), pillow(stream, None))


@pytest.mark.parametrize("samples", [1, 3])
def test_a_jpeg_of_other_samples_or_bits_than_asked_for_is_refused(samples: int) -> None:
    """libjpeg gives the lightness alone of colours when it is asked for greys."""
    pixels = noise(97, 130, 3) if samples == 1 else noise(97, 130)
    with pytest.raises(ValueError, match="other samples"):
        jpeg.decode_8_bit_jpeg(saved(pixels), samples)
    deep = bytes(jpeg8_encode(noise(97, 130).astype(np.uint16), bitspersample=12, level=95))
    with pytest.raises(ValueError, match="other samples"):
        jpeg.decode_8_bit_jpeg(deep, 1)


def test_four_inks_of_a_picture_are_checked_too() -> None:
    out = io.BytesIO()
    Image.fromarray(noise(97, 130, 4), "CMYK").save(out, "JPEG")
    jpeg.check_lost_data(out.getvalue())
