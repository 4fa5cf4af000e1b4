"""The rows of the lists: one for each patient and visit, however many studies the machine made of it.

A visit is the cases of one patient number and name on one day.  Without a number each case stands alone: nobody merges
two patients of one name.  What a row is known and found by lies in files beside the images (`clinical.patients`), so
it is kept here in memory, for as long as the case does not change.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from firmware_app.cases import person_names
from firmware_app.cases.case_lists import CaseListRow, CaseLists, Tab
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patient, Patients
from firmware_app.cases.remarks import ImageDescriptions
from firmware_app.core.records import Header
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.view import complete_header
from firmware_app.results import terms

THUMBNAIL: Final = "thumb.jpg"
_DAY: Final = re.compile(r"(?:(\d{4})[-./年]?)?(\d{1,2})[-./月](\d{1,2})日?|(\d{4})(\d\d)(\d\d)")


@dataclass(frozen=True, slots=True)
class CaseIdentity:
    """What a case is known and found by: its patient, and the day (DA) of its examination, else of its arrival."""

    patient: Patient
    day: str
    stated: bool
    """Whether the images state the day."""

    def visit_key(self, case: str) -> tuple[str, ...]:
        """The same for all cases of one visit."""
        patient = self.patient
        return (patient.patient_id.casefold(), patient.name.casefold(), self.day) if patient.patient_id else (case,)


@dataclass(frozen=True, slots=True)
class VisitCase:
    """One case of a visit: its row, what it shows in words, and the image of which there is a thumbnail."""

    row: CaseListRow
    kind: str
    thumbnail: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One row of a list; the case to look at first stands first."""

    card: CaseIdentity
    parts: tuple[VisitCase, ...]

    @property
    def day(self) -> str:
        """The day of the examination; empty where the images do not state it."""
        return terms.format_study_times([(self.card.day, "")]) if self.card.stated else ""


class Visits:
    """The lists of one viewer, from any thread."""

    def __init__(self, clinical: ClinicalDatabase, patients: Patients, lists: CaseLists, state: StateDir) -> None:
        self._clinical, self._patients, self._case_lists, self._display = clinical, patients, lists, state.display
        self._lock = threading.Lock()
        self._cards: dict[str, tuple[tuple[object, ...], CaseIdentity]] = {}
        self._mark: object = None
        self._stamps: dict[str, tuple[object, ...]] = {}
        self._lists: dict[Tab, list[tuple[str, ...]]] = {}

    def list_visits(self, tab: Tab) -> list[tuple[str, ...]]:
        """The visits of *tab* in its order, each as the references of its cases."""
        with self._lock:
            mark = self._case_lists.compute_mark()
            if mark != self._mark:
                self._lists, self._mark = {}, mark
                self._forget_changed()
            if tab not in self._lists:
                together: dict[tuple[str, ...], list[str]] = {}
                for case in self._case_lists.list_references(tab):
                    together.setdefault(self._load_identity(case).visit_key(case), []).append(case)
                self._lists[tab] = [tuple(cases) for cases in together.values()]
            return self._lists[tab]

    def search(self, asked: str, tabs: Iterable[Tab]) -> list[tuple[str, ...]]:
        """The visits of *tabs* that fit *asked*: part of a name or number, pinyin or its initials, or a day."""
        visits = [visit for tab in tabs for visit in self.list_visits(tab)]
        with self._lock:
            return [visit for visit in visits if any(matches_query(asked, self._load_identity(case)) for case in visit)]

    def load_visit(self, cases: Iterable[str], language: str) -> Visit | None:
        """The row of these cases; None where they are gone."""
        rows = [row for case in cases if (row := self._case_lists.find_row(case)) is not None]
        if not rows:
            return None
        with self._lock:
            card = self._load_identity(rows[0].case)
        return Visit(card, tuple(self._build_case(row, language) for row in rows))

    def _build_case(self, row: CaseListRow, language: str) -> VisitCase:
        entries = ImageDescriptions(self._clinical).list_for_case(row.case)
        images = self._clinical.list_images(row.case)
        headers: list[Header] = []
        for image in images[:8]:
            entry = entries.get(image.reference)
            header = complete_header(image.header, entry.said) if entry is not None else image.header
            if header is not None:
                headers.append(header)
        named = list(dict.fromkeys(name for header in headers if (name := terms.name_examination(header, language))))
        kind = "; ".join(named[:2]) or terms.join_study_names(self._clinical.list_examinations(row.case))
        drawn = (
            instance.reference for instance in images[:8] if (self._display / instance.reference / THUMBNAIL).is_file()
        )
        return VisitCase(row, kind, next(drawn, ""))

    def _forget_changed(self) -> None:
        """Forget the cards of cases that have changed or gone."""
        rows = self._clinical.database.connection.execute(
            "SELECT c.reference, c.rowid,"
            " (SELECT MAX(i.sequence) FROM instances i WHERE i.case_reference = c.reference),"
            " (SELECT COUNT(*) FROM instances i WHERE i.case_reference = c.reference AND i.state = 'waiting'),"
            " (SELECT MAX(version) FROM identities p WHERE p.case_reference = c.reference) FROM cases c"
        )
        self._stamps = {row[0]: tuple(row)[1:] for row in rows}
        self._cards = {case: kept for case, kept in self._cards.items() if self._stamps.get(case) == kept[0]}

    def _load_identity(self, case: str) -> CaseIdentity:
        kept = self._cards.get(case)
        if kept is not None:
            return kept[1]
        day = next((day for day, _ in self._clinical.list_study_times(case)), "").replace(".", "")
        stated = bool(re.fullmatch(r"\d{8}", day))
        if not stated:
            row = self._case_lists.find_row(case)
            day = f"{row.opened_at.at.astimezone():%Y%m%d}" if row is not None else ""
        card = CaseIdentity(self._patients.load_displayed(case).patient, day, stated)
        stamp = self._stamps.get(case)
        if stamp is not None and not stamp[2]:  # of an image that waits, the name may still be on its way
            self._cards[case] = (stamp, card)
        return card


def matches_query(asked: str, card: CaseIdentity) -> bool:
    """Whether a case with this card is what somebody *asked* for."""
    wanted = " ".join(asked.casefold().split())
    patient = card.patient
    name, number = patient.name.casefold(), patient.patient_id.casefold()
    if not wanted or wanted in name or wanted in number or _matches_day(wanted, card.day):
        return bool(wanted)
    letters = re.sub(r"[\s'’-]", "", wanted)
    return (
        letters.isascii()
        and letters.isalpha()
        and person_names.matches_sounds(letters, person_names.list_syllables(name))
    )


def _matches_day(wanted: str, day: str) -> bool:
    match = _DAY.fullmatch(wanted)
    if match is None:
        return False
    year, month, date = (match[1], match[2], match[3]) if match[2] else (match[4], match[5], match[6])
    return day[4:] == f"{int(month):02d}{int(date):02d}" and year in (None, day[:4])
