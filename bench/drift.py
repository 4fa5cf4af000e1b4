"""How soon the drift watch finds a change in real films, and how often it cries wolf.

A clinic of children is played with the shipped pack's own held-out films, read as the box reads them, drawn in a random
order with a stated share of pneumonia. In streams without a change the false alarms of 1,000 images are counted, over
many orders; in the others a change sets in after the first images, and the images until it is found are counted. The
arithmetic is the box's own (`firmware_app.core.drift_tests`), all measures at once, looked at every ten images.

    python -m bench.drift [--orders N] [--data DIR] [--kept FILE] [--json] [--quick]

Films are drawn with replacement: of the orders of one pool, not of other hospitals, these figures tell.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from bench import foreign_sets, harness
from bench.foreign_sets import Grey
from converters.data import datasets
from converters.data.datasets import Film, FilmSet
from converters.synthetic_images import acquisition_shift
from firmware_app.core import drift_tests
from firmware_app.core.accuracy import Rate
from firmware_app.core.drift_tests import FIRST_IMAGES, MOST_FIRST_IMAGES, WatchedImage
from firmware_app.imaging import image_file, model_frames
from firmware_app.imaging.errors import (
    ImageUnfit,
)
from firmware_app.packs import pack_folder
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.tasks.interface import Frame
from firmware_app.packs.typicality import FamiliarityCheck
from firmware_app.reading.children.inference_child import LoadedModel

CHILD: Final = "chest-xray-child"

BEFORE: Final = MOST_FIRST_IMAGES + FIRST_IMAGES
"""Images before a change sets in."""
AFTER: Final = 1_000
EVERY: Final = 10
"""Images between two looks."""
PREVALENCE: Final = 0.3
MOST_ADULTS: Final = 400
MORE: Final = (0.1, 0.5, 0.7)
ADULTS: Final = (0.1, 0.3)

SHIFTS: Final[dict[str, Callable[[Grey], Grey]]] = {
    "gamma 0.87": lambda grey: acquisition_shift.graded(grey, 0.87),
    "gamma 0.7": lambda grey: acquisition_shift.graded(grey, 0.7),
    "gamma 1.4": lambda grey: acquisition_shift.graded(grey, 1.4),
    "blur of 0.25 % of the side": lambda grey: acquisition_shift.softened(grey, 0.0025),
    "blur of 0.5 % of the side": lambda grey: acquisition_shift.softened(grey, 0.005),
    "noise of 2 %": lambda grey: acquisition_shift.noisy(grey, 0.02, np.random.default_rng(int(1e6 * grey.mean()))),
}


@dataclass(frozen=True, slots=True)
class Pool:
    """What films of one kind give: those with pneumonia, and those without."""

    positive: list[WatchedImage]
    negative: list[WatchedImage]

    def draw(self, rng: random.Random, prevalence: float) -> WatchedImage:
        return rng.choice(self.positive if rng.random() < prevalence else self.negative)


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of change: in how many streams it was found within `AFTER` images, the delays of these, and by what."""

    change: str
    streams: int
    found: int
    low: float | None
    high: float | None
    median: int | None
    nine_of_ten: int | None
    by: dict[str, int]


class Lens:
    """Films as the box sees them: its checks, its model's input, the pack's answer, the distance."""

    def __init__(self, pack: Pack, scratch: Path) -> None:
        runtime = "onnxruntime"
        precision = "int8"
        module = registry.get_runtime(runtime)
        session = module.load(pack.artefact(runtime, precision), module.Config(threads=2))
        self._loaded = LoadedModel(pack.manifest, session, FamiliarityCheck.of(pack, runtime, precision))
        self._path = scratch / "film.png"

    def look(self, grey: Grey) -> WatchedImage:
        manifest, familiar = self._loaded.manifest, self._loaded.familiar
        Image.fromarray(np.rint(255.0 * np.clip(grey, 0.0, 1.0)).astype(np.uint8)).save(self._path, compress_level=1)
        nothing: dict[str, float | None] = dict.fromkeys(drift_tests.NUMBERS)
        try:
            with image_file.open_image_file(self._path, is_picture=True) as opened:
                taken = model_frames.prepare_frames(
                    opened, manifest.input, modality="DX", demands=manifest.quality.demands
                )
        except ImageUnfit:
            return WatchedImage(True, False, nothing)
        answer, distance = self._loaded.seen(taken.tensors[:1], Frame(*grey.shape))
        numbers = nothing | dict(taken.watched) | {"distance": distance}
        if familiar is not None and distance > familiar.limit:
            return WatchedImage(True, False, numbers)
        finding = answer.findings[0]
        return WatchedImage(False, finding.positive, numbers | {"score": finding.probability})


def main() -> int:
    options = _options()
    pack = next(one for one in pack_folder.list_packs(pack_folder.shipped_packs_dir()) if one.name == CHILD)
    if not (options.data / "chest-xray").is_dir():
        harness.leave_out(f"The children's films are not in {options.data}.")
    if options.kept is not None and options.kept.exists():
        pools = _recalled(options.kept)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            pools = dict(_pools(Lens(pack, Path(scratch)), options))
        if options.kept is not None:
            options.kept.write_text(json.dumps({name: asdict(pool) for name, pool in pools.items()}), "utf-8")
    lines = list(_lines(pools, options.orders))
    if options.json:
        print(json.dumps([asdict(one) for one in lines]))
    else:
        own = pools[""]
        refused = Rate(sum(one.refused for one in own.positive + own.negative), len(own.positive + own.negative))
        print(f"{refused.n} held-out films, {refused.hits} of them refused; alarms at p < {drift_tests.ALARM}.\n")
        print(_table(lines))
    return 0


def _options() -> argparse.Namespace:
    parser = harness.parser("drift", __doc__)
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--orders", type=int, default=None, help="streams of each kind (default 400; with --quick 10)")
    parser.add_argument(
        "--kept", type=Path, default=None, help="file for what the films gave: used again if it is there"
    )
    options = parser.parse_args()
    options.orders = options.orders or (10 if options.quick else 400)
    options.most = 60 if options.quick else sys.maxsize
    return options


def _recalled(path: Path) -> dict[str, Pool]:
    """The pools that an earlier run has kept: numbers alone."""
    kept = json.loads(path.read_text("utf-8"))
    return {
        name: Pool(*([WatchedImage(**one) for one in pool[kind]] for kind in ("positive", "negative")))
        for name, pool in kept.items()
    }


def _pools(lens: Lens, options: argparse.Namespace) -> Iterator[tuple[str, Pool]]:
    """What the held-out films give as they are (""), with each change, and what adults' films give."""
    children = _some(foreign_sets.children(options.data, foreign_sets.held_out(CHILD)), options.most)
    for name, how in {"": lambda grey: grey, **SHIFTS}.items():
        harness.progress(f"{len(children)} films, {name or 'as they are'}")
        yield name, _pool(lens, children, how)
    adults = _some(datasets.nih(options.data / "chest-xray-nih"), min(options.most, MOST_ADULTS))
    harness.progress(f"{len(adults)} films of adults")
    yield "adults", _pool(lens, adults, lambda grey: grey)


def _some(films: FilmSet, most: int) -> list[Film]:
    order = np.random.default_rng(0).permutation(len(films.films))[:most]
    return [films.films[int(index)] for index in sorted(order)]


def _pool(lens: Lens, films: Sequence[Film], how: Callable[[Grey], Grey]) -> Pool:
    seen = [(one.label, lens.look(how(acquisition_shift.unit(one.read())))) for one in films]
    return Pool(*([one for label, one in seen if label == wanted] for wanted in (1, 0)))


def _lines(pools: dict[str, Pool], orders: int) -> Iterator[Line]:
    own, adults = pools[""], pools["adults"]

    def films(pool: Pool, prevalence: float = PREVALENCE) -> Callable[[random.Random], WatchedImage]:
        return lambda rng: pool.draw(rng, prevalence)

    def mixed(share: float) -> Callable[[random.Random], WatchedImage]:
        return lambda rng: adults.draw(rng, 0.5) if rng.random() < share else own.draw(rng, PREVALENCE)

    yield _line("none (false alarms)", orders, films(own), films(own))
    for name in SHIFTS:
        yield _line(name, orders // 4, films(own), films(pools[name]))
    for share in ADULTS:
        yield _line(f"{share:.0%} of the films are adults'", orders // 4, films(own), mixed(share))
    for prevalence in MORE:
        yield _line(
            f"pneumonia in {prevalence:.0%}, before {PREVALENCE:.0%}", orders // 4, films(own), films(own, prevalence)
        )


def _line(
    change: str,
    streams: int,
    before: Callable[[random.Random], WatchedImage],
    after: Callable[[random.Random], WatchedImage],
) -> Line:
    delays, by = [], Counter[str]()
    for number in range(streams):
        rng = random.Random(f"{change} {number}")
        stream = [before(rng) for _ in range(BEFORE)] + [after(rng) for _ in range(AFTER)]
        for seen in range(BEFORE + EVERY, len(stream) + 1, EVERY):
            alarms = [
                one.measure
                for one in drift_tests.compare_samples(stream[:MOST_FIRST_IMAGES], stream[seen - FIRST_IMAGES : seen])
                if one.alarms
            ]
            if alarms:
                delays.append(seen - BEFORE)
                by.update(alarms)
                break
    rate = Rate(len(delays), streams)
    harness.progress(f"{change}: found in {len(delays)} of {streams}")
    delays.sort()
    low, high = rate.interval or (None, None)
    return Line(
        change,
        streams,
        len(delays),
        low,
        high,
        int(statistics.median(delays)) if delays else None,
        delays[(9 * len(delays)) // 10 - 1] if len(delays) >= 10 else None,
        dict(by.most_common()),
    )


def _table(lines: Sequence[Line]) -> str:
    """For docs/drift.md: lines of a Markdown table."""
    rows = [
        f"| change | streams | found within {AFTER} images (95 %) | images until found: median | 9 of 10 | by |",
        "|" + " --- |" * 6,
    ]
    for one in lines:
        share = f"{one.found / one.streams:.3f} ({one.low:.3f}–{one.high:.3f})"
        by = ", ".join(f"{measure} {count}" for measure, count in list(one.by.items())[:3])
        cells = (one.change, one.streams, share, one.median or "–", one.nine_of_ten or "–", by or "–")
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
