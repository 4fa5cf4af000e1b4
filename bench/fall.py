"""How often the test for a clinical fall alarms wrongly, and how soon it finds one: confirmed films drawn by chance.

A clinic confirms what the box asks it for: every film that the model calls, and of the others the share that
`[calibration]` asks for. Its doctors are wrong on a stated share of films. The arithmetic is the box's own
(`firmware_app.core.drift_tests`), looked at after every confirmed film.

    python -m bench.fall [--streams N] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from firmware_app.cases.model_scores import SamplingShares
from firmware_app.core.accuracy import Rate
from firmware_app.core.drift_tests import CardAccuracy, ConfirmedCall, find_alarm

PROMISE: Final = CardAccuracy(0.9, 0.9)
USUAL: Final = CardAccuracy(0.93, 0.93)
"""A model is better than the lower bounds of its card."""
BELOW: Final = SamplingShares(0.1, 0.1).below
FILMS: Final = 1_500
BEFORE: Final = 200
"""Confirmed films before a fall."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: a clinic, what the model does there, and the alarms."""

    model: str
    prevalence: float
    wrong: float
    streams: int
    alarms: int
    median: float | None
    nine_of_ten: float | None


def stream(
    rng: random.Random, before: CardAccuracy, after: CardAccuracy, prevalence: float, wrong: float
) -> Iterator[ConfirmedCall]:
    """`FILMS` confirmed films; after `BEFORE` of them the model does as *after* says."""
    confirmed = 0
    while confirmed < BEFORE + FILMS:
        model = before if confirmed < BEFORE else after
        positive = rng.random() < prevalence
        called = rng.random() < (model.sensitivity if positive else 1.0 - model.specificity)
        if called or rng.random() < BELOW:
            confirmed += 1
            yield ConfirmedCall(called, positive is (rng.random() >= wrong), BELOW, by_eye=True)


def line(name: str, before: CardAccuracy, after: CardAccuracy, prevalence: float, wrong: float, streams: int) -> Line:
    """Play *streams* clinics; of a model that falls, alarms before the fall do not count."""
    delays = []
    for number in range(streams):
        found = find_alarm(PROMISE, stream(random.Random(f"{name} {number}"), before, after, prevalence, wrong))
        first = 0 if before == after else BEFORE
        if found is not None and found[1] > first:
            delays.append(found[1] - first)
    delays.sort()
    middle = statistics.median(delays) if delays else None
    late = delays[int(0.9 * streams)] if len(delays) > 0.9 * streams else None
    return Line(name, prevalence, wrong, streams, len(delays), middle, late)


def lines(streams: int) -> Iterator[Line]:
    """Every row."""
    for wrong in (0.0, 0.03, 0.06):
        for prevalence in (0.05, 0.1, 0.3):
            yield line("as its card's lower bounds", PROMISE, PROMISE, prevalence, wrong, 2 * streams)
    yield line("a little better than these", USUAL, USUAL, 0.3, 0.03, 2 * streams)
    for prevalence in (0.1, 0.3):
        yield line("specificity falls to 0.7", USUAL, CardAccuracy(0.93, 0.7), prevalence, 0.03, streams)
        yield line("sensitivity falls to 0.7", USUAL, CardAccuracy(0.7, 0.93), prevalence, 0.03, streams)
        yield line("sensitivity falls to 0.5", USUAL, CardAccuracy(0.5, 0.93), prevalence, 0.03, streams)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.fall", description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("--streams", type=int, default=100, help="clinics that are played for each fall")
    options.add_argument("--json", action="store_true", help="one JSON object a row")
    chosen = options.parse_args()
    if not chosen.json:
        print("| model | prevalence | doctors wrong | alarms (95 %) | confirmed films until then: median | 9 of 10 |")
        print("| --- | --- | --- | --- | --- | --- |")
    for one in lines(chosen.streams):
        if chosen.json:
            print(json.dumps(asdict(one)), flush=True)
            continue
        rate = Rate(one.alarms, one.streams)
        low, high = rate.interval or (0.0, 1.0)
        share = f"{one.alarms} of {one.streams}: {rate.value:.3f} ({low:.3f}–{high:.3f})"
        cells = (
            one.model,
            f"{one.prevalence:.0%}",
            f"{one.wrong:.0%}",
            share,
            _said(one.median),
            _said(one.nine_of_ten),
        )
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0


def _said(number: float | None) -> str:
    return "–" if number is None else f"{number:.0f}"


if __name__ == "__main__":
    sys.exit(main())
