"""The templates of the report, and what they may call: words of the catalogue, numbers, intervals."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from converters.report.catalogue import CATALOGUE, both, say

Interval = tuple[float, float]


def part(name: str, *values: Any, **named: Any) -> Markup:
    """One of the parts in ``parts.html.j2``, as HTML."""
    made: Markup = getattr(environment().get_template("parts.html.j2").module, name)(*values, **named)
    return made


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    made.globals |= {"catalogue": CATALOGUE, "both": both, "say": say}
    made.globals |= {"number": number, "rate": rate, "stacked": stack}
    return made


def number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def rate(value: float | None, interval: Interval | None) -> str:
    return "–" if value is None or interval is None else f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


def stack(value: float | None, interval: Interval | None) -> Markup:
    """A number with its interval below it."""
    if value is None or interval is None:
        return Markup("–")
    return Markup("{:.3f}<small>{:.3f}–{:.3f}</small>").format(value, *interval)
