"""How every bench measures: variants in turn, many rounds, medians, and what it all ran on.

Machines are shared and warm up, so an absolute figure means little.  Variants are run alternately in one session,
in an order that turns with each round, and it is the ratio of their medians that is quoted.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn


@dataclass(frozen=True)
class Variant:
    """One thing to measure: `run` does it once and returns the seconds that count."""

    name: str
    version: str
    run: Callable[[], float]


@dataclass
class Result:
    """The seconds of every round of one variant."""

    name: str
    version: str
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def summary(self, reference: Result) -> dict[str, Any]:
        """As JSON: `times_reference` above 1 means slower than the reference."""
        return {
            "name": self.name,
            "version": self.version,
            "median_s": round(self.median, 4),
            "least_s": round(min(self.seconds), 4),
            "most_s": round(max(self.seconds), 4),
            "rounds": len(self.seconds),
            "times_reference": round(self.median / reference.median, 2),
        }


def alternate(variants: Sequence[Variant], rounds: int, warm_ups: int = 1) -> list[Result]:
    """Run every variant *rounds* times, in turn; *warm_ups* rounds before that do not count."""
    results = [Result(variant.name, variant.version) for variant in variants]
    for number in range(warm_ups + rounds):
        first = number % len(variants)
        for index in (*range(first, len(variants)), *range(first)):
            seconds = variants[index].run()
            if number >= warm_ups:
                results[index].seconds.append(seconds)
            progress(f"round {number + 1} of {warm_ups + rounds}: {variants[index].name} {seconds:.2f} s")
    return results


def machine() -> dict[str, Any]:
    """What a figure was measured on, without saying whose it is."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def report(title: str, facts: Mapping[str, Any], results: Sequence[Result], *, as_json: bool) -> None:
    """Print what was measured; the first result is the reference of the ratios."""
    lines = [result.summary(results[0]) for result in results]
    if as_json:
        print(json.dumps({"bench": title, **facts, "machine": machine(), "results": lines}))
        return
    print(title)
    for key, value in (*facts.items(), *machine().items()):
        print(f"  {key.replace('_', ' ')}: {value}")
    width = max(len(line["name"]) for line in lines)
    for line in lines:
        print(
            f"  {line['name']:{width}}  {line['median_s']:8.3f} s median  "
            f"({line['least_s']:.3f} to {line['most_s']:.3f}, {line['rounds']} rounds)  "
            f"{line['times_reference']:5.2f} x   {line['version']}"
        )


def progress(text: str) -> None:
    """A line for the person who waits; never on stdout, which may be JSON."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def give_up(sentence: str) -> NoReturn:
    """End with a sentence that says what to do."""
    print(sentence, file=sys.stderr)
    sys.exit(1)
