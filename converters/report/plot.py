"""A small plot as SVG, drawn by hand: axes, lines, bands, marks and bars are all that the report needs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

INK: Final = "#24292f"
PALE: Final = "#66707b"
GRID: Final = "#e4e8ec"
OURS: Final = "#c2571a"
PEER: Final = "#7d8894"
COLOURS: Final = (OURS, "#1f6f8b", "#5b8c2a", "#8a4f9e", "#b08900")
"""Of the runtimes in a picture, one after the other."""

Text = tuple[str, str]
"""English and Chinese."""
Point = tuple[float, float]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round steps inside ``low`` to ``high``."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten inside ``low`` to ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for digit in (1, 2, 5) if low <= (value := digit * 10.0**power) <= high]


def text(
    x: float,
    y: float,
    said: Text,
    anchor: str = "start",
    *,
    size: int = 12,
    colour: str = INK,
    bold: bool = False,
    turned: bool = False,
) -> str:
    """A text in both languages, once where they are the same."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    weight = ' font-weight="600"' if bold else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{weight}{turn}'
    if said[0] == said[1]:
        return f"<text {where}>{escape(said[0])}</text>"
    shown = zip(("en", "zh"), said, strict=True)
    return "".join(f'<text class="{language}" {where}>{escape(word)}</text>' for language, word in shown)


@dataclass
class Plot:
    """Axes of ``across`` and ``up`` (low, high) with a grid; marks are drawn in the order of the calls."""

    across: Point
    up: Point
    x_name: Text
    y_name: Text
    width: int = 460
    height: int = 340
    logarithmic: bool = False
    lines: list[str] = field(default_factory=list)

    LEFT = 58
    FOOT = 46
    TOP = 14
    RIGHT = 18

    def __post_init__(self) -> None:
        right, foot = self.width - self.RIGHT, self.height - self.FOOT
        for value in log_ticks(*self.across) if self.logarithmic else ticks(*self.across):
            self.lines.append(f'<path d="M{self.x(value):.1f} {self.TOP}V{foot}" stroke="{GRID}"/>')
            self.lines.append(text(self.x(value), foot + 17, (f"{value:.3g}",) * 2, "middle", size=11, colour=PALE))
        for value in ticks(*self.up):
            self.lines.append(f'<path d="M{self.LEFT} {self.y(value):.1f}H{right}" stroke="{GRID}"/>')
            said = (f"{value:.4g}" if abs(value) > 1e-12 else "0",) * 2
            self.lines.append(text(self.LEFT - 8, self.y(value) + 4, said, "end", size=11, colour=PALE))
        self.lines.append(f'<path d="M{self.LEFT} {self.TOP}V{foot}H{right}" stroke="{PALE}" fill="none"/>')
        middle = (self.LEFT + right) / 2
        self.lines.append(text(middle, self.height - 8, self.x_name, "middle", colour=PALE))
        self.lines.append(text(15, (self.TOP + foot) / 2, self.y_name, "middle", colour=PALE, turned=True))

    def x(self, value: float) -> float:
        """Where a value lies from the left, in pixels."""
        low, high = self.across
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.LEFT + (value - low) / (high - low) * (self.width - self.LEFT - self.RIGHT)

    def y(self, value: float) -> float:
        """Where a value lies from the top, in pixels; what is outside is put on the edge."""
        low, high = self.up
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.height - self.FOOT - share * (self.height - self.TOP - self.FOOT)

    def line(self, points: Iterable[Point], colour: str, *, dash: str = "", thick: float = 2.0) -> None:
        """Points joined by a line."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        style = f' stroke-dasharray="{dash}"' if dash else ""
        self.lines.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{thick}" '
            f'stroke-linejoin="round"{style}/>'
        )

    def band(self, across: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> None:
        """The area between two lines."""
        there = [f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(across, high, strict=True)]
        back = [f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(across, low, strict=True)]
        self.lines.append(f'<polygon points="{" ".join((*there, *reversed(back)))}" fill="{colour}" opacity="0.16"/>')

    def disc(self, at: Point, radius: float, colour: str, opacity: float = 1.0) -> None:
        """A filled circle; its radius is in pixels."""
        self.lines.append(
            f'<circle cx="{self.x(at[0]):.1f}" cy="{self.y(at[1]):.1f}" r="{radius:.1f}" fill="{colour}" '
            f'opacity="{opacity}" stroke="#fff"/>'
        )

    def upright(self, x: float, low: float, high: float, colour: str) -> None:
        """A vertical interval with ends."""
        at, top, foot = self.x(x), self.y(high), self.y(low)
        path = f"M{at:.1f} {top:.1f}V{foot:.1f}M{at - 3:.1f} {top:.1f}h6M{at - 3:.1f} {foot:.1f}h6"
        self.lines.append(f'<path d="{path}" stroke="{colour}" stroke-width="1.4" fill="none"/>')

    def level(self, y: float, low: float, high: float, colour: str) -> None:
        """A horizontal interval with ends."""
        at, left, right = self.y(y), self.x(low), self.x(high)
        path = f"M{left:.1f} {at:.1f}H{right:.1f}M{left:.1f} {at - 3:.1f}v6M{right:.1f} {at - 3:.1f}v6"
        self.lines.append(f'<path d="{path}" stroke="{colour}" stroke-width="1.4" fill="none"/>')

    def note(self, at: Point, said: Text, dx: float, dy: float) -> None:
        """Words ``dx`` pixels to the right of a point and ``dy`` below it."""
        self.lines.append(text(self.x(at[0]) + dx, self.y(at[1]) + dy, said, size=11))

    def legend(self, entries: Sequence[tuple[Text, str]]) -> None:
        """A word for each colour, in the lower right corner."""
        first = self.height - self.FOOT - 12 - 17 * (len(entries) - 1)
        for number, (said, colour) in enumerate(entries):
            y = first + 17 * number
            x = self.width - self.RIGHT - 17
            self.lines.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" rx="2" fill="{colour}"/>')
            self.lines.append(text(x - 6, y, said, "end", size=11))

    def svg(self, title: Text) -> str:
        """The plot as an element of a page."""
        return _svg(self.width, self.height, title, self.lines)


def bars(rows: Sequence[tuple[str, float, float | None]], name: Text, title: Text) -> str:
    """Horizontal bars, one a row: (label, value, an older value drawn pale behind it or ``None``)."""
    width, left, right, high = 460, 168, 46, 19
    most = max(max(value, before or 0.0) for _, value, before in rows) or 1.0
    lowest = min(0.0, *(value for _, value, _ in rows))
    scale = (width - left - right) / (most - lowest)
    zero = left - lowest * scale
    lines = []
    for number, (label, value, before) in enumerate(rows):
        y = 8 + high * number
        shown = label if len(label) <= 24 else f"…{label[-23:]}"
        lines.append(text(left - 8, y + 11, (shown, shown), "end", size=11))
        if before is not None:
            lines.append(f'<rect x="{zero:.1f}" y="{y}" width="{before * scale:.1f}" height="14" fill="#d9dfe4"/>')
        start, length = (zero, value * scale) if value >= 0 else (zero + value * scale, -value * scale)
        lines.append(f'<rect x="{start:.1f}" y="{y}" width="{max(length, 0.6):.1f}" height="14" fill="{OURS}"/>')
        end = zero + max(value, before or 0.0, 0.0) * scale
        said = f"{value:.3g}" if before is None else f"{value:g} / {before:g}"
        lines.append(text(end + 5, y + 11, (said, said), size=10, colour=PALE))
    foot = 8 + high * len(rows)
    lines.append(f'<path d="M{zero:.1f} 4V{foot}" stroke="{PALE}"/>')
    lines.append(text(width - right, foot + 15, name, "end", size=11, colour=PALE))
    return _svg(width, foot + 22, title, lines)


def heat(picture: str, grid: Sequence[Sequence[float]] | None, name: Text, side: int = 220) -> str:
    """A film (PNG, base64) with the positive cells of a map over it in red, on the map's own scale."""
    lines = [
        f'<image href="data:image/png;base64,{picture}" width="{side}" height="{side}" preserveAspectRatio="none"/>'
    ]
    top = max((value for row in grid or () for value in row), default=0.0)
    for number, row in enumerate(grid or ()):
        high, wide = side / len(grid or ()), side / len(row)
        for column, value in enumerate(row):
            if value > 0.08 * top:
                lines.append(
                    f'<rect x="{column * wide:.1f}" y="{number * high:.1f}" width="{wide + 0.2:.1f}" '
                    f'height="{high + 0.2:.1f}" fill="#e5322d" opacity="{0.65 * value / top:.2f}"/>'
                )
    lines.append(text(side / 2, side + 17, name, "middle", colour=PALE))
    return _svg(side, side + 24, name, lines)


def _svg(width: int, height: int, title: Text, lines: Sequence[str]) -> str:
    said = escape(f"{title[0]} · {title[1]}", quote=True)
    opening = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
    return "\n".join((opening, *lines, "</svg>"))
