"""JPEG 2000 in a child with little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from imagecodecs import jpeg2k_encode
from pydicom.uid import JPEG2000

from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading.decoder import DecodedImage, Decoder
from tests import films
from tests.unit.imaging.test_jpeg2000 import COLUMNS, ROWS, coded, noise, saved

SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from firmware_app.imaging import dicom_source as source
from firmware_app.imaging.codec import deep_jpeg as jpeg2000
from firmware_app.imaging.codec.stored_frames import FrameReader as Reader
from firmware_app.core import child_loop as confinement
with source.open_source(Path(sys.argv[1])) as found:
    stream = Reader(found).compressed(0)
    jpeg2000.os.sched_getaffinity = lambda _: {0}
    jpeg2000.decode_jpeg2000(stream)
    confinement.confine(4)
    jpeg2000.os.sched_getaffinity = lambda _: {0, 1}
    print(np.asarray(jpeg2000.decode_jpeg2000(stream), np.int64).sum())
"""


def test_a_child_without_room_for_another_stack_decodes_on_one_core(tmp_path: Path) -> None:
    pixels = noise(ROWS, COLUMNS)
    path = saved(tmp_path, coded(pixels), pixels, JPEG2000)
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (str(pixels.astype(np.int64).sum()), "")


def test_a_film_of_27_megapixels_is_read_whatever_its_threads_took(tmp_path: Path) -> None:
    """Their stacks are free again when its greys ask for room."""
    side = 5250
    stream = bytes(jpeg2k_encode(films.shapes(3, side, side), codecformat="j2k", reversible=True, level=0))
    path = saved(tmp_path, stream, noise(8, 8, kind=np.uint16), Rows=side, Columns=side)
    decoder = Decoder(384, 60.0)
    try:
        decoder.warm()
        first = decoder.pid
        assert isinstance(decoder.begin(path, False, InputSpec("image", 224, 224), tmp_path / "shown"), DecodedImage)
        assert decoder.end()
        assert decoder.pid == first
    finally:
        decoder.close()
