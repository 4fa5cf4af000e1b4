"""The plot of the page of figures, written as SVG: bars need no library."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from bench.outcome import MANY, Kind, Row, Table, figure

COLOURS: Final[dict[Kind, str]] = {"lantern": "#d2691e", "peer": "#7d8894", "limit": "#cdd4db"}
_LEGEND: Final[dict[Kind, str]] = {"lantern": "Lantern", "peer": "peer", "limit": "physical limit"}
_INK: Final = "#24292f"
_PALE: Final = "#57606a"
_FONT: Final = 'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif"'
_WIDTH: Final = 900
_MARGIN: Final = 24
_LABELS: Final = 370
_BARS: Final = 430
"""Pixels of the longest bar; the space to its right is for the figure."""
_ROW: Final = 24
_BAR: Final = 15
_HEAD: Final = 64
_TITLE: Final = 34
_AXIS: Final = 42
_TICKS: Final = 5


def draw(tables: Sequence[Table]) -> str:
    """One panel for each table, each on its own linear axis from 0."""
    heights = [_TITLE + _ROW * len(table.rows) + _AXIS for table in tables]
    size = f'width="{_WIDTH}" height="{_HEAD + sum(heights)}"'
    lines = [f"<rect {size} fill='#ffffff'/>", *_legend()]
    top = _HEAD
    for table, height in zip(tables, heights, strict=True):
        lines += _panel(table, top)
        top += height
    box = f'viewBox="0 0 {_WIDTH} {_HEAD + sum(heights)}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {box} {size} {_FONT} fill="{_INK}">'
    return "\n".join([opening, *lines, "</svg>"]) + "\n"


def ticks(most: float) -> list[float]:
    """Round steps from 0 to *most* or just beyond."""
    rough = most / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= rough * 0.999)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def _legend() -> Iterator[str]:
    left = _MARGIN
    for kind, name in _LEGEND.items():
        yield f'<rect x="{left}" y="20" width="14" height="14" rx="2" fill="{COLOURS[kind]}"/>'
        yield _text(left + 20, 32, name)
        left += 40 + 8 * len(name)
    yield _text(left, 32, f"bar: median; line: least to most, from n = {MANY} on 5 % to 95 %", colour=_PALE)


def _panel(table: Table, top: int) -> Iterator[str]:
    marks = ticks(max(_spread(row)[1] for row in table.rows))
    scale = _BARS / marks[-1]
    first = top + _TITLE
    foot = first + _ROW * len(table.rows)
    title = table.title.replace("`", "")
    yield _text(_MARGIN, top + 20, title, size=15, bold=True)
    yield _text(_WIDTH - _MARGIN, top + 20, f"{table.unit}, {table.better}", "end", colour=_PALE)
    for mark in marks:
        x = _LABELS + mark * scale
        yield f'<line x1="{x:.1f}" y1="{first}" x2="{x:.1f}" y2="{foot}" stroke="#e4e8ec"/>'
        yield _text(x, foot + 15, f"{mark:,.0f}" if mark >= 1000 else f"{mark:.4g}", "middle", size=11, colour=_PALE)
    for number, row in enumerate(table.rows):
        yield from _bar(row, first + _ROW * number + _ROW / 2, scale)
    yield f'<line x1="{_LABELS}" y1="{first}" x2="{_LABELS}" y2="{foot}" stroke="{_PALE}"/>'


def _bar(row: Row, middle: float, scale: float) -> Iterator[str]:
    low, high = (_LABELS + value * scale for value in _spread(row))
    ours = row.kind == "lantern"
    length, top = max(row.median * scale, 1.0), middle - _BAR / 2
    yield _text(_LABELS - 8, middle + 4.5, row.name, "end", bold=ours)
    yield f'<rect x="{_LABELS}" y="{top}" width="{length:.1f}" height="{_BAR}" fill="{COLOURS[row.kind]}"/>'
    if len(row.samples) > 1:
        line = f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 3}v6M{high:.1f} {middle - 3}v6"
        yield f'<path d="{line}" stroke="{_INK}" fill="none"/>'
    yield _text(max(high, _LABELS + length) + 7, middle + 4.5, figure(row.median), bold=ours)


def _text(
    x: float, y: float, text: str, anchor: str = "start", *, size: int = 13, colour: str = _INK, bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} font-size="{size}" fill="{colour}"{weight}>{escape(text)}</text>'


def _spread(row: Row) -> tuple[float, float]:
    if len(row.samples) < MANY:
        return min(row.samples), max(row.samples)
    return statistics.quantiles(row.samples, n=20, method="inclusive")[0], row.p95
