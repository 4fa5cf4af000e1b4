"""No real ultrasound image is refused as unfit."""

from __future__ import annotations

from firmware_app.imaging import image_file, quality_checks
from firmware_app.imaging.errors import ImageUnfit
from tests.peers import find_shared_data
from tests.unit.imaging.test_ultrasound_input import WHOLE


def test_no_real_ultrasound_is_refused_by_the_limits_of_its_modality() -> None:
    images = sorted(find_shared_data("data", "breast-ultrasound", "images").glob("*.png"))
    images += sorted(
        path for path in find_shared_data("data", "lung-ultrasound").iterdir() if path.suffix in (".png", ".jpg")
    )
    assert len(images) > 600
    refused = []
    for path in images:
        with image_file.open_image_file(path, is_picture=True) as opened:
            try:
                quality_checks.check_fitness(opened.grey(0), WHOLE, quality_checks.ULTRASOUND_LIMITS)
            except ImageUnfit as error:
                refused.append((path.name, error.code))
    assert refused == []
