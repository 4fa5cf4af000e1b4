"""All cases of a folder on one page, the most urgent first: HTML that needs no script, no network and no box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from firmware_app.core.language import N_, tag, translate, visible
from firmware_app.core.records import Case, FileStatus, Priority
from firmware_app.core.version import version
from firmware_app.monitoring import sentences
from firmware_app.results import wording
from firmware_app.results.case_text import INCOMPLETE, finding_text, not_looked_for, priority_name, status_name

_LIMIT: Final = N_("Not for diagnostic use without a doctor.")
_ORDER: Final = (Priority.URGENT, Priority.SOON, Priority.CANNOT_JUDGE, None, Priority.ROUTINE)
"""As on the worklist: what could not be judged stands before what is routine."""
_MOST_NAMES, _MOST_LESIONS = 3, 5
_STYLE: Final = Markup("""
:root { color-scheme: light; --ink: #1c2629; --quiet: #59656a; --line: #d9d4c8; }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.2rem; background: #f7f5f0; color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC",
  sans-serif; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1rem; margin: 0; }
.limit { margin: .6rem 0; padding: .4rem .8rem; background: #efebe2; border-radius: 8px; font-weight: 600; }
.quiet { color: var(--quiet); font-size: .87rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1rem;
  margin: 1rem 0; }
article { background: #fff; border: 1px solid var(--line); border-top: 5px solid #8a949a; border-radius: 10px;
  overflow: hidden; break-inside: avoid; }
article.urgent { border-top-color: #a8231c; } article.soon { border-top-color: #d08a00; }
article.routine { border-top-color: #7fae8f; }
.film { display: flex; align-items: center; justify-content: center; height: 16rem; background: #0b0f11;
  color: #d9e0e2; }
.film img { max-width: 100%; max-height: 16rem; display: block; }
.said { padding: .8rem 1rem 1rem; }
.head { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: center; margin-bottom: .4rem; }
.chip { padding: .05rem .7rem; border-radius: 2em; font-weight: 600; background: #eceeef; color: #47535a; }
.urgent .chip { background: #fdecea; color: #a8231c; } .soon .chip { background: #fff2da; color: #7d5200; }
.routine .chip { background: #e9f2ec; color: #3a6348; }
ul { margin: .3rem 0; padding-left: 1.2rem; } p { margin: .3rem 0; } .found { font-weight: 600; }
.warn { color: #7d5200; }
table { border-collapse: collapse; width: 100%; background: #fff; } td, th { text-align: left; vertical-align: top;
  padding: .3rem .6rem; border: 1px solid var(--line); }
@media print { body { background: #fff; padding: 0; } .film { print-color-adjust: exact; } }
""")


@dataclass(frozen=True, slots=True)
class Pictures:
    """Addresses relative to the page: of the small picture, and of the whole one that it leads to."""

    thumbnail: str
    whole: str


def page(cases: Sequence[Case], pictures_of: Callable[[Case], Pictures | None], language: str) -> str:
    """The page; every text that is not its own is escaped.  Files that belong to no case stand in a table below."""
    known = sorted((case for case in cases if case.reference), key=_urgency)
    cards = Markup("\n").join(_card(case, pictures_of(case), language) for case in known)
    loose = [record for case in cases if not case.reference for record in case.files]
    counts = Counter(case.priority for case in known)
    said = translate(N_(", "), language).join(
        f"{priority_name(one, language)} {counts[one]}" for one in _ORDER if counts[one]
    )
    rows = Markup("").join(
        Markup("<tr><td>{}</td><td>{}</td><td>{}</td></tr>").format(
            visible(one.path), status_name(one.status, language), one.reason.text(language) if one.reason else ""
        )
        for one in loose
    )
    return _PAGE.format(
        language=tag(language),
        title=translate(N_("Contact sheet"), language),
        style=_STYLE,
        count=translate(N_("Cases: {count}."), language).format(count=len(known)),
        said=said,
        limit=translate(_LIMIT, language),
        cards=cards,
        loose=_LOOSE.format(
            title=translate(N_("Files that belong to no case"), language),
            file=translate(N_("File"), language),
            state=translate(N_("Verdict"), language),
            reason=translate(N_("Reason"), language),
            rows=rows,
        )
        if loose
        else "",
        lantern=f"Lantern {version()}",
    )


def _urgency(case: Case) -> tuple[int, float]:
    strongest = max((one.probability for one in case.findings if one.positive), default=0.0)
    return _ORDER.index(case.priority), -strongest


def _card(case: Case, shown: Pictures | None, language: str) -> Markup:
    if shown is None:
        film = Markup("<div class=film>{}</div>").format(translate(N_("no picture"), language))
    else:
        alt = translate(N_("The image with what was marked in it"), language)
        film = Markup('<a class=film href="{}"><img loading=lazy src="{}" alt="{}"></a>').format(
            shown.whole, shown.thumbnail, alt
        )
    return _CARD.format(
        priority=case.priority.value if case.priority else "",
        film=film,
        chip=priority_name(case.priority, language),
        names=_names(case, language),
        body=Markup("").join(_said(case, language)),
        reference=case.reference,
        modality=case.modality or "",
        by=_by(case),
    )


def _names(case: Case, language: str) -> str:
    """The names of the case's files; behind the third there is only how many more there are."""
    names = [visible(one.path.rpartition("/")[2]) for one in case.files if one.status is not FileStatus.DUPLICATE]
    more = len(names) - _MOST_NAMES
    told = [*names[:_MOST_NAMES], *([translate(N_("{count} more"), language).format(count=more)] if more > 0 else [])]
    return translate(N_(", "), language).join(told)


def _said(case: Case, language: str) -> Iterable[Markup]:
    """What stands before the findings, the findings, the lesions, what should follow, and why there is no result."""
    warnings = [hint.text(language) for reading in case.readings for hint in reading.quality.hints]
    if case.incomplete is not None:
        warnings.insert(0, f"{translate(INCOMPLETE, language)}: {case.incomplete.text(language)}")
    if (local := sentences.of_case(case)) is not None:
        warnings.append(local[1].text(language))
    yield _paragraphs(warnings, "warn")
    items = [
        Markup("<li{}>{}</li>").format(Markup(" class=found") if one.positive else "", finding_text(one, language))
        for one in case.findings
    ]
    yield _list(items)
    yield _paragraphs(not_looked_for(case.readings, language), "quiet")
    told = case.lesions[:_MOST_LESIONS]
    yield _list(
        Markup("<li>{}</li>").format(wording.brief(one, number, case.findings, language))
        for number, one in enumerate(told, 1)
    )
    if more := len(case.lesions) - len(told):
        sentence = translate(N_("{count} more are only marked on the pictures."), language).format(count=more)
        yield _paragraphs([sentence], "quiet")
    if case.follow_up is not None:
        yield _paragraphs([case.follow_up.text(language)], "")
    reasons = [one.reason for one in case.files if one.reason is not None and one.status is not FileStatus.DUPLICATE]
    yield _paragraphs([f"{one.text(language)} ({one.code})" for one in reasons], "")


def _paragraphs(texts: Iterable[str], kind: str) -> Markup:
    return Markup("").join(Markup('<p class="{}">{}</p>').format(kind, text) for text in dict.fromkeys(texts))


def _list(items: Iterable[Markup]) -> Markup:
    joined = Markup("").join(items)
    return Markup("<ul>{}</ul>").format(joined) if joined else joined


def _by(case: Case) -> str:
    """Whose reading it is: every pack with its version, runtime and precision."""
    packs = [reading.pack for reading in case.readings if reading.pack is not None and reading.findings]
    return "; ".join(dict.fromkeys(f"{one.name} {one.version}, {one.runtime} {one.precision}" for one in packs))


_CARD: Final = Markup("""<article class="{priority}">{film}<div class=said>
<div class=head><span class=chip>{chip}</span><h2>{names}</h2></div>
{body}
<p class=quiet>{modality} {reference} {by}</p></div></article>""")
_LOOSE: Final = Markup("<h2>{title}</h2><table><tr><th>{file}</th><th>{state}</th><th>{reason}</th></tr>{rows}</table>")
_PAGE: Final = Markup("""<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<style>{style}</style></head><body>
<h1>{title}</h1><p>{count} {said}</p><p class=limit>{limit}</p>
<main>{cards}</main>
{loose}
<p class=quiet>{lantern}</p></body></html>
""")
