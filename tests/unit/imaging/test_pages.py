"""What stands behind the first picture of a file: a phone's copies are passed by, other pages are never read unsaid."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.imaging import image_file, model_frames
from firmware_app.imaging.errors import IMAGE_OF_PAGES
from firmware_app.imaging.input_spec import InputSpec
from tests import films
from tests.refusals import raises_refusal

SPEC = InputSpec("input", 48, 40)
SMALLER_COPY = {254: 1}
MASK = {254: 4}
OLD_SMALLER_COPY = {255: 2}


def page(number: int, rows: int = 128, columns: int = 96, mode: str = "L") -> Image.Image:
    return Image.fromarray((films.shapes(number, rows, columns) >> 4).astype(np.uint8)).convert(mode)


def tiff(folder: Path, pages: list[Image.Image], tags: dict[int, dict[int, int]] | None = None) -> Path:
    """A TIFF of *pages*, those of which *tags* has numbers with these tags beside their own."""
    for number, one in enumerate(pages):
        one.encoderinfo = {"tiffinfo": (tags or {}).get(number, {})}
    path = folder / "film.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], **pages[0].encoderinfo)
    return path


def prepare_pages(path: Path, modality: str = "CR", **how: Any) -> tuple[model_frames.ModelFrames, int]:
    with image_file.open_image_file(path, is_picture=True) as opened:
        return model_frames.prepare_frames(opened, SPEC, modality=modality, **how), opened.frames


@pytest.mark.parametrize("second", [page(2), page(2, mode="RGB")])
def test_a_tiff_of_two_films_is_given_no_number(tmp_path: Path, second: Image.Image) -> None:
    path = tiff(tmp_path, [page(1), second])
    with raises_refusal(IMAGE_OF_PAGES) as refused:
        prepare_pages(path)
    assert refused.value.pages == 2
    with image_file.open_image_file(path, is_picture=True) as opened:  # and people are shown both
        assert [opened.render_frame(index).pixels.shape[:2] for index in range(opened.frames)] == [
            (128, 96),
            (second.height, second.width),
        ]


def test_pages_of_one_size_are_the_frames_of_an_ultrasound_clip(tmp_path: Path) -> None:
    taken, frames = prepare_pages(tiff(tmp_path, [page(1), page(2), page(3)]), "US", rule="interval", budget=3)
    assert (taken.read, frames) == ((0, 1, 2), 3)


@pytest.mark.parametrize("second", [page(2, 96, 128), page(2, mode="RGB")])
def test_pages_of_two_sizes_or_kinds_are_no_clip(tmp_path: Path, second: Image.Image) -> None:
    with raises_refusal(IMAGE_OF_PAGES):
        prepare_pages(tiff(tmp_path, [page(1), second]), "US", rule="interval", budget=3)


@pytest.mark.parametrize("tags", [SMALLER_COPY, MASK, OLD_SMALLER_COPY])
@pytest.mark.parametrize("place", [0, 1])
def test_a_smaller_copy_or_a_mask_in_a_tiff_is_no_page_of_its_own(
    tmp_path: Path, tags: dict[int, int], place: int
) -> None:
    pages = [page(1), page(1)]
    pages[place] = page(1, 64, 48)
    path = tiff(tmp_path, pages, {place: tags})
    _, frames = prepare_pages(path)
    with image_file.open_image_file(path, is_picture=True) as opened:
        assert frames == 1
        assert (opened.rows, opened.columns) == (128, 96)
        np.testing.assert_array_equal(opened.grey(0), np.asarray(page(1)))


def phone_picture() -> bytes:
    """A JPEG with a smaller one behind it, as the index in its header says (CIPA DC-007 5.1)."""
    out = io.BytesIO()
    page(1).save(out, "MPO", save_all=True, append_images=[page(2, 64, 48)], quality=95)
    whole = out.getvalue()
    assert b"MPF\0" in whole
    return whole


@pytest.mark.parametrize("modality", ["CR", "US"])
def test_a_phones_picture_is_its_first(tmp_path: Path, modality: str) -> None:
    path = tmp_path / "phone.jpg"
    path.write_bytes(phone_picture())
    taken, frames = prepare_pages(path, modality, rule="interval", budget=3)
    assert (taken.read, frames) == ((0,), 1)
    with image_file.open_image_file(path, is_picture=True) as opened:
        assert np.abs(opened.grey(0) - np.asarray(page(1), np.float32)).max() < 16
