"""The plot of the page of figures, as SVG: one panel of bars for each table, each on its own axis from 0."""

from __future__ import annotations

import io
import statistics
import textwrap
from collections.abc import Sequence
from typing import Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.outcome import MANY, Kind, Row, Table, figure

COLOURS: Final[dict[Kind, str]] = {"lantern": "#d2691e", "peer": "#7d8894", "limit": "#cdd4db"}
_LEGEND: Final[dict[Kind, str]] = {"lantern": "Lantern", "peer": "peer", "limit": "physical limit"}
_ROW_INCHES, _HEAD_INCHES = 0.26, 0.8


def draw(tables: Sequence[Table]) -> str:
    heights = [_HEAD_INCHES + _ROW_INCHES * len(table.rows) for table in tables]
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lantern", "font.size": 9}):
        drawn = Figure(figsize=(9.5, 0.5 + sum(heights)), layout="constrained")
        axes = drawn.subplots(len(tables), height_ratios=heights, squeeze=False)
        for axis, table in zip(axes[:, 0], tables, strict=True):
            _panel(axis, table)
        spread = f"bar: median; line: least to most, from n = {MANY} on 5 % to 95 %"
        kinds = [Patch(color=COLOURS[kind], label=name) for kind, name in _LEGEND.items()]
        drawn.legend(handles=kinds, loc="outside upper left", ncols=3, frameon=False, title=spread)
        written = io.StringIO()
        drawn.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def _panel(axis: Axes, table: Table) -> None:
    medians = [row.median for row in table.rows]
    low, high = zip(*map(_spread, table.rows), strict=True)
    beyond = [[middle - one for middle, one in zip(medians, low, strict=True)]]
    beyond.append([one - middle for middle, one in zip(medians, high, strict=True)])
    axis.barh(range(len(medians)), medians, 0.6, xerr=beyond, color=[COLOURS[row.kind] for row in table.rows])
    for place, (row, most) in enumerate(zip(table.rows, high, strict=True)):
        axis.annotate(figure(row.median), (most, place), (6, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(medians)), [row.name for row in table.rows])
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_title(textwrap.fill(table.title.replace("`", ""), 64), loc="left", weight="bold", size=9)
    axis.set_xlabel(f"{table.unit}, {table.better}")
    axis.spines[["top", "right"]].set_visible(False)


def _spread(row: Row) -> tuple[float, float]:
    if len(row.samples) < MANY:
        return min(row.samples), max(row.samples)
    return statistics.quantiles(row.samples, n=20, method="inclusive")[0], row.p95
