"""Tiny films for tests that train: bright discs are the positive class."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIDE = 64
FILMS_PER_CLASS = 24


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder ``clear/`` and ``disc/`` of 24 films each, every film its own patient."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for name in ("clear", "disc"):
        (folder / name).mkdir()
        for index in range(FILMS_PER_CLASS):
            coarse = rng.standard_normal((8, 8)).repeat(8, 0).repeat(8, 1)
            grey = 90.0 + 25.0 * coarse + 8.0 * rng.standard_normal((SIDE, SIDE))
            if name == "disc":
                middle = rng.uniform(16, 48, 2)
                grey[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 100.0] += 110.0
            Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(folder / name / f"{name}{index:02}.png")
    return folder
