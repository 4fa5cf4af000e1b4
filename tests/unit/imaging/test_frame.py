"""An even frame around a film is no part of it: a pack that says so is given what lies within, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_app.imaging import image_file, model_frames, outside_anatomy
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from firmware_app.reading.children import inference_child
from tests import films

Pixels = np.ndarray[Any, Any]
FRAME = InputSpec("film", 224, 224, crop="frame")
WHOLE = InputSpec("film", 224, 224)


def body(rows: int = 500, columns: int = 400) -> Pixels:
    return films.shapes(3, rows, columns, 3000) + np.uint16(500)


def add_frame(width: int, ground: int = 0) -> Pixels:
    return np.pad(body(), width, constant_values=ground)


@pytest.mark.parametrize(("width", "ground"), [(4, 0), (50, 4095)])
def test_a_model_sees_what_lies_within_the_frame(width: int, ground: int) -> None:
    given = to_model_input(add_frame(width, ground).astype(np.float32), FRAME)
    assert np.array_equal(given, to_model_input(body().astype(np.float32), WHOLE))
    assert not np.array_equal(to_model_input(add_frame(width, ground).astype(np.float32), WHOLE), given)


@pytest.mark.parametrize("sides", [1, 3])
def test_strips_that_do_not_run_around_are_left(sides: int) -> None:
    made = body().astype(np.float32)
    for side in (np.s_[:, :30], np.s_[:, -30:], np.s_[:30])[:sides]:
        made[side] = 0.0
    assert outside_anatomy.find_exposed_box(made) != (0, 0, 400, 500)
    assert outside_anatomy.find_bordered_box(made) is None
    assert np.array_equal(to_model_input(made, FRAME), to_model_input(made, WHOLE))


def test_the_box_is_told_and_the_heat_map_lies_within_it(tmp_path: Path) -> None:
    path = films.save(tmp_path, "framed.dcm", films.film(add_frame(40), BitsStored=12, HighBit=11))
    with image_file.open_image_file(path, is_picture=False) as opened:
        taken = model_frames.prepare_frames(opened, FRAME)
        assert taken.box == (40, 40, 440, 540)
        assert taken.beside is None  # what is left out cannot be gone by
        whole = model_frames.prepare_frames(opened, WHOLE)
        assert whole.box is None
        assert whole.beside is not None
    drawn = inference_child.render_heat_map(np.ones((7, 7), np.float32), 580, 480, taken.box)
    rows, columns = np.nonzero(drawn)
    scale = 256 / 580
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert box == pytest.approx([side * scale for side in (40, 40, 440, 540)], abs=1.0)
