"""How long pixels take on one core: a film from its file to the model's tensor, a clip frame by frame, beside pydicom.

A film of 2048 × 2048 pixels is opened, decoded and prepared for the model as the decode child does it, from a file that
the system has in memory.  Then the stored words alone, by the box and by pydicom's `pixel_array`, both from the file,
for every transfer syntax that can be written here; all of them take turns in one process.  A clip is streamed by a
process of its own, with 120 frames and with 600, and what counts besides time is the most memory that it ever held.
Processor time is that of the process with all its threads: what one core takes, whatever else the machine does
meanwhile.  It is what the goals are held to; the time by the clock stands beside it.

    python -m bench.decode [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from pydicom.pixels import iter_pixels

from bench import decode_films, harness
from bench.decode_films import CLIP_COLUMNS, CLIP_ROWS, SIDE
from bench.harness import REPOSITORY, Variant
from bench.outcome import Goal, Kind, Row, Table
from firmware_app import __version__
from firmware_app.imaging import dicom_source, image_file
from firmware_app.imaging.codec.stored_frames import FrameReader
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input

SPEC: Final = InputSpec("input", 224, 224)
"""As in the shipped packs."""
FRAMES: Final = (120, 600)
_OURS: Final = f"Lantern {__version__}"
try:
    _GDCM = f" with gdcm {version('python-gdcm')}"
except PackageNotFoundError:
    _GDCM = ""
_PYDICOM: Final = f"pydicom {pydicom.__version__}{_GDCM}"
_AS_FAST: Final = 1.05
"""Two medians of one decoder differ by as much on a machine that runs other programs too."""
_MORE_MB: Final = 8.0

Pixels = np.ndarray[Any, Any]


def main() -> None:
    options = _options()
    if options.stream is not None:
        print(json.dumps(_stream(options.stream, by_pydicom=options.by_pydicom)))
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        folder, absent = Path(name), list[str]()
        made = dict(decode_films.every_syntax(folder, absent))
        whole, goals = _from_file_to_tensor(made, options.rounds)
        words, compared = _beside_pydicom(made, options.rounds, absent)
        clips, streamed = _clips(folder, options)
    tables, goals = [*whole, *words, *clips], [*goals, *compared, *streamed]
    harness.publish(options, "Decoding", tables, goals, absent)


def _options() -> argparse.Namespace:
    parser = harness.parser(rounds=(9, 2, "of each"))
    parser.add_argument("--stream", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--by-pydicom", action="store_true", help=argparse.SUPPRESS)
    return harness.parse(parser)


# --- films ----------------------------------------------------------------------------------------------------------


class _Clocks:
    """Runs something once and returns milliseconds of processor time; wall-clock time is recorded too."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what
        self.wall: list[float] = []

    def __call__(self) -> float:
        begun, wall = time.process_time(), time.perf_counter()
        self._what()
        self.wall.append(1e3 * (time.perf_counter() - wall))
        return 1e3 * (time.process_time() - begun)


def _measure(variants: dict[str, tuple[Callable[[], object], Kind]], rounds: int) -> tuple[list[Row], list[Row]]:
    """Rows of processor time and of the time by the clock, in milliseconds; all variants in turn."""
    clocks = {name: _Clocks(what) for name, (what, _) in variants.items()}
    versions: dict[Kind, str] = {"lantern": _OURS, "peer": _PYDICOM}
    turns = [Variant(name, versions[kind], clocks[name], kind) for name, (_, kind) in variants.items()]
    rows = [result.row for result in harness.alternate(turns, rounds)]
    return rows, [replace(row, samples=tuple(clocks[row.name].wall[-rounds:])) for row in rows]


def _from_file_to_tensor(made: dict[str, Path], rounds: int) -> tuple[list[Table], list[Goal]]:
    rows, by_clock = _measure({name: (partial(_tensor, path), "lantern") for name, path in made.items()}, rounds)
    bounds = {"uncompressed": 60.0, "JPEG lossless": 150.0}
    goals = [
        Goal(f"{row.name}: file to tensor, one core", row.median, bound, "ms")
        for row in rows
        for title, bound in bounds.items()
        if row.name.startswith(title)
    ]
    title = f"A film of {SIDE} × {SIDE} pixels, from its file to the model's tensor"
    return [
        Table(f"{title}, processor time", "ms", tuple(rows), compared=False),
        Table.aside(f"{title}, by the clock", "ms", by_clock),
    ], goals


def _tensor(path: Path) -> None:
    with image_file.open_image_file(path, is_picture=False) as opened:
        to_model_input(opened.grey(0), SPEC)


def _beside_pydicom(made: dict[str, Path], rounds: int, absent: list[str]) -> tuple[list[Table], list[Goal]]:
    variants: dict[str, tuple[Callable[[], object], Kind]] = {}
    both = []
    for title, path in made.items():
        variants[f"{title}: Lantern"] = (partial(_words, path), "lantern")
        try:
            if not np.array_equal(_words(path), _pixel_array(path)):
                harness.give_up(f"{title}: the words differ from pydicom's")
        except (RuntimeError, NotImplementedError):
            absent.append(f"{title}: pydicom has no decoder for it here")
            continue
        variants[f"{title}: pydicom"] = (partial(_pixel_array, path), "peer")
        both.append(title)
    rows, by_clock = _measure(variants, rounds)
    quickest = {row.name: min(row.samples) for row in rows}
    worst = max(both, key=lambda title: quickest[f"{title}: Lantern"] / quickest[f"{title}: pydicom"])
    ratio = quickest[f"{worst}: Lantern"] / quickest[f"{worst}: pydicom"]
    title = f"Stored words of a film of {SIDE} × {SIDE} pixels, beside pydicom's pixel_array"
    return [
        Table.aside(f"{title}, processor time", "ms", rows),
        Table.aside(f"{title}, by the clock", "ms", by_clock),
    ], [
        Goal(f"stored words: box ÷ pydicom, quickest of each, the worst of {len(both)} ({worst})", ratio, _AS_FAST, "×")
    ]


def _pixel_array(path: Path) -> Pixels:
    return pydicom.dcmread(path).pixel_array


def _words(path: Path) -> Pixels:
    with dicom_source.open_source(path) as image:
        reader = FrameReader(image)
        try:
            return reader.frame(0)
        finally:
            reader.close()


# --- clips ----------------------------------------------------------------------------------------------------------


_OF_A_CLIP: Final = (
    ("An ultrasound clip, frame by frame to greys, by processor time", "frames/s"),
    ("The same by the clock", "frames/s"),
    ("The most memory of that process", "MB"),
)


def _clips(folder: Path, options: argparse.Namespace) -> tuple[list[Table], list[Goal]]:
    """Frames per second and peak memory of a process that reads a clip once, with our decoder and with pydicom's."""
    short, long = (decode_films.clip(folder, frames) for frames in FRAMES)
    streamed: dict[str, list[list[float]]] = {}
    for number in range(1 if options.quick else 3):
        for name, path, more in (
            (f"Lantern, {FRAMES[0]} frames", short, []),
            (f"Lantern, {FRAMES[1]} frames", long, []),
            (f"pydicom iter_pixels, {FRAMES[0]} frames", short, ["--by-pydicom"]),
        ):
            harness.progress(f"clips, round {number + 1}: {name}")
            streamed.setdefault(name, []).append(_in_a_process(path, more))
    facts = {"frame": f"{CLIP_COLUMNS} × {CLIP_ROWS}, colour, JPEG baseline"}

    def row(name: str, values: Iterable[float]) -> Row:
        return Row(name, tuple(values), *(("peer", _PYDICOM) if name.startswith("pydicom") else ("lantern", _OURS)))

    tables = [
        Table(title, unit, tuple(row(name, [one[at] for one in each]) for name, each in streamed.items()), facts, False)
        for at, (title, unit) in enumerate(_OF_A_CLIP)
    ]
    rate, memory = tables[0].rows, tables[2].rows
    more_mb = memory[1].median - memory[0].median
    return tables, [
        Goal(f"a clip of {FRAMES[0]} frames, one core", rate[0].median, 60, "frames/s", at_least=True),
        Goal(f"a clip of {FRAMES[1]} frames, one core", rate[1].median, 60, "frames/s", at_least=True),
        Goal("a clip: times pydicom's iter_pixels", rate[0].median / rate[2].median, 1, "×", at_least=True),
        Goal(f"memory of {FRAMES[1]} frames more than of {FRAMES[0]}", more_mb, _MORE_MB, "MB"),
    ]


def _in_a_process(path: Path, more: list[str]) -> list[float]:
    command = [sys.executable, "-m", "bench.decode", "--stream", str(path), *more]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _stream(path: Path, *, by_pydicom: bool) -> tuple[float, float, float]:
    """The figures of `_OF_A_CLIP`, measured while reading the clip at *path* once."""
    begun, wall = time.process_time(), time.perf_counter()
    frames = 0
    if by_pydicom:
        for _ in iter_pixels(path):
            frames += 1
    else:
        with image_file.open_image_file(path, is_picture=False) as opened:
            for index in range(opened.frames):
                opened.grey(index)
                frames += 1
    used, passed = time.process_time() - begun, time.perf_counter() - wall
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    return frames / used, frames / passed, int(peak[1]) / 1024 if peak else 0.0


if __name__ == "__main__":
    main()
