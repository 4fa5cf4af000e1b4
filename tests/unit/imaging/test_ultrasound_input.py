"""What an ultrasound model is given: the sector and less speckle where its pack says so, judged by its own limits.

The heat map comes back to the place it was cut from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from firmware_app.imaging import image_file, model_frames, pixel_operations, ultrasound_sector
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from firmware_app.reading.children import inference_child
from tests import films, screens

Pixels = np.ndarray[Any, Any]
WHOLE = InputSpec("image", 224, 224)
SECTOR = InputSpec("image", 224, 224, crop="sector")


def clip_file(folder: Path, screens_of: list[Pixels]) -> Path:
    stack = np.concatenate(screens_of)
    made = films.film(stack, Modality="US", NumberOfFrames=len(screens_of), Rows=screens_of[0].shape[0])
    made.SOPInstanceUID = generate_uid()
    return films.save(folder, "clip.dcm", made)


def test_a_model_of_the_sector_sees_the_box_around_it_and_no_letters() -> None:
    drawn = screens.draw_screen("linear", 3)
    frame = drawn.pixels.astype(np.float32)
    area = ultrasound_sector.detect_sector(frame)
    assert area is not None
    assert np.array_equal(to_model_input(frame, SECTOR), to_model_input(area.crop(frame), WHOLE))
    without = np.where(drawn.drawn, 0, frame).astype(np.float32)
    assert np.abs(to_model_input(frame, SECTOR) - to_model_input(without, SECTOR)).mean() < 0.03
    assert not np.array_equal(to_model_input(frame, SECTOR), to_model_input(frame, WHOLE))


def test_a_picture_without_a_sector_is_taken_whole() -> None:
    frame = np.zeros((300, 400), np.float32)
    assert np.array_equal(to_model_input(frame, SECTOR), to_model_input(frame, WHOLE))


def test_lees_filter_smooths_speckle_and_keeps_edges_and_points() -> None:
    rng = np.random.default_rng(1)
    clean = np.full((128, 128), 60.0, np.float32)
    clean[:, 64:] = 180.0
    clean[30:33, 30:33] = 250.0
    noisy = (clean + rng.normal(0, 12, clean.shape)).astype(np.float32)
    done = pixel_operations.lee_filter(noisy)
    assert done.shape == noisy.shape
    assert done.dtype == np.float32
    assert done[60:120, 8:56].std() < 0.45 * noisy[60:120, 8:56].std()
    edge = done[60:120, 65].mean() - done[60:120, 62].mean()
    box = pixel_operations.box_mean(noisy.astype(np.float64), 2)
    assert edge > 0.95 * 120 > (box[60:120, 65] - box[60:120, 62]).mean()
    assert done[31, 31] > 220
    assert np.array_equal(
        pixel_operations.lee_filter(np.full((9, 9), 7.0, np.float32)), np.full((9, 9), 7.0, np.float32)
    )


@pytest.mark.parametrize("kind", screens.KINDS)
@pytest.mark.parametrize("crop", ["whole", "sector"])
def test_drawn_screens_are_fit_for_an_ultrasound_model(kind: screens.Kind, crop: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(screens.draw_screen(kind, 2).pixels).save(path)
    with image_file.open_image_file(path, is_picture=True) as opened:
        taken = model_frames.prepare_frames(opened, InputSpec("image", 224, 224, crop=crop), modality="US")
    assert (taken.read, taken.tensors.shape, taken.coloured) == ((0,), (1, 1, 224, 224), 0.0)
    assert (taken.box is not None) == (crop == "sector")


def test_the_frames_of_a_clip_come_as_one_stack_and_those_that_no_model_may_see_are_left_out(tmp_path: Path) -> None:
    pixels = [one.pixels for one in screens.draw_clip("curved", 3, 6, rows=300, columns=400)]
    pixels[1] = np.zeros_like(pixels[1])
    with image_file.open_image_file(clip_file(tmp_path, pixels), is_picture=False) as opened:
        taken = model_frames.prepare_frames(opened, WHOLE, "interval", 6, "US")
        assert taken.read == (0, 2, 3, 4, 5)
        assert taken.tensors.shape == (5, 1, 224, 224)
        for tensor, index in zip(taken.tensors, taken.read, strict=True):
            assert np.array_equal(tensor[np.newaxis], to_model_input(opened.grey(index), WHOLE))
        assert model_frames.prepare_frames(opened, WHOLE, "middle", 1, "US").read == (3,)


def test_a_heat_map_comes_back_to_where_its_box_was_cut() -> None:
    strengths = np.zeros((8, 8), np.float32)
    strengths[4:, 4:] = 1.0
    drawn = inference_child.render_heat_map(strengths, 200, 400, (200, 50, 400, 150))
    assert drawn.shape == (128, 256)
    inside = drawn[round(100 * 0.64) :, round(300 * 0.64) :][: round(50 * 0.64), :]
    assert inside[12:, 16:].min() > 200
    outside = drawn.copy()
    outside[32:96, 128:256] = 0
    assert outside.max() == 0
    assert np.array_equal(
        inference_child.render_heat_map(strengths, 200, 400, (0, 0, 400, 200)),
        inference_child.render_heat_map(strengths, 200, 400),
    )
