"""The decode child and the reader agree on where a letterbox lies: it reaches beyond the film and is believed."""

from __future__ import annotations

from pathlib import Path

from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading.decoder import DecodedImage, DecodeOptions, Decoder
from tests import films


def test_a_letterboxed_film_comes_out_of_the_child_with_its_square(tmp_path: Path) -> None:
    path = films.save(tmp_path, "wide.dcm", films.film(films.shapes(3, 300, 620), BitsStored=12, HighBit=11))
    decoder = Decoder(384, 60.0)
    try:
        spec = InputSpec("film", 224, 224, resize="letterbox", channels=3, greys="full")
        found = decoder.begin(path, False, spec, tmp_path / "shown", DecodeOptions("middle", 1, "DX"))
        assert isinstance(found, DecodedImage), found
        assert decoder.end()
    finally:
        decoder.close()
    x0, y0, x1, y1 = found.box or (0, 0, 0, 0)
    assert (x0, x1, x1 - x0) == (0, 620, 620)
    assert abs((y1 - y0) - 620) <= 4
    assert y0 < 0 < 300 < y1
    assert found.arrays["input"].shape == (1, 3, 224, 224)
