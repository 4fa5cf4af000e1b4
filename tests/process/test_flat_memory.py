"""A clip of hundreds of frames costs the memory of one: measured as the peak of a process that reads every frame."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from tests import clips, films
from tests.peers import REPOSITORY

FEW, MANY = 20, 500
ROWS, COLUMNS = 256, 320
ALLOWED_MB = 16

# Under the limits of the decode child.  The peak is VmHWM: ru_maxrss would count what the parent held at the fork.
READ_ALL = r"""
import json, re, sys
from pathlib import Path
from firmware_app.imaging import image_file as film
from firmware_app.core import child_loop as confinement
confinement.confine(512)
with film.open_image_file(Path(sys.argv[1]), is_picture=sys.argv[2] == "picture") as opened:
    total = sum(float(opened.grey(index).max()) for index in range(opened.frames))
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))[1])
    print(json.dumps([opened.frames, total, peak / 1024]))
"""


def read_clip(path: Path, kind: str = "dicom") -> tuple[int, float, float]:
    """(frames, the sum of every frame's brightest grey, peak MB)."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(path), kind], capture_output=True, text=True, env=environment, check=True
    )
    frames, total, peak_mb = json.loads(done.stdout.splitlines()[-1])
    return frames, total, peak_mb


def native(folder: Path, frames: int) -> Path:
    """A 16-bit clip whose frames are holes in the file but for their first word, which is their number plus one."""
    dataset = films.film(np.zeros((ROWS, COLUMNS), np.uint16), NumberOfFrames=frames)
    path = films.save(folder, f"native-{frames}.dcm", dataset)
    size, frame = path.stat().st_size, ROWS * COLUMNS * 2
    with path.open("r+b") as file:
        file.seek(size - frame - 4)
        file.write((frame * frames).to_bytes(4, "little"))
        for number in range(frames):
            file.seek(size - frame + number * frame)
            file.write((number + 1).to_bytes(2, "little"))
        file.truncate(size - frame + frame * frames)
    return path


def run_lengths(folder: Path, frames: int) -> Path:
    """The same as RLE: two planes of bytes, each one literal byte of the number and then runs of nothing."""

    def plane(byte: int) -> bytes:
        runs, rest = divmod(ROWS * COLUMNS - 1, 128)
        return bytes((0, byte)) + b"\x81\0" * runs + bytes((257 - rest, 0))

    def frame(number: int) -> bytes:
        high, low = plane((number + 1) >> 8), plane((number + 1) & 0xFF)
        return np.array([2, 64, 64 + len(high)] + [0] * 13, "<u4").tobytes() + high + low

    data = encapsulate([frame(number) for number in range(frames)], has_bot=False)
    dataset = films.film(
        np.zeros((ROWS, COLUMNS), np.uint16), syntax=RLELossless, pixel_data=data, NumberOfFrames=frames
    )
    return films.save(folder, f"rle-{frames}.dcm", dataset)


@pytest.mark.parametrize("made", [native, run_lengths])
def test_hundreds_of_frames_take_no_more_memory_than_twenty(tmp_path: Path, made: object) -> None:
    assert callable(made)
    (few, _, small_mb), (many, total, large_mb) = read_clip(made(tmp_path, FEW)), read_clip(made(tmp_path, MANY))
    assert (few, many) == (FEW, MANY)
    assert total == MANY * (MANY + 1) / 2  # every frame was itself
    assert large_mb - small_mb < ALLOWED_MB, (small_mb, large_mb)


def test_a_clip_of_hundreds_of_frames_takes_no_more_memory_than_one_of_twenty(tmp_path: Path) -> None:
    peaks = []
    for frames in (FEW, MANY):
        path = tmp_path / f"{frames}.mp4"
        path.write_bytes(clips.encode_clip("mpeg4", "mp4", frames))
        count, _, peak_mb = read_clip(path, "picture")
        assert count == frames
        peaks.append(peak_mb)
    assert peaks[1] - peaks[0] < ALLOWED_MB, peaks
