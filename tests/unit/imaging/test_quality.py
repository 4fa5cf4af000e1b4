"""A badly taken image is told from a good one by numbers, each of which grows with what is wrong; few good ones are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from firmware_app.imaging import image_file, image_limits, model_frames, quality_checks, quality_measures
from firmware_app.imaging.errors import IMAGE_BELOW_LEAST, IMAGE_OF_COLOUR, IMAGE_PHOTOGRAPHED, ImageTurned
from firmware_app.imaging.input_spec import Demands
from firmware_app.imaging.model_input import InputSpec
from firmware_app.imaging.quality_measures import ReducedFrame
from firmware_app.packs.pack_folder import shipped_packs_dir
from firmware_app.reading import hints
from tests import films, screens
from tests.refusals import Expected, raises_refusal

GOLDEN = sorted(shipped_packs_dir().glob("chest-*/golden/*.png"))
CLEAR = next(path for path in GOLDEN if "adult" in str(path) and "phantom-clear" in path.name)
SPEC = InputSpec("image", 224, 224)
SMALL = InputSpec("image", 64, 64)
Pixels = np.ndarray[Any, Any]


def grey(path: Path = CLEAR) -> Pixels:
    with image_file.open_image_file(path, is_picture=True) as opened:
        return opened.grey(0)


def draw_textured_chest() -> Pixels:
    """A chest drawn by code with the fine structure of a film, which the phantoms lack."""
    frame = grey()
    rows, columns = frame.shape
    fine = Image.fromarray(np.random.default_rng(3).normal(0, 1, (rows, columns)).astype(np.float32))
    smooth = np.asarray(fine.resize((rows // 3, columns // 3), Image.Resampling.BOX).resize((columns, rows)))
    return np.asarray(frame + 0.1 * np.ptp(frame) * smooth, dtype=np.float32)


def blur(frame: Pixels, sigma: float) -> Pixels:
    image = Image.fromarray(np.clip(255 * (frame - frame.min()) / np.ptp(frame), 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(sigma)), np.float32)


def smear(frame: Pixels, length: int) -> Pixels:
    return np.asarray(sum(np.roll(frame, step, axis=1) for step in range(length)) / length, dtype=np.float32)


def add_grain(frame: Pixels, share: float) -> Pixels:
    grain = np.random.default_rng(5).normal(0, 1, frame.shape)
    return np.asarray(frame + share * np.ptp(frame) * grain, dtype=np.float32)


def change_gamma(frame: Pixels, gamma: float) -> Pixels:
    return np.asarray(((frame - frame.min()) / np.ptp(frame)) ** gamma, dtype=np.float32)


def cut_low(frame: Pixels, percent: float) -> Pixels:
    return np.asarray(np.maximum(frame, np.percentile(frame, percent)), np.float32)


def cut_high(frame: Pixels, percent: float) -> Pixels:
    return np.asarray(np.minimum(frame, np.percentile(frame, 100 - percent)), np.float32)


def add_metal(frame: Pixels, side: float) -> Pixels:
    rows, columns = frame.shape
    made = frame.copy()
    for at in (0.3, 0.5, 0.7):
        y, x, half = round(at * rows), round(0.45 * columns), round(side / 2)
        made[y - half : y + half, x - half : x + half] = frame.max() + 0.5 * np.ptp(frame)
    return made


@pytest.mark.parametrize(
    ("measure", "worsened", "steps"),
    [
        (quality_measures.measure_blur, blur, (0.5, 2, 4, 8)),
        (quality_measures.measure_motion, smear, (1, 4, 8, 12)),
        (quality_measures.measure_noise, add_grain, (0, 0.03, 0.1, 0.3)),
        (quality_measures.measure_paleness, change_gamma, (2, 1, 0.5, 0.2)),
        (quality_measures.measure_darkness, change_gamma, (0.5, 1, 2, 5)),
        (quality_measures.measure_burnt_black, cut_low, (1, 20, 40, 60)),
        (quality_measures.measure_burnt_white, cut_high, (1, 20, 40, 60)),
        (quality_measures.measure_metal, add_metal, (2, 12, 24)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_more_an_image_is_spoiled_the_larger_its_number(
    measure: Callable[[ReducedFrame], float], worsened: Callable[[Pixels, float], Pixels], steps: tuple[float, ...]
) -> None:
    numbers = [measure(ReducedFrame.from_frame(worsened(draw_textured_chest(), step))) for step in steps]
    assert all(less < more for less, more in pairwise(numbers)), numbers


def test_a_number_does_not_depend_on_exposure_bit_depth_or_size() -> None:
    frame = draw_textured_chest()
    large = np.asarray(Image.fromarray(frame).resize((1500, 1500), Image.Resampling.BICUBIC))
    plain = quality_checks.measure_frame(frame, "chest_film")
    for other in (frame * np.float32(17) - np.float32(900), np.round(frame * 16), large):
        for name, number in quality_checks.measure_frame(other.astype(np.float32), "chest_film").items():
            assert number == pytest.approx(plain[name], rel=0.1, abs=0.05), name


def is_turned(film: Pixels) -> bool:
    try:
        quality_checks.check_measures(quality_checks.measure_frame(film, "chest_film"), "chest_film")
    except ImageTurned:
        return True
    return False


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_no_golden_film_is_refused_as_lying_wrongly_and_every_one_is_on_its_side(path: Path) -> None:
    quality_checks.check_measures(quality_checks.measure_frame(grey(path), "chest_film"), "chest_film")
    assert all(is_turned(np.rot90(grey(path), quarters)) for quarters in (1, 3))


def test_every_golden_film_upside_down_is_refused_but_drawn_ones_full_of_opacities() -> None:
    missed = {(path.parts[-3], path.stem) for path in GOLDEN if not is_turned(np.rot90(grey(path), 2))}
    assert missed <= {("chest-xray-child", "sample-positive-1"), ("chest-xray-child", "sample-positive-2")}


def test_ultrasound_is_told_to_be_too_bright_or_almost_black() -> None:
    drawn = screens.draw_screen("linear", 3)
    rows, columns = np.flatnonzero(drawn.truth.any(1)), np.flatnonzero(drawn.truth.any(0))
    frame = drawn.pixels[rows[0] : rows[-1], columns[0] : columns[-1]].astype(np.float32)
    assert not {"pale", "dark", "burnt_white"} & {name for name, _ in _find_hints(frame)}
    assert "burnt_white" in dict(_find_hints(np.minimum(frame * 6, 255)))
    assert "dark" in dict(_find_hints(np.where(np.arange(len(frame))[:, np.newaxis] < 8, frame, 0).astype(np.float32)))


def _find_hints(frame: Pixels) -> tuple[tuple[str, float], ...]:
    return image_limits.find_quality_hints(quality_checks.measure_frame(frame, "ultrasound"), "ultrasound")


def picture(folder: Path, pixels: Pixels) -> Path:
    path = folder / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


def draw_tinted(balance: tuple[float, float, float]) -> Pixels:
    frame = grey()
    levels = 230 * (frame - frame.min()) / np.ptp(frame)
    return np.asarray(np.clip(levels[:, :, np.newaxis] * np.array(balance), 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("balance", "photographs", "refusal"),
    [
        ((1.0, 1.0, 1.0), False, None),
        ((1.0, 0.95, 0.9), False, IMAGE_PHOTOGRAPHED),
        ((1.0, 0.95, 0.9), True, None),
        ((1.0, 0.5, 0.2), True, IMAGE_OF_COLOUR),
    ],
)
def test_a_photographed_film_is_read_only_by_a_pack_that_says_it_can(
    tmp_path: Path, balance: tuple[float, float, float], photographs: bool, refusal: Expected | None
) -> None:
    with image_file.open_image_file(picture(tmp_path, draw_tinted(balance)), is_picture=True) as opened:
        if refusal is None:
            assert model_frames.prepare_frames(opened, SPEC, demands=Demands(photographs=photographs)).read == (0,)
        else:
            with raises_refusal(refusal):
                model_frames.prepare_frames(opened, SPEC, demands=Demands(photographs=photographs))


@pytest.mark.parametrize(("rows", "columns", "least_px"), [(96, 130, None), (96, 130, 96), (130, 96, 97)])
def test_a_pack_refuses_an_image_whose_shorter_side_is_below_its_least_size(
    tmp_path: Path, rows: int, columns: int, least_px: int | None
) -> None:
    path = picture(tmp_path, films.shapes(3, rows, columns, 255).astype(np.uint8))
    with image_file.open_image_file(path, is_picture=True) as opened:
        if least_px is None or least_px <= 96:
            assert model_frames.prepare_frames(opened, SMALL, demands=Demands(least_px=least_px)).read == (0,)
            return
        with raises_refusal(IMAGE_BELOW_LEAST) as refused:
            model_frames.prepare_frames(opened, SMALL, demands=Demands(least_px=least_px))
    assert (refused.value.columns, refused.value.rows, refused.value.least) == (columns, rows, least_px)


def test_the_least_size_is_of_what_the_model_sees_and_named_before_any_other_size(tmp_path: Path) -> None:
    """A border that the model does not get makes no film larger; a film too small for both rules names the pack's."""
    framed = np.zeros((220, 220), np.uint8)
    framed[50:170, 50:170] = films.shapes(3, 120, 120, 255)
    with image_file.open_image_file(picture(tmp_path, framed), is_picture=True) as opened:
        assert model_frames.prepare_frames(opened, SMALL, demands=Demands(least_px=200)).read == (0,)
        with raises_refusal(IMAGE_BELOW_LEAST):
            model_frames.prepare_frames(opened, InputSpec("image", 64, 64, crop="frame"), demands=Demands(least_px=200))
    tiny = picture(tmp_path, films.shapes(3, 60, 60, 255).astype(np.uint8))
    with image_file.open_image_file(tiny, is_picture=True) as opened, raises_refusal(IMAGE_BELOW_LEAST):
        model_frames.prepare_frames(opened, SPEC, demands=Demands(least_px=256))


def test_every_measure_with_a_limit_has_a_sentence() -> None:
    for kind, limit_of in image_limits.QUALITY_LIMITS.items():
        assert set(limit_of) == set(hints.QUALITY_HINTS[kind])
        assert set(limit_of) <= set(quality_checks.MEASURES)
