"""Every JPEG process of dcmtk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from firmware_app.imaging import image_file
from tests import films
from tests.peers import peer
from tests.unit.imaging.test_lost_data import slope


@pytest.mark.parametrize(
    ("process", "bits"), [("+eb", 8), *((process, bits) for process in ("+ee", "+es", "+ep") for bits in (8, 12))]
)
def test_every_process_of_dcmtk_is_read(tmp_path: Path, process: str, bits: int) -> None:
    """Baseline and extended, and those that were retired in 2004: spectral selection and full progression."""
    pixels = slope(bits) - slope(bits).min()  # dcmtk would take it away and write it into the rescale
    plain = films.save(tmp_path, "plain.dcm", films.film(pixels, BitsStored=bits, HighBit=bits - 1))
    coded = [peer("dcmcjpeg"), process, "+q", "100", str(plain), str(tmp_path / "coded.dcm")]
    subprocess.run(coded, check=True, capture_output=True, timeout=60)
    with image_file.open_image_file(tmp_path / "coded.dcm", is_picture=False) as opened:
        np.testing.assert_allclose(opened.grey(0), pixels, atol=4 << (bits - 8))
