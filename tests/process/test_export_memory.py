"""The export child says that its memory did not suffice, and calls no sound file broken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from imagecodecs import jpeg2k_encode
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from firmware_app.core.child_process import Child
from tests import films


def test_a_want_of_memory_is_not_called_broken_pixels(tmp_path: Path) -> None:
    """OpenJPEG does so, and asks for four bytes a pixel at once: of this one 125 MB, where 110 are left."""
    side, memory_mb = 5600, 175
    stream = bytes(jpeg2k_encode(films.shapes(3, side, side), codecformat="j2k", reversible=True, level=0))
    dataset = films.film(
        np.zeros((8, 8), np.uint16), syntax=JPEG2000Lossless, Rows=side, Columns=side, pixel_data=encapsulate([stream])
    )
    path = films.save(tmp_path, "film.dcm", dataset)
    child = Child("firmware_app.reading.children.export_child", (str(memory_mb), "60"), silent=True)
    try:
        child.await_ready()
        child.send({"file": str(path), "out": str(tmp_path / "out.dcm"), "looked": True, "key": "00" * 32})
        answer = child.receive(60).header
    finally:
        child.kill()
    assert (answer["refusal"]["code"], answer["spent"]) == ("imaging.memory", True)
