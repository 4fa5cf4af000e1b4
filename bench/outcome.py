"""Results of a bench as values: tables of samples, their goals, and what was left out.

Every part prints one `Outcome` as one JSON object; the page and the plot are made of nothing else.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

SCHEMA: Final = "lantern.bench/1"
MANY: Final = 20
"""With fewer samples the largest is given instead of the 95th percentile."""

Kind = Literal["lantern", "peer", "limit"]
Fact = str | int | float


@dataclass(frozen=True, slots=True)
class Row:
    """One variant and its samples, in the table's unit.  A `limit` is about the best that a program could reach."""

    name: str
    samples: tuple[float, ...]
    kind: Kind = "lantern"
    version: str = ""

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"{self.name} has no sample")

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        """The 95th percentile, interpolated; a single sample is its own."""
        if len(self.samples) == 1:
            return self.samples[0]
        return statistics.quantiles(self.samples, n=20, method="inclusive")[-1]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one unit; the first is what the others are compared with when *compared*."""

    title: str
    unit: str
    rows: tuple[Row, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)
    compared: bool = True
    plotted: bool = True

    @classmethod
    def aside(cls, title: str, unit: str, rows: Iterable[Row], facts: Mapping[str, Fact] | None = None) -> Self:
        """A table that compares nothing and is not plotted."""
        return cls(title, unit, tuple(rows), facts or {}, compared=False, plotted=False)

    @property
    def better(self) -> str:
        """Whether more is better: true for rates, false for everything else here."""
        return "more is better" if self.unit.endswith("/s") else "less is better"

    @property
    def mixed(self) -> bool:
        """Whether the table compares our variants with others."""
        return len({row.kind for row in self.rows}) > 1


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal and the value that was found, both in *unit*; the value must be `at_least` the bound, or at most."""

    text: str
    found: float
    bound: float
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.found >= self.bound if self.at_least else self.found <= self.bound


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of one part."""

    part: str
    title: str
    about: str
    command: str
    machine: Mapping[str, Fact]
    quick: bool
    tables: tuple[Table, ...] = ()
    goals: tuple[Goal, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_json(self) -> str:
        tree = {"schema": SCHEMA, **asdict(self)}
        for table in tree["tables"]:
            for row in table["rows"]:
                row["samples"] = [float(f"{value:.6g}") for value in row["samples"]]
        return json.dumps(tree, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The outcome that was written as *text*; raises ValueError for anything else."""
        tree: dict[str, Any] = json.loads(text)
        if tree.pop("schema", None) != SCHEMA:
            raise ValueError(f"this is no {SCHEMA}")
        tables = [
            Table(**{**table, "rows": tuple(Row(**{**row, "samples": tuple(row["samples"])}) for row in table["rows"])})
            for table in tree.pop("tables")
        ]
        goals = tuple(Goal(**goal) for goal in tree.pop("goals"))
        return cls(**{**tree, "tables": tuple(tables), "goals": goals, "left_out": tuple(tree["left_out"])})


def figure(value: float) -> str:
    """*value* with three significant digits at most, for people: 0, 0.0021, 0.322, 6.41, 64.1, 107, 32,800."""
    size = abs(value)
    if size >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    if size >= 0.1:
        return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"
    return f"{value:.2g}"
