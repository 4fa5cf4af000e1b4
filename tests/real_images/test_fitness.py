"""No real film is refused as unfit."""

from __future__ import annotations

import pytest

from firmware_app.imaging import image_file, quality_checks
from tests.peers import find_shared_data
from tests.unit.imaging.test_fitness import SPEC


@pytest.mark.parametrize(
    ("folder", "every"), [("chest-xray/kermany224_train", 12), ("chest-xray-siim", 8), ("chest-xray-nih/images512", 3)]
)
def test_no_film_of_the_shared_collections_is_refused(folder: str, every: int) -> None:
    paths = sorted(path for path in find_shared_data("data", folder).rglob("*") if path.suffix in (".jpg", ".jpeg"))
    assert len(paths) > 1000
    for path in paths[::every]:
        with image_file.open_image_file(path, is_picture=True) as opened:
            quality_checks.check_fitness(opened.grey(0), SPEC)
