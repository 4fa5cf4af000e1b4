"""Frames behind the last one that the header names are left out, and the reading says that they are there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1, RLELossless

from firmware_app.imaging import image_file
from firmware_app.reading.hints import FRAMES_LEFT
from tests import films, lossless_jpeg

Pixels = np.ndarray[Any, Any]
SIDE = 64


def slope() -> Pixels:
    steps = np.add.outer(np.arange(SIDE), np.arange(SIDE)) + np.random.default_rng(4).integers(0, 9, (SIDE, SIDE))
    return steps.astype(np.uint8)


def three(syntax: str) -> tuple[FileDataset, Pixels]:
    frames = np.stack([slope(), slope()[::-1], slope().T[::-1]])
    if syntax == "native":
        return films.film(frames[0], pixel_data=frames.tobytes()), frames
    if syntax == "lossless":
        streams = [lossless_jpeg.encode_lossless(frame, 8) for frame in frames]
        return films.film(frames[0], syntax=JPEGLosslessSV1, pixel_data=encapsulate(streams, has_bot=False)), frames
    if syntax == "run lengths":
        streams = []
        for frame in frames:
            one = films.film(np.ascontiguousarray(frame))
            one.compress(RLELossless)
            streams.append(get_frame(one.PixelData, 0, number_of_frames=1))
        return films.film(frames[0], syntax=RLELossless, pixel_data=encapsulate(streams)), frames
    streams = []
    for frame in frames:
        out = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(frame)).save(out, "JPEG", quality=95)
        streams.append(out.getvalue())
    return films.film(frames[0], syntax=JPEGBaseline8Bit, pixel_data=encapsulate(streams)), frames


@pytest.mark.parametrize("named", [None, 2])
@pytest.mark.parametrize("syntax", ["native", "lossless", "baseline", "run lengths"])
def test_frames_beyond_those_of_the_header_are_hinted_at(tmp_path: Path, syntax: str, named: int | None) -> None:
    made, frames = three(syntax)
    if named is not None:
        made.NumberOfFrames = named
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        assert opened.frames == max(1, named or 1)
        last = opened.frames - 1
        np.testing.assert_allclose(opened.grey(last), frames[last], atol=8 if syntax == "baseline" else 0)
        assert FRAMES_LEFT in opened.hints


@pytest.mark.parametrize("syntax", ["native", "lossless", "baseline", "run lengths"])
def test_nothing_is_hinted_where_the_header_names_every_frame(tmp_path: Path, syntax: str) -> None:
    made, frames = three(syntax)
    made.NumberOfFrames = 3
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        np.testing.assert_allclose(opened.grey(2), frames[2], atol=8 if syntax == "baseline" else 0)
        assert opened.hints == ()
