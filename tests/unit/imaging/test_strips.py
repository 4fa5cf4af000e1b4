"""Pixels that are converted a few rows at a time, or by another door to the same library, are the same to the bit."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.imaging.codec import jpeg

Pixels = np.ndarray[Any, Any]


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


@pytest.mark.parametrize("how", [{}, {"progressive": True, "restart_marker_rows": 2}], ids=lambda how: str(list(how)))
@pytest.mark.parametrize("subsampling", [None, 0, 1, 2])
def test_samples_of_a_jpeg_are_those_that_pillow_gives(how: dict[str, Any], subsampling: int | None) -> None:
    if subsampling is None:
        stream = encode_png(noise(97, 130), quality=75, **how)
        assert np.array_equal(jpeg.decode_jpeg_samples(stream, 1, 8), pillow(stream, None))
    else:
        stream = encode_png(noise(97, 130, 3), quality=75, subsampling=subsampling, **how)
        assert np.array_equal(jpeg.decode_jpeg_samples(stream, 3, 8), pillow(stream, "YCbCr"))
