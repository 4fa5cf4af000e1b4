"""The sector of real ultrasound images."""

from __future__ import annotations

import numpy as np

from firmware_app.imaging import image_file, ultrasound_sector
from tests.peers import find_shared_data


def test_breast_images_that_were_cut_to_the_sector_stay_nearly_whole() -> None:
    images = sorted(find_shared_data("data", "breast-ultrasound", "images").glob("*.png"))[::10]
    shares = []
    for path in images:
        with image_file.open_image_file(path, is_picture=True) as opened:
            area = ultrasound_sector.detect_sector(opened.grey(0))
        shares.append(area.share if area is not None else 0.0)
    print(f"{len(shares)} images, share kept: least {min(shares):.2f}, median {np.median(shares):.2f}")
    assert np.median(shares) > 0.98
    assert np.mean([share > 0.6 for share in shares]) > 0.95


def test_the_lung_stills_have_a_sector() -> None:
    images = [path for path in find_shared_data("data", "lung-ultrasound").iterdir() if path.suffix in (".png", ".jpg")]
    assert len(images) >= 7
    for path in images:
        with image_file.open_image_file(path, is_picture=True) as opened:
            area = ultrasound_sector.detect_sector(opened.grey(0))
        assert area is not None
        assert area.share > 0.6
