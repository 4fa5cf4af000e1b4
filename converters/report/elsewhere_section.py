"""What a pack does elsewhere, for the head of its card and of its report: rows of other places before those of home.

First the pack itself on films of other places (``measured_elsewhere``), then networks of its recipe on a source that
each had not seen (rows ``unseen[…]``).  From the manifest only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from converters.elsewhere.figures import NO_NUMBER
from converters.evaluation import metrics
from converters.packing.weak_points import rate
from converters.report import rendering
from converters.report.catalogue import both, pair, say
from firmware_app.packs.evidence import ExternalValidation, Measurement
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.manifest_types import LocalisedText

HEAD = ("runtime", "precision", "films_of", "films", "auc", "sensitivity", "specificity", "wrong", "get_a_number")
_REASONS = {
    metrics.NO_FILM: "why_no_film",
    metrics.NO_NEGATIVE: "why_no_negative",
    metrics.NO_POSITIVE: "why_no_positive",
    NO_NUMBER: "why_no_number",
}
_MEASURES = ("auc", "sensitivity", "specificity", "wrong")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, in the order of :data:`HEAD`; ``films`` in both languages."""

    runtime: str
    precision: str
    films: LocalisedText
    rest: tuple[str, ...]


def rows(manifest: Manifest) -> Iterator[Row]:
    """The table: of each set first the films that get a number, then all; then the sources that were left out."""
    for external_validation in manifest.measured_elsewhere:
        yield _row(
            external_validation,
            external_validation.source,
            "_passed",
            f"{external_validation.n_passed} ({external_validation.positives_passed})",
        )
        yield _row(
            external_validation,
            external_validation.source,
            "",
            f"{external_validation.n} ({external_validation.positives})",
        )
    for left in unseen(manifest):
        if left.passed is not None:
            yield _row(left, left.split, "_passed", str(round(left.passed * left.n)))
        yield _row(left, left.split, "", f"{left.n} ({left.positives})")


def _row(one: ExternalValidation | Measurement, name: str, suffix: str, count: str) -> Row:
    english, chinese = pair("with_a_number" if suffix else "all_films")
    figures = (rate(getattr(one, f"{key}{suffix}"), getattr(one, f"{key}{suffix}_ci")) for key in _MEASURES)
    share = rate(one.passed, one.passed_ci) if suffix else "–"
    films = LocalisedText(en=f"{name}, {english}", zh=f"{name}，{chinese}")
    return Row(one.runtime, one.precision, films, (count, *figures, share))


def unseen(manifest: Manifest) -> list[Measurement]:
    """The rows of networks that had not seen a source."""
    return [row for row in manifest.measured if row.unseen]


def remarks(one: ExternalValidation) -> Iterator[LocalisedText]:
    """What belongs to a set's rows: whose it is, why numbers are missing, what was refused and set aside."""
    if one.citation or one.licence:
        whose = "; ".join(word for word in (one.citation, one.licence) if word)
        yield LocalisedText(en=f"{one.source}: {whose}.", zh=f"{one.source}：{whose}。")
    for words in dict.fromkeys(one.why.values()):
        names = [name for name, why in one.why.items() if why == words]
        english, chinese = pair(_REASONS[words]) if words in _REASONS else (words, words)
        yield LocalisedText(
            en=f"{one.source}: no {', '.join(_measure(name, 0) for name in names)}: {english}.",
            zh=f"{one.source}：无{'、'.join(_measure(name, 1) for name in names)}：{chinese}。",
        )
    if one.refused:
        counts = ", ".join(f"{code} {count}" for code, count in one.refused.items())
        english, chinese = pair("refused_elsewhere", source=one.source, counts=counts)
        yield LocalisedText(en=english, zh=chinese)
    if one.set_aside:
        english, chinese = pair("set_aside", source=one.source, count=one.set_aside)
        yield LocalisedText(en=english, zh=chinese)


def _measure(name: str, language: int) -> str:
    word = pair(name.removesuffix("_passed"))[language]
    return f"{word} ({pair('with_a_number')[language]})" if name.endswith("_passed") else word


def section(manifest: Manifest) -> str:
    """The section of the report, HTML."""
    nobody = Markup("<b>{}</b>").format(say("elsewhere_nobody"))
    notes = [say("elsewhere_how") if manifest.measured_elsewhere else nobody]
    if left := unseen(manifest):
        notes.append(say("unseen_teacher" if any("teacher" in row.runtime for row in left) else "unseen_note"))
    shown = [(row.runtime, row.precision, both(row.films.en, row.films.zh), *row.rest) for row in rows(manifest)]
    said = [
        both(word.en, word.zh)
        for external_validation in manifest.measured_elsewhere
        for word in remarks(external_validation)
    ]
    return str(rendering.part("elsewhere", notes, HEAD, shown, said))
