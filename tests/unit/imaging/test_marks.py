"""Marks that a machine wrote into an ultrasound picture are found, and tissue is not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from firmware_app.imaging import ultrasound_marks
from tests import drawn_marks

LEAST_FOUND = {"text": 0.8, "ruler": 0.8, "callipers": 0.8, "arrow": 0.55}


@pytest.mark.parametrize("kind", drawn_marks.PENS)
def test_most_of_each_kind_of_mark_is_found_and_little_beside_it(kind: str) -> None:
    for seed in range(3):
        drawn = drawn_marks.draw_marks(drawn_marks.draw_tissue(seed), kind, seed)
        found = ultrasound_marks.find_strokes(drawn.pixels)
        assert (found & drawn.drawn).sum() >= LEAST_FOUND[kind] * drawn.drawn.sum()
        assert (found & ~drawn.drawn).mean() < 0.002


def test_a_bright_level_layer_is_tissue_and_the_same_line_upright_is_a_mark() -> None:
    level, upright = (np.full((300, 300), 40, np.float32) for _ in range(2))
    level[150:152, 20:280] = 230
    upright[20:280, 150:152] = 230
    assert not ultrasound_marks.find_strokes(level).any()
    assert ultrasound_marks.find_strokes(upright)[20:280, 150:152].all()


def test_thin_colour_is_a_mark_and_broad_colour_is_flow() -> None:
    image = Image.new("RGB", (300, 300), (40, 40, 40))
    draw = ImageDraw.Draw(image)
    draw.line((50, 60, 250, 60), fill=(60, 60, 0), width=1)  # too dark to be one by its grey
    draw.line((50, 80, 250, 80), fill=(0, 90, 0), width=2)
    draw.rectangle((100, 150, 200, 250), fill=(160, 20, 20))
    rgb = np.asarray(image)
    found = ultrasound_marks.find_strokes(np.asarray(image.convert("L"), np.float32), rgb)
    assert found[60, 60:240].all()
    assert found[80, 60:240].all()
    assert not found[140:260].any()


def test_what_is_painted_over_has_the_greys_around_it_and_nothing_else_changes() -> None:
    ramp = np.tile(np.linspace(0.2, 0.6, 128, dtype=np.float32), (128, 1))
    drawn = ramp.copy()
    drawn[40:44, 30:90] = drawn[20:100, 60:63] = 1.0
    over = drawn > 0.9
    painted = ultrasound_marks.paint_over(drawn[np.newaxis, np.newaxis], over)[0, 0]
    assert np.abs(painted - ramp).max() < 0.03
    away = np.ones_like(over)
    away[38:46, 28:92] = away[18:102, 58:65] = False
    assert np.array_equal(painted[away], drawn[away])
