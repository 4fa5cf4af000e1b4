"""JPEG 2000 in a child with little memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imagecodecs import jpeg2k_encode

from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading.decoder import DecodedImage, Decoder
from tests import films
from tests.unit.imaging.test_jpeg2000 import noise, save_stream


@pytest.mark.slow
def test_a_film_of_27_megapixels_is_read_whatever_its_threads_took(tmp_path: Path) -> None:
    """Their stacks are free again when its greys ask for room."""
    side = 5250
    stream = bytes(jpeg2k_encode(films.shapes(3, side, side), codecformat="j2k", reversible=True, level=0))
    path = save_stream(tmp_path, stream, noise(8, 8, kind=np.uint16), Rows=side, Columns=side)
    decoder = Decoder(384, 60.0)
    try:
        decoder.warm()
        first = decoder.pid
        assert isinstance(decoder.begin(path, False, InputSpec("image", 224, 224), tmp_path / "shown"), DecodedImage)
        assert decoder.end()
        assert decoder.pid == first
    finally:
        decoder.close()
