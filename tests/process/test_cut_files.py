"""Cut objects before the real child."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firmware_app.dicom.errors import IntakeError
from firmware_app.ingest.intake import ImageIntake
from firmware_app.reading.decoder import DecodedImage, Decoder
from tests.peers import pydicom_file
from tests.unit.dicom.test_cut_files import NAMES, SPEC
from tests.unit.dicom.test_cut_files import child as child


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_object_gets_past_neither_the_real_door_nor_the_real_child(
    tmp_path: Path, door: ImageIntake, child: Decoder, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(pydicom_file(name).read_bytes())
    size = path.stat().st_size
    for length in (size - 2, size * 3 // 4, size // 2):
        os.truncate(path, length)
        with pytest.raises(IntakeError):
            door.accept_file(path)
        answer = child.begin(path, False, SPEC, tmp_path / "display")
        if isinstance(answer, DecodedImage):  # the cut is behind the pixels
            assert child.end()
            assert length == size - 2
        else:
            assert answer.code.startswith("imaging.")
    assert not list(door.state.images.rglob("*.dcm"))
