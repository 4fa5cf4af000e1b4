"""Lossless JPEG as dcmtk reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests import lossless_jpeg
from tests.peers import peer
from tests.unit.imaging.test_lossless_jpeg import noise, read_values, words, write_object


@pytest.mark.parametrize("bits", [2, 8, 12, 16])
def test_dcmtk_reads_the_same_words(tmp_path: Path, bits: int) -> None:
    """The encoder is the tests' own: somebody else's decoder says that its streams are what they claim."""
    pixels = noise(bits)
    path = write_object(tmp_path, lossless_jpeg.encode_lossless(pixels, bits, 6, lines=3), bits)
    subprocess.run([peer("dcmdjpeg"), path, tmp_path / "native.dcm"], check=True)
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "native.dcm").pixel_array, words(path))


@pytest.mark.parametrize(("bits", "stored", "high_bit"), [(12, 12, 15), (10, 12, 15), (12, 12, 13), (12, 12, 11)])
def test_values_of_a_stream_of_fewer_bits_lie_at_the_bottom_as_dcmtk_has_them(
    tmp_path: Path, bits: int, stored: int, high_bit: int
) -> None:
    pixels = noise(bits)
    path = write_object(tmp_path, lossless_jpeg.encode_lossless(pixels, bits), stored, HighBit=high_bit)
    np.testing.assert_array_equal(read_values(path), pixels)
    subprocess.run([peer("dcmdjpeg"), path, tmp_path / "native.dcm"], check=True)
    np.testing.assert_array_equal(np.frombuffer(pydicom.dcmread(tmp_path / "native.dcm").PixelData, "<u2"), pixels.flat)
