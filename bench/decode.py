"""How long pixels take on one core: a film from its file to the model's tensor, a clip frame by frame, beside pydicom.

A film of 2048 × 2048 pixels is opened, decoded and prepared for the model as the decode child does it, from a file that
the system has in memory.  Then the stored words alone, by the box and by pydicom's `pixel_array`, both from the file,
in turn and in the same process, for every transfer syntax that can be written here.  A clip is streamed by a process of
its own, with 120 frames and with 1,200, and what counts besides time is the most memory that it ever held.  Time is the
processor time of the process with all its threads: what one core takes, whatever else the machine does meanwhile.

    python -m bench.decode [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from bench import harness
from bench.harness import REPOSITORY, Variant
from bench.outcome import Goal, Row, Table
from firmware_app import __version__
from firmware_app.imaging import film, source
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from firmware_app.imaging.stored import Reader
from tests import films

SIDE: Final = 2048
SPEC: Final = InputSpec("input", 224, 224)
"""As the shipped packs have it."""
CLIP_ROWS, CLIP_COLUMNS = 600, 800
FRAMES: Final = (120, 1200)
_OURS: Final = f"Lantern {__version__}"
_PYDICOM: Final = f"pydicom {pydicom.__version__}"
_AS_FAST: Final = 1.05
"""Two medians of the same decoder differ by as much on a machine that does other things too."""
_MORE_MB: Final = 8.0

Pixels = np.ndarray[Any, Any]


def main() -> None:
    options = _options()
    if options.stream is not None:
        print(json.dumps(_streamed(options.stream, by_pydicom=options.by_pydicom)))
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        folder, absent = Path(name), list[str]()
        made = dict(_films(folder, absent))
        whole, goals = _from_file_to_tensor(made, options.rounds)
        words = [_beside_pydicom(title, path, options.rounds, absent) for title, path in made.items()]
        clips, found = _clips(folder, options)
    goals += [
        Goal(
            f"{table.title}: box ÷ pydicom, quickest of each", min(table.rows[0].samples) / min(table.rows[1].samples),
            _AS_FAST, "",
        )
        for table in words
        if len(table.rows) > 1
    ]  # fmt: skip
    harness.publish(
        "Decoding", [whole, *words, *clips], goals + found, absent, as_json=options.json, quick=options.quick
    )


def _options() -> argparse.Namespace:
    parser = harness.parser("decode", __doc__)
    parser.add_argument("--rounds", type=int, default=None, help="of each (default 15; with --quick 3)")
    parser.add_argument("--stream", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--by-pydicom", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 15)
    return options


# --- films ----------------------------------------------------------------------------------------------------------


def _films(folder: Path, absent: list[str]) -> Iterator[tuple[str, Path]]:
    """One film in each transfer syntax, by its name."""
    deep = _grain(films.shapes(3, SIDE, SIDE, top=65_000), 40)
    twelve = _grain(films.shapes(3, SIDE, SIDE, top=4_000), 6)
    bits: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}
    plain = films.save(folder, "explicit.dcm", films.film(deep))
    yield "uncompressed, 16 bits", plain
    yield (
        "uncompressed, implicit, 12 bits",
        films.save(folder, "implicit.dcm", films.film(twelve, syntax=ImplicitVRLittleEndian, **bits)),
    )
    yield "uncompressed, big endian", films.save(folder, "big.dcm", films.film(deep, syntax=ExplicitVRBigEndian))
    shallow = films.save(folder, "twelve.dcm", films.film(twelve, **bits))
    for title, option, path in (
        ("JPEG lossless SV1, 16 bits", "+e1", plain),
        ("JPEG lossless, 16 bits", "+el", plain),
        ("JPEG extended, 12 bits", "+ee", shallow),
    ):
        program = harness.find_tool("dcmcjpeg")
        if program is None:
            absent.append(f"{title}: dcmcjpeg is not installed (Debian: dcmtk)")
            continue
        coded = folder / f"{option[1:]}.dcm"
        subprocess.run([program, option, str(path), str(coded)], check=True, capture_output=True)
        yield title, coded
    coded_by_pydicom: tuple[tuple[str, UID, dict[str, Any]], ...] = (
        ("RLE", RLELossless, {}),
        ("JPEG-LS", JPEGLSLossless, {}),
        ("JPEG-LS near-lossless", JPEGLSNearLossless, {"jls_error": 3}),
        ("JPEG 2000 lossless", JPEG2000Lossless, {}),
        ("JPEG 2000", JPEG2000, {"j2k_cr": [10]}),
    )
    for title, syntax, settings in coded_by_pydicom:
        dataset = films.film(deep)
        dataset.compress(syntax, generate_instance_uid=False, **settings)
        yield f"{title}, 16 bits", films.save(folder, f"{syntax.keyword}.dcm", dataset)
    eight = (twelve >> 4).astype(np.uint8)
    dataset = films.film(eight, syntax=JPEGBaseline8Bit, pixel_data=encapsulate([_jpeg(eight)]))
    yield "JPEG baseline, 8 bits", films.save(folder, "baseline.dcm", dataset)


def _grain(pixels: Pixels, deviation: float) -> Pixels:
    """*pixels* with the noise of a detector, without which every coder has it too easy."""
    noise = np.random.default_rng(8).normal(0, deviation, pixels.shape)
    return np.clip(pixels + noise, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _jpeg(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def _from_file_to_tensor(made: dict[str, Path], rounds: int) -> tuple[Table, list[Goal]]:
    variants = [Variant(title, _OURS, _timed(partial(_tensor, path))) for title, path in made.items()]
    rows = tuple(result.row for result in harness.alternate(variants, rounds))
    bounds = {"uncompressed": 60.0, "JPEG lossless": 150.0}
    goals = [
        Goal(f"{row.name}: file to tensor", row.median, bound, "ms")
        for row in rows
        for title, bound in bounds.items()
        if row.name.startswith(title)
    ]
    title = f"A film of {SIDE} × {SIDE} pixels, from its file to the model's tensor, one core"
    return Table(title, "ms", rows, compared=False), goals


def _tensor(path: Path) -> None:
    with film.opened(path, is_picture=False) as opened:
        to_model_input(opened.grey(0), SPEC)


def _beside_pydicom(title: str, path: Path, rounds: int, absent: list[str]) -> Table:
    variants = [
        Variant("Lantern", _OURS, _timed(lambda: _words(path))),
        Variant("pydicom pixel_array", _PYDICOM, _timed(lambda: pydicom.dcmread(path).pixel_array), "peer"),
    ]
    try:
        if not np.array_equal(_words(path), pydicom.dcmread(path).pixel_array):
            harness.give_up(f"{title}: the words differ from pydicom's")
    except RuntimeError:
        absent.append(f"{title}: pydicom has no decoder for it here")
        del variants[1]
    rows = tuple(result.row for result in harness.alternate(variants, rounds))
    return Table(f"Stored words: {title}", "ms", rows, plotted=False)


def _words(path: Path) -> Pixels:
    with source.opened(path) as found:
        reader = Reader(found)
        try:
            return reader.frame(0)
        finally:
            reader.close()


def _timed(what: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        begun = time.process_time()
        what()
        return 1e3 * (time.process_time() - begun)

    return once


# --- clips ----------------------------------------------------------------------------------------------------------


def _clips(folder: Path, options: argparse.Namespace) -> tuple[list[Table], list[Goal]]:
    """Frames a second and the most memory of a process that reads a clip once, ours and pydicom's."""
    short, long = (_clip(folder, frames) for frames in FRAMES)
    rates: dict[str, list[float]] = {}
    peaks: dict[str, list[float]] = {}
    for number in range(1 if options.quick else 5):
        for name, path, by_pydicom in (
            (f"Lantern, {FRAMES[0]} frames", short, False),
            (f"Lantern, {FRAMES[1]} frames", long, False),
            (f"pydicom iter_pixels, {FRAMES[0]} frames", short, True),
        ):
            harness.progress(f"clips, round {number + 1}: {name}")
            frames, seconds, peak_mb = _in_a_process(path, by_pydicom=by_pydicom)
            rates.setdefault(name, []).append(frames / seconds)
            peaks.setdefault(name, []).append(peak_mb)
    facts = {"frame": f"{CLIP_COLUMNS} × {CLIP_ROWS}, colour, JPEG baseline", "core": "one"}
    tables = [
        Table(title, unit, tuple(_row(name, values) for name, values in found.items()), facts, compared=False)
        for title, unit, found in (
            ("An ultrasound clip, decoded frame by frame to greys", "frames/s", rates),
            ("The most memory of that process", "MB", peaks),
        )
    ]
    rate, memory = tables[0].rows, tables[1].rows
    return tables, [
        Goal(f"a clip of {FRAMES[0]} frames", rate[0].median, 60, "frames/s", at_least=True),
        Goal(f"a clip of {FRAMES[1]} frames", rate[1].median, 60, "frames/s", at_least=True),
        Goal(
            f"memory of {FRAMES[1]} frames more than of {FRAMES[0]}",
            memory[1].median - memory[0].median,
            _MORE_MB,
            "MB",
        ),
    ]


def _row(name: str, values: list[float]) -> Row:
    is_peer = name.startswith("pydicom")
    return Row(name, tuple(values), "peer" if is_peer else "lantern", _PYDICOM if is_peer else _OURS)


def _clip(folder: Path, frames: int) -> Path:
    """A colour clip as an ultrasound machine stores it: speckle in a sector that moves from frame to frame."""
    chance = np.random.default_rng(2)
    down, across = np.mgrid[0:CLIP_ROWS, 0:CLIP_COLUMNS]
    inside = (np.hypot(down + 60, across - CLIP_COLUMNS / 2) < 600) & (abs(across - CLIP_COLUMNS / 2) < 0.7 * down + 30)
    streams = []
    for number in range(FRAMES[0]):
        speckle = chance.rayleigh(40, inside.shape) * (0.6 + 0.4 * np.sin(down / 50 + number / 9))
        grey = np.where(inside, np.clip(speckle, 0, 255), 0).astype(np.uint8)
        streams.append(_jpeg(np.repeat(grey[..., np.newaxis], 3, 2)))
    made: FileDataset = films.film(
        np.zeros((CLIP_ROWS, CLIP_COLUMNS, 3), np.uint8),
        syntax=JPEGBaseline8Bit,
        pixel_data=encapsulate([streams[number % FRAMES[0]] for number in range(frames)]),
        NumberOfFrames=frames,
        PhotometricInterpretation="YBR_FULL_422",
        Modality="US",
    )
    return films.save(folder, f"clip-{frames}.dcm", made)


def _in_a_process(path: Path, *, by_pydicom: bool) -> tuple[int, float, float]:
    command = [sys.executable, "-m", "bench.decode", "--stream", str(path), *(["--by-pydicom"] if by_pydicom else [])]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    frames, seconds, peak_mb = json.loads(done.stdout.splitlines()[-1])
    return frames, seconds, peak_mb


def _streamed(path: Path, *, by_pydicom: bool) -> tuple[int, float, float]:
    """(frames, seconds, peak MB) of reading the clip at *path* once."""
    begun = time.process_time()
    frames = 0
    if by_pydicom:
        from pydicom.pixels import iter_pixels

        for _ in iter_pixels(path):
            frames += 1
    else:
        with film.opened(path, is_picture=False) as opened:
            for index in range(opened.frames):
                opened.grey(index)
                frames += 1
    seconds = time.process_time() - begun
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    return frames, seconds, int(peak[1]) / 1024 if peak else 0.0


if __name__ == "__main__":
    main()
