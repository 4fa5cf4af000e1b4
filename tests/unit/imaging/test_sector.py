"""The sector of an ultrasound picture is found, and letters, rulers and the maker's frame are left outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from PIL import Image

from firmware_app.imaging import image_file, pixel_operations, ultrasound_sector
from firmware_app.imaging import image_properties as ultrasound
from firmware_app.imaging.ultrasound_sector import Sector
from tests import screens

Pixels = np.ndarray[Any, Any]
# (x0, y0, x1, y1) of the fan as a person sees it in the picture, to a few pixels.
SEEN = {
    "examples_jpeg2k.dcm": (10, 112, 632, 332),
    "examples_palette.dcm": (178, 78, 741, 350),
    "examples_ybr_color.dcm": (40, 22, 280, 202),
}


def wheel(name: str) -> Path:
    area = pydicom.data.get_testdata_file(name, download=False)
    assert isinstance(area, str)
    return Path(area)


def detect(pixels: Pixels) -> Sector:
    area = ultrasound_sector.detect_sector(pixels.astype(np.float32))
    assert area is not None
    return area


@pytest.mark.parametrize("kind", screens.KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_sector_of_a_drawn_screen_is_found_and_no_letter_is_in_it(kind: screens.Kind, seed: int) -> None:
    drawn = screens.draw_screen(kind, seed, ground=14 * (seed % 2))
    area = detect(drawn.pixels)
    overlap = screens.overlap(area.mask, drawn.truth)
    print(f"{kind}, {seed}: intersection over union {overlap:.3f}")
    assert overlap > 0.97
    assert area.outside[drawn.drawn].mean() > 0.995
    assert area.derived_from == "texture"


@pytest.mark.parametrize("kind", screens.KINDS)
def test_it_is_found_after_jpeg_at_sixteen_bits_and_in_a_large_picture(kind: screens.Kind) -> None:
    drawn = screens.draw_screen(kind, 5)
    assert screens.overlap(detect(screens.compress_jpeg(drawn.pixels)).mask, drawn.truth) > 0.9
    assert screens.overlap(detect(drawn.pixels.astype(np.float32) * 257 - 7000).mask, drawn.truth) > 0.97
    assert screens.overlap(detect(drawn.pixels / 255.0).mask, drawn.truth) > 0.97
    large = np.asarray(Image.fromarray(drawn.pixels).resize((2400, 1800), Image.Resampling.NEAREST))
    truth = np.asarray(Image.fromarray(drawn.truth).resize((2400, 1800), Image.Resampling.NEAREST))
    assert screens.overlap(detect(large).mask, truth) > 0.97


@pytest.mark.parametrize("kind", screens.KINDS)
def test_what_moves_is_the_sector_of_a_clip(kind: screens.Kind) -> None:
    watch = ultrasound_sector.SectorDetector()
    for one in screens.draw_clip(kind, 4, 6):
        watch.add_frame(screens.compress_jpeg(one.pixels).astype(np.float32))
    area = watch.sector()
    assert area is not None
    assert area.derived_from == "movement"
    overlap = screens.overlap(area.mask, one.truth)
    print(f"{kind}: intersection over union {overlap:.3f}")
    assert overlap > 0.94
    assert area.outside[one.drawn].mean() > 0.99


def test_a_black_picture_a_page_of_letters_and_no_frame_have_no_sector() -> None:
    letters = screens.draw_screen("linear", 3)
    page = np.where(letters.drawn, letters.pixels, 0)
    page[: page.shape[0] // 20] = 0  # without the maker's bar
    for pixels in (np.zeros((300, 400)), page):
        assert ultrasound_sector.detect_sector(pixels.astype(np.float32)) is None
    assert ultrasound_sector.SectorDetector().sector() is None


def test_the_arc_of_a_curved_probe_is_not_filled() -> None:
    drawn = screens.draw_screen("curved", 2)
    hull = pixel_operations.fill_polygon(pixel_operations.mask_hull(drawn.truth), *drawn.truth.shape)
    dip = hull & ~drawn.truth
    assert dip.sum() > 500
    assert detect(drawn.pixels).outside[dip].mean() > 0.6


@pytest.mark.parametrize("name", SEEN)
def test_the_sectors_of_pydicoms_own_ultrasound_are_where_a_person_sees_them(name: str) -> None:
    with image_file.open_image_file(wheel(name), is_picture=False) as opened:
        watch = ultrasound_sector.SectorDetector()
        for index in range(0, opened.frames, 3):
            watch.add_frame(opened.grey(index))
        area = watch.sector()
        assert area is not None
        for side, seen in zip(area.box, SEEN[name], strict=True):
            assert abs(side - seen) <= 0.15 * opened.columns


def test_a_header_that_can_be_believed_tells_the_sector_of_the_clip_of_pydicom_data() -> None:
    data_store = pytest.importorskip("data_store")
    path = Path(data_store.__file__).parent / "data" / "color3d_jpeg_baseline.dcm"
    with image_file.open_image_file(path, is_picture=False) as opened:
        area = ultrasound.header_sector(opened)
        assert area is not None
        assert (area.derived_from, area.box) == ("header", (84, 31, 596, 415))
        assert ultrasound.frame_rate(opened) == pytest.approx(30.0, abs=0.01)
        assert ultrasound.colour_share(opened, 0, area) < 0.002


def test_doppler_is_known_by_its_colours_and_grey_pictures_by_having_none() -> None:
    shares = {}
    for name in SEEN:
        with image_file.open_image_file(wheel(name), is_picture=False) as opened:
            shares[name] = ultrasound.colour_share(
                opened, 0, ultrasound.header_sector(opened) or ultrasound_sector.detect_sector(opened.grey(0))
            )
    assert shares["examples_jpeg2k.dcm"] > 0.08
    assert shares["examples_palette.dcm"] < 0.002
    assert shares["examples_ybr_color.dcm"] < 0.002
