"""What the box feeds is what the network was trained on: letterbox, black and white of the file, colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.imaging import image_file, model_frames
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.tasks.interface import Frame
from firmware_app.reading.children import inference_child
from tests import films

Pixels = np.ndarray[Any, Any]
ROWS, COLUMNS = 300, 620
SPOT = 40, 90, 500, 560  # top, bottom, left, right
SPEC = InputSpec("film", 224, 224, resize="letterbox")


def draw_spots() -> Pixels:
    made = films.shapes(3, ROWS, COLUMNS, 2000) + np.uint16(200)
    made[SPOT[0] : SPOT[1], SPOT[2] : SPOT[3]] = 4095
    return made


def prepare_input(path: Path, spec: InputSpec) -> model_frames.ModelFrames:
    with image_file.open_image_file(path, is_picture=path.suffix == ".png") as opened:
        return model_frames.prepare_frames(opened, spec)


@pytest.fixture
def wide(tmp_path: Path) -> model_frames.ModelFrames:
    return prepare_input(films.save(tmp_path, "wide.dcm", films.film(draw_spots(), BitsStored=12, HighBit=11)), SPEC)


def test_a_letterbox_keeps_the_aspect_and_its_bars_are_black(wide: model_frames.ModelFrames) -> None:
    tensor = wide.tensors[0, 0]
    height = round(ROWS * 224 / COLUMNS)
    top = (224 - height) // 2
    assert not tensor[:top].any()
    assert not tensor[top + height :].any()
    spot = np.argwhere(tensor >= 0.999)
    tall, broad = np.ptp(spot, axis=0) + 1
    assert broad / tall == pytest.approx((SPOT[3] - SPOT[2]) / (SPOT[1] - SPOT[0]), rel=0.15)


def test_what_is_found_in_a_letterbox_lies_on_its_place_in_the_picture(wide: model_frames.ModelFrames) -> None:
    """The heat map's strongest cells and a lesion's corners, from the model's square back to the wide film."""
    strengths = (wide.tensors[0, 0] >= 0.999).astype(np.float32)
    drawn = np.argwhere(inference_child.render_heat_map(strengths, ROWS, COLUMNS, wide.box) > 127)
    scale = 256 / COLUMNS
    assert (*drawn.min(axis=0), *(drawn.max(axis=0) + 1)) == pytest.approx(
        [side * scale for side in (SPOT[0], SPOT[2], SPOT[1], SPOT[3])], abs=1.5
    )
    (y0, x0), (y1, x1) = np.argwhere(strengths > 0.0).min(axis=0), np.argwhere(strengths > 0.0).max(axis=0) + 1
    box = Frame(ROWS, COLUMNS, box=wide.box).place_box(x0 / 224, y0 / 224, x1 / 224, y1 / 224)
    assert box == pytest.approx([SPOT[2], SPOT[0], SPOT[3], SPOT[1]], abs=4.0)
    assert Frame(ROWS, COLUMNS, box=wide.box).place_box(0.0, 0.0, 1.0, 1.0) == (0.0, 0.0, COLUMNS, ROWS)


def test_evidence_in_the_bars_counts_as_beside_the_film(wide: model_frames.ModelFrames) -> None:
    assert wide.beside is not None
    assert (wide.beside[0, 0] == 255).all()
    assert not wide.beside[0, len(wide.beside[0]) // 2].any()


def test_full_greys_are_those_of_the_file_and_not_of_the_film(tmp_path: Path) -> None:
    """A dark picture of 8 bits stays dark, as a network that was trained on ``x / 255`` knows it."""
    grey = films.shapes(2, 256, 256, 100) + np.uint16(20)
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "dark.png")
    full = InputSpec("film", 256, 256, greys="full")
    assert prepare_input(tmp_path / "dark.png", full).tensors[0, 0] == pytest.approx(grey / 255.0, abs=1e-6)
    deep = films.film(grey * 16, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    windowed = prepare_input(films.save(tmp_path, "deep.dcm", deep), full).tensors[0, 0]
    assert windowed == pytest.approx(grey * 16 / 4095.0, abs=1e-3)


def test_a_model_of_colours_gets_red_green_and_blue(tmp_path: Path) -> None:
    grey = (films.shapes(2, 256, 256, 200) + 20).astype(np.uint8)
    Image.fromarray(np.stack([grey, grey // 2, grey // 4], axis=-1)).save(tmp_path / "colour.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    full = InputSpec("film", 256, 256, channels=3, greys="full")
    seen = prepare_input(tmp_path / "colour.png", full).tensors[0]
    np.testing.assert_allclose(seen, np.stack([grey, grey // 2, grey // 4]) / 255.0, atol=1e-6)
    plain = prepare_input(tmp_path / "grey.png", full).tensors[0]
    np.testing.assert_allclose(plain, np.stack([grey] * 3) / 255.0, atol=1e-6)
    with pytest.raises(ValueError, match=r"\(256, 256, 3\)"):
        to_model_input(np.zeros((256, 256, 3), np.float32), SPEC)
