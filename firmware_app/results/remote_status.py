"""What other systems have of a case, in sentences for the page of the case and for the console.

- How far its results have come on their way to each archive (PACS, DICOMweb).
- What the county hospital has of its summary: sealed, sent, received or refused. The uplink returns the hospital's
  signed receipt and nothing else: not who looked at the case, nor what they think of it.
- Which earlier studies of the patient the clinic's archives hold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.earlier_studies import EarlierStudies, EarlierStudy, FetchState, IdentityDoubt, Search
from firmware_app.core import clock, run_status
from firmware_app.core.database import Database
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register, translate
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.peers import list_ae_titles, list_archives
from firmware_app.results import due_cases, offered_results
from firmware_app.results.archive_queue import Sending, SendingQueue, SendingStage
from firmware_app.uplink.exchange.exchange_db import UPLINK_OPEN, Exchange

COMMITTED: Final = register("sent.committed", N_("PACS {pacs}: the results are there, and the PACS keeps them."))
ACCEPTED: Final = register(
    "sent.accepted", N_("PACS {pacs}: the results were sent and taken. This PACS does not say whether it keeps them.")
)
STORED: Final = register(
    "sent.stored", N_("PACS {pacs}: the results were taken; whether the PACS keeps them is not known yet.")
)
PARTLY: Final = register("sent.partly", N_("PACS {pacs}: result objects still to be sent: {count} of {total}."))
WAITS: Final = register("sent.waits", N_("PACS {pacs}: the results wait to be sent."))
AT_REST: Final = register(
    "sent.not_yet", N_("PACS {pacs}: not sent yet. Results are sent when the case has not changed for a while.")
)
OFFERED: Final = register("sent.offered", N_("DICOMweb: viewers can fetch the results of this case."))
NOT_OFFERED: Final = register(
    "sent.not_offered",
    N_("DICOMweb: the results of this case are not ready to be fetched. `lantern case send` makes them ready."),
)
NEVER: Final = register("sent.never", N_("PACS {pacs}: not sent. The case was read before results were sent there."))


@dataclass(frozen=True, slots=True)
class ArchiveDelivery:
    """Of one case and one archive: the sentence, and why the last try failed."""

    archive: str
    state: Reason
    problem: Reason | None

    def as_json(self, language: str) -> dict[str, Any]:
        problem = {"code": self.problem.code, "text": self.problem.text(language)} if self.problem else None
        return {"archive": self.archive, "code": self.state.code, "text": self.state.text(language), "problem": problem}


def describe_archive_delivery(config: Config, database: Database, case: str) -> list[ArchiveDelivery]:
    """One entry for each archive that gets results, in the order of the configuration, and one for DICOMweb."""
    queue = SendingQueue(database)
    sendings = [one for one in queue.list_of_case(case) if one.stage is not SendingStage.REPLACED]
    archives = {archive_state.name: archive_state for archive_state in queue.list_archives()}
    is_due, unmade = due_cases.read_state(database, case)
    told = []
    for peer in list_archives(config):
        if not peer.kinds:
            continue
        mine = [sending for sending in sendings if sending.archive == peer.name]
        state, problem = _describe_objects(peer.title, mine, is_due=is_due)
        archive = archives.get(peer.name)
        waits = any(one.stage is SendingStage.WAITING for one in mine)
        if problem is None and waits and archive is not None:
            problem = archive.reason
        told.append(ArchiveDelivery(peer.name, state, unmade if is_due and unmade is not None else problem))
    if config.dicomweb.serves_results:
        code = OFFERED if offered_results.is_offered(database, case) else NOT_OFFERED
        told.append(
            ArchiveDelivery(offered_results.DICOMWEB_QUEUE.rstrip(":"), Reason(code), unmade if is_due else None)
        )
    return told


def _describe_objects(title: str, mine: list[Sending], *, is_due: bool) -> tuple[Reason, Reason | None]:
    """The sentence for the objects of the newest version, and why one of them was not taken."""
    newest = max((sending.version for sending in mine), default=0)
    mine = [sending for sending in mine if sending.version == newest]
    waiting = [sending for sending in mine if sending.stage is SendingStage.WAITING]
    facts: Mapping[str, str | int] = {"pacs": title}
    problem = next((sending.reason for sending in waiting if sending.reason is not None), None)
    if is_due:
        return Reason(AT_REST, facts), problem
    if not mine:
        return Reason(NEVER, facts), None
    if waiting:
        if len(waiting) == len(mine):
            return Reason(WAITS, facts), problem
        return Reason(PARTLY, {**facts, "count": len(waiting), "total": len(mine)}), problem
    stages = {sending.stage for sending in mine}
    if SendingStage.STORED in stages:
        return Reason(STORED, facts), None
    return Reason(ACCEPTED if SendingStage.ACCEPTED in stages else COMMITTED, facts), None


SUMMARY_SEALED: Final = register(
    "hospital.sealed", N_("County hospital: the sealed summary waits on this box to be sent.")
)
SUMMARY_SENT: Final = register(
    "hospital.sent", N_("County hospital: the sealed summary was given to the line; no receipt has come back yet.")
)
SUMMARY_RECEIVED: Final = register(
    "hospital.received", N_("County hospital: it has received the summary and signed for it.")
)
SUMMARY_OUTDATED: Final = register(
    "hospital.earlier",
    N_("County hospital: it has signed for an earlier state of this case; the summary of this one is still to go."),
)
SUMMARY_SET_ASIDE: Final = register(
    "hospital.set_aside",
    N_("County hospital: the summary was not taken. It is set aside on this box; call the technician."),
)
UPLINK_DOWN: Final = register(
    "hospital.line_down",
    N_("The line to the hospital is interrupted at the moment; nothing is lost, and it is sent later."),
)


@dataclass(frozen=True, slots=True)
class HospitalDelivery:
    """The state of the newest revision, the time of the last receipt, and what is wrong with the line it waits for."""

    state: Reason
    at: clock.Stamp | None
    line: Reason | None


def describe_hospital_delivery(
    config: Config, state: StateDir, clinical: ClinicalDatabase, case: str
) -> HospitalDelivery | None:
    """None where the box has no line to a hospital, or nothing of the case was ever to be sent."""
    if not config.uplink.enabled:
        return None
    connection = clinical.database.connection
    signed = connection.execute(
        "SELECT revision, at FROM hospital_receipts WHERE case_reference = ?", (case,)
    ).fetchone()
    newest = connection.execute(
        "SELECT relayed, seq FROM outbox WHERE case_reference = ? ORDER BY revision DESC LIMIT 1", (case,)
    ).fetchone()
    at = clock.parse_stamp(signed["at"]) if signed is not None else None
    if newest is None:
        if signed is None:
            return None  # read before there was a line, or before the box kept the time of receipts
        row = connection.execute("SELECT revision, fresh FROM cases WHERE reference = ?", (case,)).fetchone()
        is_newest = row is not None and row["revision"] <= signed["revision"] and not row["fresh"]
        return HospitalDelivery(Reason(SUMMARY_RECEIVED if is_newest else SUMMARY_OUTDATED), at, None)
    quarantined, is_open = _check_uplink(state, newest["seq"])
    if quarantined:
        return HospitalDelivery(Reason(SUMMARY_SET_ASIDE), at, None)
    told = SUMMARY_OUTDATED if at is not None else SUMMARY_SENT if newest["relayed"] and is_open else SUMMARY_SEALED
    return HospitalDelivery(Reason(told), at, None if is_open else Reason(UPLINK_DOWN))


def _check_uplink(state: StateDir, seq: int | None) -> tuple[bool, bool]:
    """Whether the message of this number is set aside, and whether the line is open."""
    exchange = Exchange(state.exchange_db)
    try:
        exchange.require()
        row = exchange.database.connection.execute(
            "SELECT 1 FROM outgoing WHERE seq = ? AND state = 'quarantined'", (seq,)
        ).fetchone()
        reason = exchange.read_status().reason
        is_open = reason is not None and reason.code == UPLINK_OPEN and run_status.is_running(state, "uplink")
        return row is not None, is_open
    except (LanternError, sqlite3.DatabaseError):
        return False, False
    finally:
        exchange.database.close()


PRIOR_STATES: Final = {
    FetchState.FOUND: N_("perhaps another patient: not the same or not known is {doubts}. A person has to say so."),
    FetchState.WANTED: N_("being fetched from the PACS {pacs}"),
    FetchState.FETCHED: N_("here since it was fetched from the PACS {pacs}"),
    FetchState.FAILED: N_("not fetched whole from the PACS {pacs}"),
}
DOUBTS: Final = {
    IdentityDoubt.ISSUER: N_("the issuer of the patient number"),
    IdentityDoubt.NUMBER: N_("the patient number"),
    IdentityDoubt.BIRTH_DATE: N_("the birth date"),
    IdentityDoubt.SEX: N_("the sex"),
}
NO_PRIOR_STUDY: Final = N_("The PACS has no earlier study of this patient.")
SEARCHING: Final = N_("The PACS is being searched. Open the case again in a moment.")
UNSEARCHED: Final = N_("The PACS has not been searched for earlier studies of this patient.")


@dataclass(frozen=True, slots=True)
class PriorStudies:
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
        return "" if self.studies else translate(NO_PRIOR_STUDY, language)

    def state(self, one: EarlierStudy, language: str) -> str:
        """How far a study has come, in a sentence."""
        doubts = ", ".join(translate(DOUBTS[IdentityDoubt(doubt)], language) for doubt in one.said.doubts)
        said = translate(PRIOR_STATES[one.state], language).format(
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


def describe_prior_studies(config: Config, database: Database, case: str) -> PriorStudies:
    """What is known of the earlier studies of *case*."""
    known = EarlierStudies(database)
    return PriorStudies(known.find_search(case), tuple(known.list_for_case(case)), list_ae_titles(config))
