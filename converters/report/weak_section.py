"""The weak points of the report, before its numbers; and how the head of a finished report is written anew."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from markupsafe import Markup

from converters.failures import OutputUnwritable
from converters.report import rendering
from converters.report.catalogue import both, say
from converters.workflow.atomic import write_text
from firmware_app.packs.manifest_types import LocalisedText

NAME = "report.html"
FEW_POSITIVES = 300
MISCALIBRATED = 0.05
LITTLE_SPECIFICITY = 0.5
_SECTION = re.compile(r"<section class='weak'>.*?</section>", re.DOTALL)
_ELSEWHERE = re.compile(r"<section class='elsewhere'>.*?</section>\n", re.DOTALL)
_REQUANTIZED = re.compile(r"\n<section class='requantized'>.*?</section>", re.DOTALL)
_HEADING = re.compile(r"<h1>.*?</h1>", re.DOTALL)
_TITLE = re.compile(r"<title>.*?</title>", re.DOTALL)
_WRITTEN = re.compile(re.escape(str(say("written", version="?", day="?"))).replace(r"\?", r"[\d.-]+"))


def section(items: Iterable[str]) -> str:
    """The weak points, each of them HTML."""
    return str(rendering.part("weak", list(items)))


def list_items(points: Iterable[LocalisedText]) -> list[Markup]:
    """Weak points as HTML."""
    return [both(point.en, point.zh) for point in points]


def rewrite(folder: Path, title: LocalisedText, points: Sequence[LocalisedText], elsewhere: str) -> None:
    """Give the report of a pack, where it has one, the title, weak points and the section ``elsewhere`` of its card.

    Raises :class:`OutputUnwritable` where the page is none of ours.
    """
    fresh = (
        (_TITLE, f"<title>{escape(f'{title.en} · {title.zh}')}</title>"),
        (_HEADING, f"<h1>{both(title.en, title.zh)}</h1>"),
        (_SECTION, f"{elsewhere}\n{section(list_items(points))}"),
    )
    path = folder / NAME
    if path.is_file():
        write_text(path, _ELSEWHERE.sub("", path.read_text(encoding="utf-8")))
    _rewrite(path, fresh)


def renumber(folder: Path, version: str, day: str) -> None:
    """Give the report of a pack, where it has one, this version and day. Raises as :func:`rewrite`."""
    _rewrite(folder / NAME, ((_WRITTEN, say("written", version=version, day=day)),))


def add(folder: Path, content: str) -> None:
    """Put ``content``, a section of class ``requantized``, behind the weak points, in place of an earlier one."""
    path = folder / NAME
    if path.is_file():
        write_text(path, _REQUANTIZED.sub("", path.read_text(encoding="utf-8")))
        page = _SECTION.search(path.read_text(encoding="utf-8"))
        _rewrite(path, ((_SECTION, f"{page.group() if page else ''}\n{content}"),))


def _rewrite(path: Path, changes: Iterable[tuple[re.Pattern[str], str]]) -> None:
    """Replace each pattern, which must occur exactly once, by its text."""
    if not path.is_file():
        return
    page = path.read_text(encoding="utf-8")
    for pattern, fresh in changes:
        parts = pattern.split(page)
        if len(parts) != 2:
            raise OutputUnwritable(str(path), "it is no report that this version can tell anew")
        page = str(fresh).join(parts)  # joined by Markup they would be escaped
    write_text(path, page)
