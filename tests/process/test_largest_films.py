"""A film as large as the box takes any is read and shown, by the one child and within its memory.

One with padding is shown where no model reads it: reading it takes more memory than there is (`imaging.memory`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading.decoder import DecodedImage, Decoder
from tests import films

MEMORY_MB = 384
SPEC = InputSpec("image", 224, 224)
SIDE = 5760
WINDOW: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 3000}
PADDED: dict[str, Any] = {**WINDOW, "PixelPaddingValue": 0}


@pytest.fixture(scope="module")
def largest() -> np.ndarray[Any, Any]:
    """33.2 million pixels; 33.6 are allowed."""
    greys = np.kron(films.shapes(7, SIDE // 8, SIDE // 8), np.ones((8, 8), np.uint16))
    greys[:, :200] = 0  # what a padding value covers
    return greys


@pytest.mark.parametrize(
    ("spec", "attributes"),
    [(SPEC, WINDOW), (None, {**PADDED, "PhotometricInterpretation": "MONOCHROME1"})],
    ids=["window", "inverted"],
)
def test_the_largest_film_is_shown_by_the_child_that_read_it(
    tmp_path: Path, largest: np.ndarray[Any, Any], spec: InputSpec | None, attributes: dict[str, Any]
) -> None:
    path, shown = (
        films.save(tmp_path, "film.dcm", films.film(largest, BitsStored=12, HighBit=11, **attributes)),
        tmp_path,
    )
    decoder = Decoder(MEMORY_MB, 60.0)
    try:
        decoder.warm()
        child = decoder.pid
        assert isinstance(decoder.begin(path, False, spec, shown), DecodedImage)
        assert decoder.end()
        assert decoder.pid == child
    finally:
        decoder.close()
    facts = json.loads((shown / "frame-000.json").read_text())
    assert (facts["rows"], facts["columns"], facts["shown_rows"], facts["shown_columns"]) == (SIDE, SIDE, 2048, 2048)
    with Image.open(shown / "frame-000.png") as image:
        assert image.size == (2048, 2048)
