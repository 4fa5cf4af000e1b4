"""What is said of a patient's earlier studies in the clinic's archives, for the page of a case and for the console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from firmware_app.cases.earlier import EarlierStudies, EarlierStudy, Search, State
from firmware_app.cases.registration.agreement import Doubt
from firmware_app.core.language import N_, translate
from firmware_app.core.settings import Config
from firmware_app.core.sqlite.database import Database
from firmware_app.dicom.scu.peer import titles

STATES: Final = {
    State.FOUND: N_("perhaps another patient: not the same or not known is {doubts}. A person has to say so."),
    State.WANTED: N_("being fetched from the PACS {pacs}"),
    State.FETCHED: N_("here since it was fetched from the PACS {pacs}"),
    State.FAILED: N_("not fetched whole from the PACS {pacs}"),
}
DOUBTS: Final = {
    Doubt.ISSUER: N_("the issuer of the patient number"),
    Doubt.NUMBER: N_("the patient number"),
    Doubt.BIRTH_DATE: N_("the birth date"),
    Doubt.SEX: N_("the sex"),
}
NOTHING: Final = N_("The PACS has no earlier study of this patient.")
SEARCHING: Final = N_("The PACS is being searched. Open the case again in a moment.")
UNSEARCHED: Final = N_("The PACS has not been searched for earlier studies of this patient.")


@dataclass(frozen=True, slots=True)
class Earlier:
    """The last search for one case and what it found; `problem`: why an archive could not be searched."""

    search: Search | None
    studies: tuple[EarlierStudy, ...]
    archives: dict[str, str]
    """AE titles by name."""

    def standing(self, language: str) -> str:
        """How far the search is, in a sentence; empty where what was found says it."""
        if self.search is None:
            return translate(UNSEARCHED, language) if not self.studies else ""
        if self.search.asked:
            return translate(SEARCHING, language)
        if self.search.reason is not None:
            return self.search.reason.text(language)
        return "" if self.studies else translate(NOTHING, language)

    def state(self, one: EarlierStudy, language: str) -> str:
        """How far a study has come, in a sentence."""
        doubts = ", ".join(translate(DOUBTS[Doubt(doubt)], language) for doubt in one.said.doubts)
        said = translate(STATES[one.state], language).format(
            pacs=self.archives.get(one.archive, one.archive), doubts=doubts
        )
        return f"{said} {one.reason.text(language)}" if one.reason is not None else said

    def as_json(self, one: EarlierStudy, language: str) -> dict[str, Any]:
        said = one.said
        return {
            "number": one.sequence,
            "archive": one.archive,
            "study_instance_uid": said.study_uid,
            "date": said.date,
            "modalities": said.modalities,
            "description": said.description,
            "images": said.images,
            "name": said.name,
            "patient_id": said.number,
            "issuer": said.issuer,
            "birth_date": said.birth_date,
            "sex": said.sex,
            "doubts": list(said.doubts),
            "state": one.state.value,
            "kept": one.kept,
            "case": one.here,
            "problem": None if one.reason is None else {"code": one.reason.code, "text": one.reason.text(language)},
        }


def of_case(config: Config, database: Database, case: str) -> Earlier:
    """What is known of the earlier studies of *case*."""
    known = EarlierStudies(database)
    return Earlier(known.search(case), tuple(known.of_case(case)), titles(config))
