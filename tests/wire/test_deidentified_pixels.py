"""What dcmtk sees of an image without its frame."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from tests import peers
from tests.unit.imaging.test_deidentified_pixels import deidentify_film, inside, screen, ultrasound


def test_dcmtk_sees_the_sector_and_nothing_around_it(tmp_path: Path) -> None:
    deidentify_film(tmp_path, ultrasound(screen()))
    subprocess.run(
        [peers.peer("dcm2pnm"), str(tmp_path / "out.dcm"), str(tmp_path / "seen.ppm")], check=True, capture_output=True
    )
    with Image.open(tmp_path / "seen.ppm") as image:
        seen = np.array(image.convert("RGB"))
    assert np.array_equal(seen[inside()], screen()[inside()])
    assert not seen[~inside()].any()
