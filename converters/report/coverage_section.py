"""The section on coverage against risk: how many numbers are wrong where only the surest films get one."""

from collections.abc import Iterable, Sequence
from itertools import cycle

from converters.report.catalogue import both, pair, say
from converters.report.plot import COLOURS, Plot
from converters.report.step_results import Unseen
from converters.statistics.selective import Curve, Point

Place = tuple[str, Curve]
"""What a place is called (empty: at home) and its curve."""


def places(home: Curve, unseen: Iterable[Unseen]) -> list[Place]:
    """Home, then every source that was left out."""
    away = [(f"{one.trait} = {one.value}", one.coverage) for one in unseen if one.coverage is not None]
    return [("", home), *away]


def figure(shown: Sequence[Place]) -> str:
    """A curve for each place."""
    highest = max((one.wrong for _, curve in shown for one in curve.points), default=0.0)
    plot = Plot((0.0, 1.0), (0.0, max(0.05, 1.1 * highest)), pair("share_given"), pair("share_wrong"))
    for (_, curve), colour in zip(shown, cycle(COLOURS), strict=False):
        plot.line([(one.given, one.wrong) for one in curve.points], colour)
    plot.legend([(_name(name), colour) for (name, _), colour in zip(shown, cycle(COLOURS), strict=False)])
    return plot.svg(pair("coverage"))


def rows(shown: Sequence[Place]) -> tuple[list[str], list[list[str]]]:
    """The heading and the rows of the same as a table: for each share with a number, the share wrong in each place."""
    shares = sorted({round(one.given, 1) for _, curve in shown for one in curve.points}, reverse=True)
    head = [say("share_given"), *(both(*_name(name)) for name, _ in shown)]
    return head, [[f"{share:.0%}", *(_wrong(curve, share) for _, curve in shown)] for share in shares]


def _wrong(curve: Curve, share: float) -> str:
    nearest: Point = min(curve.points, key=lambda one: abs(one.given - share))
    low, high = nearest.wrong_ci
    return f"{nearest.wrong:.3f} <small>{low:.3f} – {high:.3f} ({nearest.n})</small>"


def _name(name: str) -> tuple[str, str]:
    return (name, name) if name else pair("at_home")
