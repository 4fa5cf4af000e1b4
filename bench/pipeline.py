"""How much of the bare model's rate is left when a whole box reads a full queue.

Films are handed to the box's door while it is off, all at once; then `lantern serve` starts and reads them. What counts
is the rate from the moment when all its processes are up to the last reading. Beside it the same artefact on the same
runtime with the same threads in one process, its inputs lying ready; and the same with decoding and making the input
before each inference, one after the other. Two kinds of film, since a film's size decides.

    python -m bench.pipeline [--films N] [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

from bench import bare, box, harness, sent_films
from bench.box import Readings
from bench.outcome import Table
from bench.sent_films import Film
from firmware_app import __version__
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import PackIdentity
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.packs.pack_folder import shipped_packs_dir

_BARE_TIMES: Final = 200
_MOST_S: Final = 300.0


def main() -> None:
    counts = {"films": (100, 20, "in the queue"), "rounds": (3, 1, "rounds that count")}
    options = harness.parse(harness.parser(**counts))
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        tables = [_table(film, Path(name), options) for film in (sent_films.large(), sent_films.small())]
    harness.publish(options, "Pipeline efficiency", tables)


def _table(film: Film, folder: Path, options: argparse.Namespace) -> Table:
    identities: list[PackIdentity] = []
    path = film.write(0, folder / "bare.dcm")

    def whole() -> float:
        rate, identity = _whole(film, folder / "work", options.films)
        identities.append(identity)
        return rate

    whole()  # warms the caches, and shows which pack reads this film
    variants = [
        harness.Variant("whole box, queue full", f"Lantern {__version__}", whole),
        harness.Variant("limit: bare model, inputs ready", "", partial(_bare, "rate", path, identities[0]), "limit"),
        harness.Variant(
            "limit: bare decode + input + model", "", partial(_bare, "steps", path, identities[0]), "limit"
        ),
    ]
    results = harness.alternate(variants, options.rounds, warm_ups=0)
    box_rate, model, steps = (result.median for result in results)
    pack = identities[0]
    facts = {
        "films": options.films,
        "megabytes each": round(len(film.content) / 1e6, 1),
        "pack": f"{pack.name} {pack.version}, {pack.runtime} {pack.precision}",
        "box / bare model": round(box_rate / model, 3),
        "box / bare decode + input + model": round(box_rate / steps, 3),
    }
    return Table(f"Films per second: {film.title}", "films/s", tuple(result.row for result in results), facts)


def _whole(film: Film, work: Path, count: int) -> tuple[float, PackIdentity]:
    """Films per second of a box that starts with *count* of them waiting, and the pack that read them."""
    harness.empty(work)
    state = StateDir(work / "state")
    _fill(state, film, count, work / "film.dcm")
    with box.start(state.root) as served, Readings(state) as readings:
        served.ready("gateway", "reader", "viewer")
        harness.await_true(lambda: readings.count() >= 1, box.READ_S, "the first film was read")
        first, begun = readings.count(), time.perf_counter()
        harness.await_true(lambda: readings.count() >= count, _MOST_S, f"{count} films were read")
        seconds = time.perf_counter() - begun
    identity = box.read_all(state)[0].pack
    assert identity is not None
    return (count - first) / seconds, identity


def _fill(state: StateDir, film: Film, count: int, path: Path) -> None:
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    door = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=4096)
    for number in range(1, count + 1):
        door.accept_file(film.write(number, path))
    clinical.database.close()


def _bare(what: str, path: Path, identity: PackIdentity) -> float:
    """Films per second in one process."""
    times = _BARE_TIMES if what == "rate" else _BARE_TIMES // 5
    measured = bare.measure(what, shipped_packs_dir(), identity, Config().reader.threads, path, times)
    if what == "rate":
        return float(measured)
    return 1e3 * times / sum(map(sum, measured.values()))


if __name__ == "__main__":
    main()
