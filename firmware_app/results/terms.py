"""Words for the codes of patients, doctors' opinions, examinations and views, and the form of a share or a study date.

Every page and every report uses the same words. Study names and study times come from the headers of the images: they
are what other devices wrote, reduced to one line for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from firmware_app.cases.patients import Patient, clean_text
from firmware_app.core.language import N_, NN_, translate, translate_plural
from firmware_app.core.records import EnteredFacts, Header
from firmware_app.dicom import body_part, view
from firmware_app.dicom.worklist import EXAMINATIONS, find_examination, find_kind
from firmware_app.reading.entry_choices import OTHER_PART

if TYPE_CHECKING:
    from firmware_app.cases.verdicts import DoctorVerdict

VERDICTS: Final = {"agree": N_("Agree"), "disagree": N_("Disagree"), "unsure": N_("Unsure")}
SAID: Final = {**VERDICTS, "none": N_("No opinion")}
ON_IMAGE: Final = {**VERDICTS, "missed": N_("Missed something")}
"""The verdicts on one image alone (`cases.verdicts.IMAGE_VERDICTS`)."""
WRITTEN: Final = {"note": N_("What I see"), "missed": N_("The box missed something"), "impression": N_("Impression")}
"""The kinds of what a doctor writes (`cases.remarks.RemarkKind`)."""
SEXES: Final = {"F": N_("female"), "M": N_("male"), "O": N_("other")}
AGES: Final = {
    "Y": NN_("{n} year", "{n} years"),
    "M": NN_("{n} month", "{n} months"),
    "W": NN_("{n} week", "{n} weeks"),
    "D": NN_("{n} day", "{n} days"),
}


def format_opinion(opinion: DoctorVerdict, finding: str, language: str) -> str:
    """``Pneumonia: Disagree (Dr Li)``; *finding* is its name."""
    verdict = translate(SAID[opinion.verdict], language)
    sentence = translate(N_("{finding}: {verdict} ({actor})"), language)
    return sentence.format(finding=finding, verdict=verdict, actor=opinion.actor)


def clamp_probability(share: float) -> float:
    """A probability as people see it: never 0 or 1, because no model is certain."""
    return min(0.99, max(0.01, share))


def format_percent(share: float) -> str:
    """A probability in per cent, as people see it."""
    return f"{round(100 * clamp_probability(share))}%"


def format_age(patient: Patient, language: str) -> str:
    """``45 years``; empty where it is unknown."""
    parts = patient.age_parts
    return translate_plural(*AGES[parts[1]], parts[0], language) if parts else ""


def format_sex(patient: Patient, language: str) -> str:
    """``male``; empty where it is unknown."""
    return translate(SEXES[patient.sex], language) if patient.sex else ""


SIDES: Final = {view.FRONTAL: N_("from the front"), view.LATERAL: N_("from the side")}
POPULATIONS: Final = {"adult": N_("adult"), "children": N_("child")}
_NONE: Final = N_("none of these kinds")
_JOINED: Final = N_("{what}, {side}")


def name_examination(header: Header, language: str) -> str:
    """``Chest X-ray, from the front``; empty where the examination is not one that the clinic can register."""
    kind = find_kind((header.modality or "").strip().upper())
    code = find_examination(kind, body_part.find_body_part(header) or "-")
    what = EXAMINATIONS[code].text(language) if code else ""
    return add_side(what, find_side(header), language) if kind == "xray" else what


def find_side(header: Header) -> str:
    """`view.FRONTAL` or `view.LATERAL`; empty for any other and for none."""
    seen = view.find_view(header)
    if seen in ("AP", "PA"):
        return view.FRONTAL
    return seen if isinstance(seen, str) and seen in SIDES else ""


def add_side(what: str, seen: str, language: str) -> str:
    """*what* with the side *seen* (a key of `SIDES`, or empty)."""
    if not seen:
        return what
    said = translate(SIDES[seen], language)
    return translate(_JOINED, language).format(what=what, side=said) if what else said


def format_entry(said: EnteredFacts, language: str) -> str:
    """What a person has said: ``Chest X-ray, from the front; adult``."""
    if said.body_part == OTHER_PART:
        what = translate(_NONE, language)
    else:
        code = find_examination(find_kind(said.modality), body_part.parse_body_part(said.body_part) or "-")
        what = EXAMINATIONS[code].text(language) if code else said.body_part
        what = add_side(what, said.view, language)
    whom = translate(POPULATIONS[said.population], language) if said.population else ""
    return translate(N_("; "), language).join(filter(None, (what, whom)))


def join_study_names(names: Iterable[str]) -> str:
    """Names of the study and its series from the headers, each once."""
    return " · ".join(dict.fromkeys(name for name in map(clean_text, names) if name))


def format_study_times(times: Iterable[tuple[str, str]]) -> str:
    """When the study was made, by the modality's clock, not the box's; an invalid date is shown unchanged.

    *times* are DA and TM values (PS3.5 6.2).
    """
    return ", ".join(dict.fromkeys(_format_day(date, time) for date, time in times))


def _format_day(date: str, time: str) -> str:
    """``2026-01-31 14:05`` from a DA value (also with dots, as in ACR-NEMA) and a TM value; without TM only the
    date."""
    day, hour = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", date), re.match(r"([01]\d|2[0-3]):?([0-5]\d)", time)
    written = "-".join(day.groups()) if day else clean_text(date)
    return f"{written} {hour[1]}:{hour[2]}" if hour else written
