"""A picture that was made smaller says so wherever it is shown: without a model, refused, and before it is decoded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firmware_app.imaging import image_file, picture
from tests import films, reading_rig, toy_pack
from tests.reading_rig import Rig

SIDE = 4200
"""17.6 megapixels."""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Rig]:
    packs = tmp_path / "packs"
    toy_pack.write(packs, "toy-adult", "adult", 18, None)
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as made:
        yield made


def jpeg(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("forced", "code"), [(None, "reading.modality_unknown"), ("toy-adult", "quality.blank")], ids=["no pack", "refused"]
)
def test_a_picture_made_smaller_says_so_on_a_case_without_a_number(box: Rig, forced: str | None, code: str) -> None:
    photograph = box.admit_bytes(jpeg(np.full((SIDE, SIDE), 90, np.uint8)), None)
    reading = box.read(photograph, forced=forced)
    assert reading_rig.read_reason_code(reading) == code
    assert picture.REDUCED_HINT in [hint.code for hint in reading.quality.hints]
    with Image.open(box.state.display / photograph.reference / "frame-000.png") as shown:
        assert max(shown.size) < SIDE


def test_a_colour_object_that_no_pack_reads_says_how_its_colours_were_understood(box: Rig) -> None:
    """Only its pixels tell: the header says YBR_FULL, and the stream that it is RGB."""
    pixels = np.zeros((64, 60, 3), np.uint8)
    pixels[..., 0] = films.shapes(1, 64, 60, 255)
    dataset = films.film(pixels, Modality="OT", PhotometricInterpretation="YBR_FULL")
    assert "hint.colours_corrected" in [hint.code for hint in box.read(dataset).quality.hints]


@pytest.mark.parametrize("large", [0, 1])
def test_of_a_tiff_with_one_large_page_it_is_known_before_any_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(picture, "WHOLE_PX", 1000)
    pages = [Image.new("L", (90, 70) if number == large else (30, 20)) for number in range(2)]
    pages[0].save(tmp_path / "film.tif", save_all=True, append_images=pages[1:])
    with image_file.open_image_file(tmp_path / "film.tif", is_picture=True) as opened:
        assert opened.hints == (picture.REDUCED_HINT,)
        opened.grey(1 - large)
        assert opened.hints == (picture.REDUCED_HINT,)
