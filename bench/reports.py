"""How long a report on paper takes, and how large the file is.

Each sample is what a doctor waits for after a press on “PDF”: a process of its own is started, draws the pictures from
the frames that the reader has rendered, finds the fonts, sets the pages and hands back the file. The film is a made one
of 2048 by 1680 pixels with a heat map, in Chinese; the long report has two films, twelve lesions and two pages.

    python -m bench.reports [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from bench import harness
from bench.harness import Variant
from bench.outcome import Goal, Row, Table
from firmware_app import __version__
from firmware_app.core.settings import Config
from firmware_app.results import rendering
from firmware_app.results.case_view import CaseView
from firmware_app.results.pdf import typesetting
from tests import films
from tests.results import result_of

_ROWS, _COLUMNS = 2048, 1680
_LESIONS: Final = 12
_MOST_S: Final = 1.0
_MOST_KB: Final = 500.0


def main() -> None:
    options = _options()
    if not typesetting.find_fonts().faces:
        harness.leave_out("there is no font (Debian: fonts-noto-cjk)")
    sizes: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        folder = Path(name)
        config = Config.model_validate({"state": {"dir": folder / "state"}})
        reports = {
            "one film, heat map, Chinese": (_one(folder), "zh_CN"),
            "two films, lesions, English": (_long(folder), "en"),
        }
        variants = [
            Variant(
                title,
                f"Lantern {__version__}",
                partial(_seconds, config, view, language, sizes.setdefault(title, []), processor.setdefault(title, [])),
            )
            for title, (view, language) in reports.items()
        ]
        results = harness.alternate(variants, options.rounds)
    version = f"Lantern {__version__}"
    tables = [
        Table("From the press to the file", "s", tuple(one.row for one in results), {"rounds": options.rounds}),
        Table(
            "Of it processor time, which other work on the machine changes little",
            "s",
            tuple(Row(title, tuple(found), version=version) for title, found in processor.items()),
        ),
        Table("The file", "kB", tuple(Row(title, tuple(found), version=version) for title, found in sizes.items())),
    ]
    goals = [Goal(f"time, {one.name}", one.median, _MOST_S, "s") for one in results]
    goals += [Goal(f"size, {title}", max(found), _MOST_KB, "kB") for title, found in sizes.items()]
    harness.publish("A report on paper", tables, goals, as_json=options.json, quick=options.quick)


def _options() -> argparse.Namespace:
    parser = harness.parser("reports", __doc__)
    parser.add_argument("--rounds", type=int, default=None, help="reports of each kind (default 20; with --quick 2)")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 20)
    return options


def _seconds(config: Config, view: CaseView, language: str, sizes: list[float], processor: list[float]) -> float:
    worked, begun = _worked(), time.perf_counter()
    made = rendering.render_pdf(config, view, language)
    taken = time.perf_counter() - begun
    processor.append(_worked() - worked)
    sizes.append(len(made) / 1000.0)
    return taken


def _worked() -> float:
    """Seconds of the processor that this process and its ended children have used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _one(folder: Path) -> CaseView:
    """A film with a heat map and no lesion."""
    view = _drawn(folder, "one", heat=True)
    reading = replace(view.case.readings[0], lesions=())
    return replace(view, case=replace(view.case, readings=(reading,), lesions=()))


def _long(folder: Path) -> CaseView:
    """Two films with lesions: the longest report."""
    results = [_drawn(folder, name, heat=False) for name in ("first", "second")]
    images, readings = [], []
    for number, view in enumerate(results):
        name = f"i-{number}"
        lesions = tuple(replace(view.case.lesions[0], instance=name) for _ in range(_LESIONS // 2))
        readings.append(replace(view.case.readings[0], instances=(name,), lesions=lesions))
        images.append(replace(view.images[0], instance=name))
    lesions = tuple(lesion for one in readings for lesion in one.lesions)
    case = replace(results[0].case, readings=tuple(readings), lesions=lesions)
    return replace(results[0], case=case, images=tuple(images))


def _drawn(folder: Path, name: str, *, heat: bool) -> CaseView:
    display = folder / name
    film = films.save(folder, f"{name}.dcm", films.film())
    view = result_of(film, display)
    rng = np.random.default_rng(len(name))
    down, across = np.mgrid[0:_ROWS, 0:_COLUMNS]
    lungs = 50000 - 60000 * np.hypot(across / _COLUMNS - 0.5, down / _ROWS - 0.5)
    greys = np.clip(lungs + rng.normal(0, 1500, lungs.shape), 0, 65535).astype(np.uint16)
    Image.fromarray(greys).save(display / "frame-000.png")
    if heat:
        down, across = np.mgrid[0:256, 0:210]
        warmth = 255 * np.exp(-((across - 140) ** 2 + (down - 90) ** 2) / 1500)
        Image.fromarray(warmth.astype(np.uint8)).save(display / "pneumonia.png")
    return view


if __name__ == "__main__":
    main()
