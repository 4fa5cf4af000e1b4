"""How long each result object of a case takes to make and write, and how large it is; and a whole case in its process.

``python -m bench.result_objects [--rounds N] [--json]``: a chest film and a clip made by code, each with a finding and
two lesions.  Seconds are of the processor: those of an object without the first round, which imports highdicom, and for
the document without typesetting it; those of a whole case with the start of the child process and the typesetting.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import decode_films, harness
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.results import rendering as report
from firmware_app.results.case_view import CaseView
from firmware_app.results.dicom_objects import objects
from firmware_app.results.rendering import render_objects
from tests import films
from tests.results import result_of

_FILM = (2500, 2048)
_FRAMES = 60
_NAMES = {
    "picture": "picture as it came",
    "sc": "Secondary Capture",
    "seg": "Segmentation",
    "pr": "Presentation State",
    "sr": "Comprehensive 3D SR",
    "pdf": "Encapsulated PDF",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: seconds of each round, and bytes."""

    case: str
    what: str
    seconds: tuple[float, ...]
    size: int

    def row(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        middle = statistics.median(self.seconds)
        return f"| {self.case} | {self.what} | {middle:.3f} ({low:.3f}–{high:.3f}) | {self.size / 1e3:,.1f} |"

    def as_json(self) -> str:
        return json.dumps({"case": self.case, "object": self.what, "seconds": self.seconds, "bytes": self.size})


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.result_objects", description=__doc__)
    options.add_argument("--rounds", type=int, default=7, metavar="N")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    if not given.json:
        told = ", ".join(f"{name} {fact}" for name, fact in harness.machine().items())
        print(f"{told}\n\n| case | object | seconds | kB |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        for case, view in _results(Path(name)).items():
            for one in (
                *_single(case, view, Path(name), given.rounds),
                _whole(case, view, Path(name), given.rounds),
            ):
                print(one.as_json() if given.json else one.row(), flush=True)
    return 0


def _results(folder: Path) -> dict[str, CaseView]:
    film = films.film(decode_films.grained(films.shapes(3, *_FILM), 12), BitsStored=12, HighBit=11)
    clip = decode_films.clip(folder, _FRAMES)
    return {
        f"film {_FILM[1]} × {_FILM[0]}": result_of(films.save(folder, "film.dcm", film), folder / "film"),
        f"clip of {_FRAMES} frames": result_of(clip, folder / "clip"),
    }


def _single(case: str, view: CaseView, folder: Path, rounds: int) -> Iterator[Measured]:
    pdf = report.render_pdf(Config(), view, view.language)
    seconds: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    for number in range(rounds + 1):
        begun = time.process_time()
        for one in objects.make_objects(view, pdf):
            path = objects.write_object(one, folder)
            now = time.process_time()
            if number:
                seconds.setdefault(one.kind, []).append(now - begun)
            sizes[one.kind] = path.stat().st_size
            begun = time.process_time()
    for kind, spent in seconds.items():
        yield Measured(case, _NAMES[kind], tuple(spent), sizes[kind])


def _whole(case: str, view: CaseView, folder: Path, rounds: int) -> Measured:
    out, spent, size = folder / "out", [], 0
    out.mkdir(exist_ok=True)
    for _ in range(rounds):
        begun = _spent()
        made = list(render_objects(Config(), view, out))
        spent.append(_spent() - begun)
        size = sum(int(one["bytes"]) for one in made if not isinstance(one, Reason))
    return Measured(case, f"all {len(made)}, with their process", tuple(spent), size)


def _spent() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    raise SystemExit(main())
