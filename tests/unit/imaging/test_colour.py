"""Colours are what they were when they were stored, whatever the header calls them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis.extra import numpy as hnp
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLossless

from firmware_app.imaging import colour_models, grey_transforms, image_file, picture
from firmware_app.imaging.codec import stored_frames
from firmware_app.reading import hints
from tests import films, lossless_jpeg

Pixels = np.ndarray[Any, Any]
RGB = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6).map(lambda s: (s[0], s[1], 3)))

# R, G, B → Y, Cb, Cr by the equations of PS3.3 C.7.6.3.1.2, worked out by hand and rounded.
BY_HAND = {
    (255, 255, 255): (255, 128, 128),
    (0, 0, 0): (0, 128, 128),
    (128, 128, 128): (128, 128, 128),
    (255, 0, 0): (76, 85, 255),
    (0, 255, 0): (150, 44, 21),
    (0, 0, 255): (29, 255, 107),
    (200, 40, 30): (87, 96, 209),
}


@pytest.mark.parametrize(("rgb", "ybr"), BY_HAND.items())
def test_ybr_full_is_turned_back_within_a_level(rgb: tuple[int, int, int], ybr: tuple[int, int, int]) -> None:
    stored = np.array([[ybr]], np.uint8)
    assert np.abs(colour_models.ybr_full_to_rgb(stored)[0, 0].astype(int) - rgb).max() <= 2
    assert np.abs(colour_models.ybr_full_to_rgb(stored.astype(np.uint16) * 256, 16)[0, 0] / 256.0 - rgb).max() <= 2.1
    assert np.abs(films.to_ybr_full(np.array([[rgb]], np.uint8))[0, 0].astype(int) - ybr).max() <= 1


# --- layouts ------------------------------------------------------------------------------------------------------


def scene(rows: int = 48, columns: int = 64) -> Pixels:
    """A dark screen with a grey sector, a red mark and a blue one."""
    down, across = np.mgrid[0:rows, 0:columns]
    made = np.repeat(((down * 3 + across) % 180)[..., None], 3, axis=2).astype(np.uint8)
    made[: rows // 4] = 0
    made[30:34, 8:20] = (200, 40, 30)
    made[36:40, 8:20] = (30, 60, 210)
    return made


def read_rgb(folder: Path, dataset: Any) -> tuple[Pixels, tuple[str, ...]]:
    with image_file.open_image_file(films.save(folder, "colour.dcm", dataset), is_picture=False) as opened:
        pixels_shown = opened.render_frame(0).pixels
        np.testing.assert_allclose(opened.grey(0), pixels_shown @ np.array([0.299, 0.587, 0.114]), atol=1e-3)
        return pixels_shown, opened.hints


def shared_chroma(ybr: Pixels) -> bytes:
    """Y1 Y2 Cb Cr, the chroma of the first of each pair (PS3.3 C.7.6.3.1.2)."""
    first, second = ybr[:, 0::2].reshape(-1, 3), ybr[:, 1::2].reshape(-1, 3)
    return np.stack([first[:, 0], second[:, 0], first[:, 1], first[:, 2]], axis=-1).tobytes()


@pytest.mark.parametrize("subsampled", [True, False])
def test_ybr_full_422_is_read_with_and_without_its_subsampling(tmp_path: Path, subsampled: bool) -> None:
    rgb = np.repeat(scene()[:, ::2], 2, axis=1)
    ybr = films.to_ybr_full(rgb)
    data = shared_chroma(ybr) if subsampled else ybr.tobytes()
    pixels_shown, _ = read_rgb(tmp_path, films.film(rgb, pixel_data=data, PhotometricInterpretation="YBR_FULL_422"))
    assert np.abs(pixels_shown.astype(int) - rgb.astype(int)).max() <= 2


def test_ybr_partial_422_is_read_in_its_studio_range(tmp_path: Path) -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[:, 2:] = 255
    ybr = np.where(rgb[..., :1] > 0, np.array([235, 128, 128]), np.array([16, 128, 128])).astype(np.uint8)
    pixels_shown, _ = read_rgb(
        tmp_path, films.film(rgb, pixel_data=shared_chroma(ybr), PhotometricInterpretation="YBR_PARTIAL_422")
    )
    assert np.abs(pixels_shown.astype(int) - rgb.astype(int)).max() <= 1


@pytest.mark.parametrize(("syntax", "model"), [(JPEG2000Lossless, "YBR_RCT"), (JPEG2000, "YBR_ICT")])
def test_the_transforms_of_jpeg_2000_are_undone_once(tmp_path: Path, syntax: Any, model: str) -> None:
    rgb = scene()
    out = io.BytesIO()
    lossy = model == "YBR_ICT"
    kinds = {"quality_mode": "dB", "quality_layers": [60]} if lossy else {}
    Image.fromarray(rgb).save(out, "JPEG2000", no_jp2=True, irreversible=lossy, mct=1, **kinds)
    made = films.film(rgb, syntax=syntax, pixel_data=encapsulate([out.getvalue()]), PhotometricInterpretation=model)
    pixels_shown, said = read_rgb(tmp_path, made)
    assert np.abs(pixels_shown.astype(int) - rgb.astype(int)).max() <= (3 if lossy else 0)
    assert said == ()


# --- lies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("declared", ["RGB", "YBR_FULL"])
def test_native_pixels_under_the_wrong_model_are_shown_right_and_it_is_said(
    tmp_path: Path, stored: str, declared: str
) -> None:
    rgb = scene()
    data = (rgb if stored == "RGB" else films.to_ybr_full(rgb)).tobytes()
    pixels_shown, said = read_rgb(tmp_path, films.film(rgb, pixel_data=data, PhotometricInterpretation=declared))
    assert np.abs(pixels_shown.astype(int) - rgb.astype(int)).max() <= 2
    assert said == (() if stored == declared else (colour_models.COLOURS_CORRECTED_HINT,))


IDS = {"jfif": (1, 2, 3), "adobe": (1, 2, 3), "123": (1, 2, 3), "RGB": (82, 71, 66)}


def jpeg(rgb: Pixels, stored: str, marks: str) -> bytes:
    """A JPEG stream that holds *stored*, with the segments and component ids that *marks* name instead of its own."""
    out = io.BytesIO()
    extra: dict[str, Any] = {"keep_rgb": True} if stored == "RGB" else {"subsampling": 0}
    Image.fromarray(rgb).save(out, "JPEG", quality=98, **extra)
    data, at, made = out.getvalue(), 2, b"\xff\xd8"
    if marks == "jfif":
        made += b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    if marks == "adobe":
        made += b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0" + bytes([stored != "RGB"])
    while True:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = bytearray(data[at : at + 2 + length])
        for number, code in enumerate(IDS[marks]):
            if marker == 0xC0:
                segment[10 + 3 * number] = code
            elif marker == 0xDA:
                segment[5 + 2 * number] = code
        if marker not in (0xE0, 0xEE):
            made += bytes(segment)
        at += 2 + length
        if marker == 0xDA:
            return made + data[at:]


@pytest.mark.parametrize("marks", IDS)
@pytest.mark.parametrize("stored", ["RGB", "YBR_FULL_422"])
@pytest.mark.parametrize("declared", ["RGB", "YBR_FULL_422"])
def test_a_jpeg_under_any_name_and_any_marker_is_never_green(
    tmp_path: Path, marks: str, stored: str, declared: str
) -> None:
    rgb = scene()
    stream = jpeg(rgb, stored, marks)
    made = films.film(
        rgb, syntax=JPEGBaseline8Bit, pixel_data=encapsulate([stream]), PhotometricInterpretation=declared
    )
    pixels_shown, said = read_rgb(tmp_path, made)
    assert np.abs(pixels_shown.astype(int) - rgb.astype(int)).mean() < 2
    assert said == (() if stored[:3] == declared[:3] else (colour_models.COLOURS_CORRECTED_HINT,))


def undecidable(rows: int = 48, columns: int = 64) -> Pixels:
    """Soft colours about the middle, which are colours in both models."""
    down, across = np.mgrid[0:rows, 0:columns]
    return np.stack([120 + across // 2, 110 + down, 150 - across // 3], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("declared", ["RGB", "YBR_FULL"])
def test_where_the_pixels_prove_nothing_the_header_is_believed(tmp_path: Path, declared: str) -> None:
    pixels = undecidable()
    assert colour_models.model_of_pixels(pixels) is None
    pixels_shown, said = read_rgb(tmp_path, films.film(pixels, PhotometricInterpretation=declared))
    expected = pixels if declared == "RGB" else colour_models.ybr_full_to_rgb(pixels)
    np.testing.assert_array_equal(pixels_shown, expected)
    assert said == ()


def encode_unmarked(rgb: Pixels, subsampling: int) -> bytes:
    """A JPEG of YBR with ids 1, 2, 3 and without any segment that says so."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=98, subsampling=subsampling)
    data = out.getvalue()
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def test_an_unmarked_jpeg_under_the_name_of_rgb_is_doubted(tmp_path: Path) -> None:
    rgb = undecidable()
    stream = encapsulate([encode_unmarked(rgb, 0)])
    assert read_rgb(tmp_path, films.film(rgb, syntax=JPEGBaseline8Bit, pixel_data=stream))[1] == (
        colour_models.COLOURS_UNSURE_HINT,
    )


COLOUR_LAYOUTS = [("u1", 7, 6), ("u2", 12, 15), ("u2", 10, 13), ("u2", 16, 15)]


@pytest.mark.parametrize(("kind", "stored", "high_bit"), COLOUR_LAYOUTS)
@pytest.mark.parametrize("syntax", ["native", "lossless JPEG"])
def test_a_colour_is_its_value_wherever_that_lies_in_its_words(
    tmp_path: Path, kind: str, stored: int, high_bit: int, syntax: str
) -> None:
    values = undecidable() >> 1 if stored == 7 else undecidable().astype(np.uint16) << (stored - 8)
    words = (values << (high_bit + 1 - stored)).astype(kind)
    layout: dict[str, Any] = {"BitsStored": stored, "HighBit": high_bit}
    made = films.film(words, **layout)
    if syntax == "lossless JPEG":
        data = encapsulate([lossless_jpeg.encode_lossless(words, high_bit + 1)])
        made = films.film(words, syntax=JPEGLossless, pixel_data=data, **layout)
    with image_file.open_image_file(films.save(tmp_path, "colour.dcm", made), is_picture=False) as opened:
        pixels_shown = opened.render_frame(0).pixels
        np.testing.assert_allclose(opened.grey(0), values @ np.array([0.299, 0.587, 0.114]), rtol=1e-4)
    assert np.abs(pixels_shown - values * (255.0 / (2**stored - 1))).max() <= 1


def test_a_clip_that_begins_black_is_believed_until_a_frame_proves_its_colours(tmp_path: Path) -> None:
    rgb = scene()
    black = np.zeros_like(rgb)
    data = b"".join(films.to_ybr_full(frame).tobytes() for frame in (black, rgb, black))
    made = films.film(rgb, pixel_data=data, NumberOfFrames=3, PhotometricInterpretation="RGB")
    with image_file.open_image_file(films.save(tmp_path, "clip.dcm", made), is_picture=False) as opened:
        hints_after = []
        opened.render_frame(0)
        hints_after.append(opened.hints)
        assert np.abs(opened.render_frame(1).pixels.astype(int) - rgb.astype(int)).max() <= 2
        hints_after.append(opened.hints)
        assert hints_after == [(), (colour_models.COLOURS_CORRECTED_HINT,)]
        assert opened.render_frame(2).pixels.max() <= 1


def test_each_hint_of_the_pixels_has_its_sentence() -> None:
    of_numbers = {
        grey_transforms.NUMBERS_MENDED_HINT,
        grey_transforms.GREYS_UNREADABLE_HINT,
        grey_transforms.SIZES_UNREADABLE_HINT,
    }
    others = {
        colour_models.COLOURS_CORRECTED_HINT,
        colour_models.COLOURS_UNSURE_HINT,
        stored_frames.FRAMES_LEFT_HINT,
        picture.REDUCED_HINT,
    }
    assert of_numbers | others == set(hints.PIXEL_HINTS)
