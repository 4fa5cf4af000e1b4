"""Pixels that can be no film are refused before a model is asked; every film that we know is far from the limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from firmware_app.imaging import image_file, quality_checks
from firmware_app.imaging.errors import IMAGE_BLANK, IMAGE_NOT_A_FILM, IMAGE_ODD_SHAPE, IMAGE_TOO_SMALL, ImageUnfit
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.pack_folder import shipped_packs_dir
from tests import films
from tests.refusals import Expected, raises_refusal

SPEC = InputSpec("image", 224, 224)
GOLDEN = sorted(shipped_packs_dir().glob("chest-*/golden/*.png"))
Pixels = np.ndarray[Any, Any]


def noise(rows: int, columns: int) -> Pixels:
    return np.random.default_rng(1).normal(2000, 300, (rows, columns))


def text() -> Pixels:
    page = Image.new("L", (800, 1000), 255)
    for line in range(40, 960, 12):
        ImageDraw.Draw(page).text((40, line), "the quick brown fox jumps over the lazy dog " * 2, fill=0)
    return np.asarray(page)


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.zeros((512, 512)), IMAGE_BLANK),
        (2000 + noise(512, 512) // 300, IMAGE_BLANK),  # a few greys of electronic noise
        (np.indices((512, 512)).sum(0) // 64 % 2, IMAGE_BLANK),
        (noise(512, 512), IMAGE_NOT_A_FILM),
        (noise(224, 224), IMAGE_NOT_A_FILM),
        (np.linspace(0, 4095, 512 * 512).reshape(512, 512), IMAGE_NOT_A_FILM),  # an empty detector's heel effect
        (text(), ImageUnfit),
        (np.ones((1, 1)), IMAGE_TOO_SMALL),
        (films.shapes(1, 190, 512), IMAGE_TOO_SMALL),
        (films.shapes(1, 200, 512), IMAGE_ODD_SHAPE),
    ],
)
def test_what_can_be_no_film_is_refused(pixels: Pixels, kind: Expected) -> None:
    with raises_refusal(kind) as refused:
        quality_checks.check_fitness(pixels.astype(np.float32), SPEC)
    assert refused.value.code.startswith("quality.")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_film_is_fit_in_either_polarity_at_any_exposure(path: Path) -> None:
    with image_file.open_image_file(path, is_picture=True) as opened:
        grey = opened.grey(0)
    for frame in (grey, -grey, grey * np.float32(1e-3) + np.float32(7), grey[:, :256], grey[::2, ::2]):
        quality_checks.check_fitness(frame, SPEC)


def test_the_real_chest_film_of_pydicom_data_is_fit() -> None:
    data_store = pytest.importorskip("data_store")
    for name in ("RG1_UNCR.dcm", "RG1_J2KI.dcm"):
        with image_file.open_image_file(Path(data_store.__file__).parent / "data" / name, is_picture=False) as opened:
            quality_checks.check_fitness(opened.grey(0), SPEC)
