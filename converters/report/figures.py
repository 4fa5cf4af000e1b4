"""The report's figures, each from numbers that are there; a figure without numbers is an empty string.

Matplotlib draws them as SVG inside the page. Words stay text, in the page's own font and in both languages.
"""

import base64
import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from PIL import Image

from converters.data.predictions import Predictions
from converters.evaluation.metrics import Evaluation
from converters.report.catalogue import CATALOGUE, pair
from converters.report.step_results import Accounts, Unseen
from converters.statistics import intervals
from converters.statistics.selective import Curve

INK: Final = "#24292f"
PALE: Final = "#66707b"
OURS: Final = "#c2571a"
PEER: Final = "#7d8894"
COLOURS: Final = (OURS, "#1f6f8b", "#5b8c2a", "#8a4f9e", "#b08900")
"""Of the runtimes or places in a picture, one after the other."""

Key = tuple[str, str]
"""Runtime and precision."""
Text = tuple[str, str]
"""English and Chinese."""
Place = tuple[str, Curve]
"""What a place is called (empty: at home) and its curve of coverage against risk."""
LARGEST_DISC = 17.0
MEGABYTE = 1e6
LABEL_STEPS = (-4.0, 12.0, -20.0)
"""Labels of neighbouring discs stand at different heights: files of like speed are often of like accuracy too."""

_style: Final = rc_context(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "lantern",
        "text.parse_math": False,
        "font.size": 9,
        "axes.grid": True,
        "grid.color": "#e4e8ec",
        "axes.axisbelow": True,
        "axes.edgecolor": PALE,
        "axes.labelcolor": PALE,
        "xtick.color": PALE,
        "ytick.color": PALE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
)


@_style
def trade(rows: Mapping[Key, Evaluation], accounts: Accounts) -> str:
    """Latency against AUC; the area of a disc is the size of the file."""
    shown = [(one, rows[one.runtime, one.precision]) for one in accounts.timed if (one.runtime, one.precision) in rows]
    judged = [(timed, row.auc, row.auc_ci) for timed, row in shown if row.auc is not None and row.auc_ci is not None]
    if not judged:
        return ""
    drawn, axes = _axes(pair("ms_axis"), pair("auc"), 9.4, 3.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    times = [one.milliseconds for one, _, _ in judged]
    axes.set_xlim(min(times) * 0.6, max(times) * 2.2)
    colours = dict(zip(sorted({one.runtime for one, _, _ in judged} - {"pytorch"}), cycle(COLOURS)))
    largest = max(one.bytes for one, _, _ in judged) or 1
    named = set()
    for number, (one, area, ci) in enumerate(sorted(judged, key=lambda shown: shown[0].milliseconds)):
        radius = max(4.0, LARGEST_DISC * float(np.sqrt(one.bytes / largest))) * 0.72
        label = None if one.runtime in named else one.runtime
        named.add(one.runtime)
        at = (one.milliseconds, area)
        colour = colours.get(one.runtime, PEER)
        axes.plot(*at, "o", markersize=2 * radius, color=colour, alpha=0.85, markeredgecolor="white", label=label)
        _interval(axes, at, across=None, up=ci)
        size = f" · {one.bytes / MEGABYTE:.1f} MB" if one.bytes else ""
        step = LABEL_STEPS[number % len(LABEL_STEPS)]
        axes.annotate(f"{one.precision}{size}", at, (radius + 4, step), textcoords="offset points")
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(1.0 + 0.05 * (1.0 - low), high))
    axes.legend(loc="lower right", markerscale=0.5)
    return _svg(drawn, pair("trade"))


@_style
def roc(main: Predictions, row: Evaluation, original: Predictions | None) -> str:
    """The curve of the chosen file over that of the original, and the frozen threshold."""
    if row.auc is None:
        return ""
    drawn, axes = _axes(pair("false_positive_rate"), pair("sensitivity"))
    axes.plot([0, 1], [0, 1], ":", color=PALE, linewidth=1)
    words: list[Text] = []
    if original is not None:
        area = intervals.auc(original.labels, original.logits) or 0.0
        words.append(_with(*pair("original"), area))
        axes.plot(*intervals.roc(original.labels, original.logits), color=PEER, linewidth=1.3, label=words[-1][0])
    file = row.precision.upper()
    words.append(_with(f"{file}, {row.runtime}", f"{file}，{row.runtime}", row.auc))
    axes.plot(*intervals.roc(main.labels, main.logits), color=OURS, label=words[-1][0])
    if row.sensitivity is not None and row.specificity is not None and row.sensitivity_ci and row.specificity_ci:
        low, high = row.specificity_ci
        at = (1.0 - row.specificity, row.sensitivity)
        _interval(axes, at, across=(1.0 - high, 1.0 - low), up=row.sensitivity_ci)
        axes.plot(*at, "o", color=INK, markersize=5)
    axes.legend(loc="lower right")
    return _svg(drawn, pair("roc"), words)


@_style
def reliability(row: Evaluation) -> str:
    """The predicted and observed share of each bin, with Wilson's interval."""
    if not row.reliability:
        return ""
    drawn, axes = _axes(pair("said"), pair("seen"))
    axes.plot([0, 1], [0, 1], ":", color=PALE, linewidth=1)
    for one in row.reliability:
        if one.seen.interval is not None:
            _interval(axes, (one.said, one.seen.value or 0.0), across=None, up=one.seen.interval, colour=OURS)
    said, seen = [one.said for one in row.reliability], [one.seen.value or 0.0 for one in row.reliability]
    axes.plot(said, seen, "o-", color=OURS, linewidth=1, markersize=5)
    return _svg(drawn, pair("reliability"))


@_style
def decision(row: Evaluation) -> str:
    """Net benefit of the model, with its interval, of treating all and of treating none."""
    curve = row.decision_curve
    if curve is None or not row.positives:
        return ""
    top = max(*curve.high, curve.treat_all[0]) * 1.08
    drawn, axes = _axes(pair("threshold"), pair("net_benefit"))
    axes.set(xlim=(0.0, curve.thresholds[-1]), ylim=(-0.3 * top, top))
    words = [pair(key) for key in ("the_model", "treat_all", "treat_none")]
    axes.fill_between(curve.thresholds, curve.low, curve.high, color=OURS, alpha=0.16, linewidth=0)
    axes.plot(curve.thresholds, curve.model, color=OURS, label=words[0][0], zorder=3)
    axes.plot(curve.thresholds, curve.treat_all, color=PEER, linewidth=1.3, label=words[1][0])
    axes.axhline(0.0, color=INK, linewidth=1, label=words[2][0])
    if row.threshold <= curve.thresholds[-1]:
        axes.axvline(row.threshold, color=PALE, linewidth=1, linestyle=":")
    axes.legend(loc="lower right")
    return _svg(drawn, pair("decision"), words)


@_style
def coverage(places: Sequence[Place]) -> str:
    """A curve for each place: which share of the films gets a number, and which share of these is wrong."""
    drawn, axes = _axes(pair("share_given"), pair("share_wrong"))
    for (name, curve), colour in zip(places, cycle(COLOURS), strict=False):
        across, up = [point.given for point in curve.points], [point.wrong for point in curve.points]
        axes.plot(across, up, color=colour, label=place_name(name)[0])
    axes.set(xlim=(0.0, 1.0), ylim=(0.0, max(0.05, axes.get_ylim()[1])))
    axes.legend(loc="lower right")
    return _svg(drawn, pair("coverage"), [place_name(name) for name, _ in places])


def places(home: Curve, unseen: Iterable[Unseen]) -> list[Place]:
    """Home, then every source that was left out."""
    away = [(f"{one.trait} = {one.value}", one.coverage) for one in unseen if one.coverage is not None]
    return [("", home), *away]


def place_name(name: str) -> Text:
    return (name, name) if name else pair("at_home")


@_style
def pruning(accounts: Accounts) -> str:
    """Output channels of every layer before (pale) and after."""
    if accounts.pruning is None or not accounts.pruning.layers:
        return ""
    names, before, after = zip(*accounts.pruning.layers, strict=True)
    drawn, axes = _axes(pair("channels"), ("", ""), 4.6, 0.6 + 0.2 * len(names))
    rows = range(len(names))
    axes.barh(rows, before, 0.75, color="#d9dfe4")
    axes.barh(rows, after, 0.75, color=OURS)
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        axes.annotate(f"{now} / {was}", (max(was, now), place), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(rows, [name if len(name) <= 24 else f"…{name[-23:]}" for name in names])
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.grid(visible=False)
    return _svg(drawn, pair("pruning"))


@_style
def explain(accounts: Accounts) -> Sequence[str]:
    """Each example film, plain and under each of its maps: the positive cells in red, on the map's own scale."""
    return [
        _heat(example["film"], example.get(name) if name != "film" else None, pair(name))
        for example in accounts.examples
        for name in ("film", "gradcam", "map", "occlusion", "lime")
        if name in example
    ]


def _heat(picture: str, grid: Sequence[Sequence[float]] | None, name: Text) -> str:
    drawn = Figure(figsize=(2.2, 2.4), layout="constrained")
    axes = drawn.subplots()
    extent = (0.0, 1.0, 0.0, 1.0)
    with Image.open(io.BytesIO(base64.b64decode(picture))) as film:
        axes.imshow(np.asarray(film.convert("L")), cmap="gray", vmin=0, vmax=255, extent=extent)
    if grid is not None:
        cells = np.asarray(grid, dtype=np.float64)
        top = max(float(cells.max()), 1e-12)
        red = np.zeros((*cells.shape, 4))
        red[..., :3] = np.array([0xE5, 0x32, 0x2D]) / 255.0
        red[..., 3] = np.where(cells > 0.08 * top, 0.65 * cells / top, 0.0)
        axes.imshow(red, extent=extent, interpolation="nearest")
    axes.set(xticks=[], yticks=[], xlabel=name[0])
    return _svg(drawn, name, [name])


def _axes(x_name: Text, y_name: Text, width: float = 4.6, height: float = 3.4) -> tuple[Figure, Axes]:
    drawn = Figure(figsize=(width, height), layout="constrained")
    axes: Axes = drawn.subplots()
    axes.set(xlabel=x_name[0], ylabel=y_name[0])
    return drawn, axes


def _interval(
    axes: Axes,
    at: tuple[float, float],
    *,
    across: tuple[float, float] | None,
    up: tuple[float, float] | None,
    colour: str = INK,
) -> None:
    """Intervals through a point, with ends."""
    ends: dict[str, Any] = {
        key: [[max(0.0, middle - span[0])], [max(0.0, span[1] - middle)]]
        for key, middle, span in (("xerr", at[0], across), ("yerr", at[1], up))
        if span is not None
    }
    axes.errorbar(*at, **ends, fmt="none", ecolor=colour, elinewidth=1.2, capsize=2.5)


def _with(english: str, chinese: str, area: float) -> Text:
    return f"{english}, {area:.3f}", f"{chinese}，{area:.3f}"


def _svg(drawn: Figure, title: Text, words: Iterable[Text] = ()) -> str:
    """The figure as an element of a page: in both languages, with no file beside it and no font of its own.

    ``words`` are those of the figure that the catalogue does not have as they are.
    """
    written = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a Chinese name: the page's own font has it
        drawn.savefig(written, format="svg")
    picture = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", written.getvalue(), flags=re.DOTALL)
    picture = re.sub(r' id="[a-z0-9_]+_\d+"', "", picture).replace("xlink:href", "href")
    picture = re.sub(r"font: (?:\d+ )?([\d.]+px) [^;\"]*", r"font-size: \1", picture)
    opening = re.search(r'<svg [^>]*(viewBox="[^"]*")[^>]*>', picture)
    assert opening is not None
    chinese = {escape(one, quote=False): escape(other, quote=False) for one, other in (*CATALOGUE.values(), *words)}

    def in_both(text: re.Match[str]) -> str:
        where, said = text.groups()
        other = chinese.get(said, said)
        if other == said:
            return text[0]
        return f'<text class="en" {where}>{said}</text><text class="zh" {where}>{other}</text>'

    inside = re.sub(r"<text ([^>]*)>([^<]*)</text>", in_both, picture[opening.end() :].strip())
    return Markup(f'<svg {opening[1]} role="img" aria-label="{escape(" · ".join(title))}">\n{inside}')
