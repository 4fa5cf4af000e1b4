"""How long a chest film takes from the door's answer to its reading, and where that time goes.

A real reader process runs beside this one, as on a box.  Each round hands the door one real adult chest film (RG1 of
pydicom-data) under a new identity; the clock starts when the door has returned (the modality has its 0x0000) and stops
when the reading is in the database.  The split is measured in this process, one step after the other.

    python -m bench.reading [--rounds N] [--packs DIR] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from bench import harness
from firmware_app.device import presence
from firmware_app.imaging import film
from firmware_app.imaging.model_input import InputSpec, to_model_input
from firmware_app.intake.accept import Door
from firmware_app.packs.shelf import find_pack, shipped_packs_dir
from firmware_app.records import Reading, ReadingStatus
from firmware_app.store.clinical import Clinical
from firmware_app.store.layout import StateDir

_FILM: Final = "RG1_UNCR.dcm"
_START_S: Final = 60.0
_READ_S: Final = 30.0
_POLL_S: Final = 0.0005


def main() -> None:
    options = _options()
    source = _film()
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as folder, _reader(Path(folder), options.packs) as state:
        clinical = Clinical(state.clinical_db)
        door = Door(state, clinical, high_water_free_mb=16, max_object_mb=4096)
        waits, readings = [], []
        for number in range(options.rounds + options.warm_ups):
            path = _renamed(source, Path(folder) / "film.dcm")
            wait, reading = _one(door, clinical, path)
            if number >= options.warm_ups:
                waits.append(1e3 * wait)
                readings.append(reading)
            harness.progress(f"film {number + 1} of {options.rounds + options.warm_ups}: {1e3 * wait:.0f} ms")
        clinical.database.close()
    _report(waits, readings, _split(source, _spec(readings[0], options.packs)), as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.reading", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="films that count")
    parser.add_argument("--warm-ups", type=int, default=3, help="films before them")
    parser.add_argument("--packs", type=Path, default=shipped_packs_dir(), help="default: the shipped packs")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


def _film() -> Path:
    try:
        import data_store
    except ImportError:
        harness.give_up("This bench reads a real film of pydicom-data; install the extra “demo”.")
    return Path(str(data_store.__file__)).parent / "data" / _FILM


# --- one measurement ----------------------------------------------------------------------------------------------


@contextmanager
def _reader(folder: Path, packs: Path) -> Iterator[StateDir]:
    """A running `lantern serve --only reader`, warm."""
    state = StateDir(folder / "state")
    environment = {
        **os.environ,
        "LANTERN_STATE__DIR": str(state.root),
        "LANTERN_PACKS__DIR": str(packs),
        "LANTERN_BOX__USUAL_POPULATION": "adult",
    }
    command = [sys.executable, "-m", "firmware_app.cli", "serve", "--only", "reader"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            _await(lambda: presence.announcement(state, "reader") is not None or process.poll() is not None, _START_S)
            yield state
        finally:
            process.terminate()


def _renamed(source: Path, target: Path) -> Path:
    dataset = pydicom.dcmread(source)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(dataset, keyword, generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(target)
    return target


def _one(door: Door, clinical: Clinical, path: Path) -> tuple[float, Reading]:
    """(seconds from the door's answer to the reading, the reading)."""
    admitted = door.accept_file(path)
    begun = time.perf_counter()
    query = "SELECT 1 FROM readings WHERE key = ?"
    _await(lambda: clinical.database.connection.execute(query, (admitted.instance,)).fetchone() is not None, _READ_S)
    waited = time.perf_counter() - begun
    reading = clinical.case(admitted.case).readings[0]
    if reading.status is not ReadingStatus.READ:
        harness.give_up(f"The film was not read: {reading.reason.text('en') if reading.reason else ''}")
    return waited, reading


def _await(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            harness.give_up("The reader did not answer in time.")
        time.sleep(_POLL_S)


# --- where the time goes ------------------------------------------------------------------------------------------


def _spec(reading: Reading, packs: Path) -> InputSpec:
    assert reading.pack is not None
    return find_pack(packs, reading.pack.name).manifest.input


def _split(source: Path, spec: InputSpec, rounds: int = 30) -> dict[str, float]:
    """Median milliseconds of the decode child's two steps, in this process."""
    decode, prepare = [], []
    for _ in range(rounds):
        with film.opened(source, is_picture=False) as opened:
            begun = time.perf_counter()
            frame = opened.grey(0)
            decoded = time.perf_counter()
            to_model_input(frame, spec)
            prepared = time.perf_counter()
        decode.append(1e3 * (decoded - begun))
        prepare.append(1e3 * (prepared - decoded))
    return {"decode_ms": float(np.median(decode)), "preprocess_ms": float(np.median(prepare))}


def _report(waits: list[float], readings: list[Reading], split: dict[str, float], *, as_json: bool) -> None:
    pack = readings[0].pack
    assert pack is not None
    timings = [reading.timing for reading in readings]
    facts: dict[str, Any] = {
        "film": _FILM,
        "n": len(waits),
        "pack": f"{pack.name} {pack.version}, {pack.runtime} {pack.precision}",
        "accept_to_reading_ms": {f"p{p}": round(float(np.percentile(waits, p)), 1) for p in (50, 95)},
        "reader_median_ms": {
            "decode_and_preprocess": round(float(np.median([timing.decode for timing in timings])), 1),
            "infer_and_heat_map": round(float(np.median([timing.infer for timing in timings])), 1),
            "total_with_display_frame": round(float(np.median([timing.total for timing in timings])), 1),
        },
        "alone_median_ms": {name: round(value, 1) for name, value in split.items()},
    }
    if as_json:
        print(json.dumps({"bench": "reading", **facts, "machine": harness.machine()}))
        return
    print("from the door's answer to the reading")
    for key, value in (*facts.items(), *harness.machine().items()):
        print(f"  {key.replace('_', ' ')}: {value}")


if __name__ == "__main__":
    main()
