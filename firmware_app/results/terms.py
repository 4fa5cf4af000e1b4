"""Words for the codes of patients and verdicts, and how a share is written; the same on every page and report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firmware_app.cases.patient import Patient
from firmware_app.core.language import N_, NN_, plural, translate

if TYPE_CHECKING:
    from firmware_app.results.result import Opinion

VERDICTS: Final = {"agree": N_("Agree"), "disagree": N_("Disagree"), "unsure": N_("Unsure")}
SAID: Final = {**VERDICTS, "none": N_("No opinion")}
ON_IMAGE: Final = {**VERDICTS, "missed": N_("Missed something")}
"""The verdicts on one image alone (`cases.image_verdicts.VERDICTS`)."""
WRITTEN: Final = {
    "note": N_("What I see"),
    "missed": N_("The box missed something"),
    "impression": N_("Impression"),
}
"""The kinds of what a doctor writes (`cases.remarks.Kind`)."""
SEXES: Final = {"F": N_("female"), "M": N_("male"), "O": N_("other")}
AGES: Final = {
    "Y": NN_("{n} year", "{n} years"),
    "M": NN_("{n} month", "{n} months"),
    "W": NN_("{n} week", "{n} weeks"),
    "D": NN_("{n} day", "{n} days"),
}


def said(opinion: Opinion, finding: str, language: str) -> str:
    """``Pneumonia: Disagree (Dr Li)``; *finding* is its name."""
    verdict = translate(SAID[opinion.verdict], language)
    sentence = translate(N_("{finding}: {verdict} ({actor})"), language)
    return sentence.format(finding=finding, verdict=verdict, actor=opinion.actor)


def shown(share: float) -> float:
    """A probability as people see it: never 0 or 1, because no model is certain."""
    return min(0.99, max(0.01, share))


def percent(share: float) -> str:
    """A probability in per cent, as people see it."""
    return f"{round(100 * shown(share))}%"


def age(patient: Patient, language: str) -> str:
    """``45 years``; empty where it is unknown."""
    parts = patient.age_parts
    return plural(*AGES[parts[1]], parts[0], language) if parts else ""


def sex(patient: Patient, language: str) -> str:
    """``male``; empty where it is unknown."""
    return translate(SEXES[patient.sex], language) if patient.sex else ""
