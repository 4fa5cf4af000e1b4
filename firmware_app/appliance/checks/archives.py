"""What `lantern doctor` says of the clinic's archives: a C-ECHO to each, what waits for it, and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.registration_entry import OmissionReason
from firmware_app.cases.registrations import LEFT_OUT, Registrations
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, NN_, register, register_counted, register_terms
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import sop_classes
from firmware_app.dicom.errors import PacsError
from firmware_app.dicom.peers import ArchivePeer, Peer, list_archives
from firmware_app.results import due_cases
from firmware_app.results.archive_queue import SENT, ArchiveState, SendingQueue, SendingStage

ORDER: Final = 140
NAMES: Final = {"pacs": N_("PACS"), "worklist": N_("Hospital's worklist")}
HANDBOOK: Final = Section(N_("The PACS and the hospital's worklist"), ("pacs.*", "worklist.*"))
ANSWERS: Final = register("pacs.answers", N_("The PACS {pacs} answers a C-ECHO (verification)."))
IDLE: Final = register(
    "pacs.idle", N_("Nothing is sent to the PACS {pacs}. To send it the results, set send = true under [pacs].")
)
WAITING: Final = register_counted(
    "pacs.waiting",
    "count",
    NN_(
        "{count} result object waits to be sent to the PACS {pacs}.",
        "{count} result objects wait to be sent to the PACS {pacs}.",
    ),
)
AWAITED: Final = register_counted(
    "pacs.awaited",
    "count",
    NN_(
        "The PACS {pacs} took {count} result object; its word that it keeps it is awaited.",
        "The PACS {pacs} took {count} result objects; its word that it keeps them is awaited.",
    ),
)
TELLS: Final = register_counted(
    "worklist.tells",
    "patients",
    NN_(
        "The hospital's worklist {worklist} names {patients} patient.",
        "The hospital's worklist {worklist} names {patients} patients.",
    ),
)
register_counted(
    LEFT_OUT,
    "count",
    NN_(
        "{count} entry of the hospital's worklist {worklist} was left out and is told to no machine, because {cause}.",
        "{count} entries of the hospital's worklist {worklist} were left out and are told to no machine, because "
        "{cause}.",
    ),
)
register_terms(
    "cause",
    {
        OmissionReason.ACCESSION: N_(
            "the accession number (or, without one, the requested procedure's ID) is missing, longer than 16 "
            "characters or not of plain letters and digits"
        ),
        OmissionReason.PATIENT: N_(
            "the patient number is missing, longer than 64 characters or has signs that none may have"
        ),
        OmissionReason.NAME: N_("the patient's name is missing, too long or has signs that none may have"),
        OmissionReason.STUDY: N_("the Study Instance UID is missing or is none"),
        OmissionReason.DATE: N_("the date of the examination is missing or is none"),
        OmissionReason.MODALITY: N_("this box serves no machines of that kind"),
        OmissionReason.TWICE: N_("an entry before has the same accession number or Study Instance UID"),
        OmissionReason.TOO_MANY: N_("more patients were named than the box takes up"),
    },
)
_ECHO_S: Final = 5.0
_MOST_CASES: Final = 5


def status(config: Config, clinical: ClinicalDatabase) -> list[dict[str, Any]]:
    """What `lantern status --json` prints under ``archives``."""
    queue = SendingQueue(clinical.database)
    counts, known = (
        queue.count_by_stage(),
        {archive_state.name: archive_state for archive_state in queue.list_archives()},
    )
    told = []
    for peer in list_archives(config):
        stages, archive = counts.get(peer.name, {}), known.get(peer.name)
        told.append(
            {
                "name": peer.name,
                "ae_title": peer.title,
                "sends": peer.settings.send,
                "commits": archive.commits if archive else None,
                "waiting": stages.get(SendingStage.WAITING, 0),
                "stored": stages.get(SendingStage.STORED, 0),
                "sent": sum(stages.get(stage, 0) for stage in SENT),
                "code": archive.reason.code if archive and archive.reason else None,
            }
        )
    return told


def examine(config: Config, state: StateDir, *, dials: bool = True) -> Iterator[Check]:
    """The checks of the archives; none where none is set up.

    The page's own process may dial nothing, so without *dials* only the sender's experience is told.
    """
    yield from _check_worklist(config, state)
    there = list_archives(config)
    if not there:
        return
    with ThreadPoolExecutor(len(there)) as pool:
        echoes = list(pool.map(echo, there)) if dials else [None] * len(there)
    known = _read_records(state)
    for peer, said in zip(there, echoes, strict=True):
        archive = known.archives.get(peer.name)
        told = archive.reason if archive is not None else None
        if said is not None:
            yield Check("pacs", "ok" if said.code == ANSWERS else "warn", said)
        if not peer.settings.send:
            yield Check("pacs", "ok", Reason(IDLE, {"pacs": peer.title}))
            continue
        if told is not None and (said is None or said.code == ANSWERS):
            yield Check("pacs", "warn", told)
        yield from _check_queue(peer, known)
    for case, reason in known.unmade:
        yield Check("pacs", "warn", reason, case=case)


def echo(peer: Peer) -> Reason:
    """What the archive answers to a C-ECHO."""
    from firmware_app.dicom import storage_scu  # with all of pynetdicom

    try:
        with storage_scu.dial_archive(peer, [sop_classes.VERIFICATION], patience_s=_ECHO_S) as archive:
            archive.echo()
    except PacsError as error:
        return Reason.from_error(error)
    return Reason(ANSWERS, {"pacs": peer.title})


def _check_worklist(config: Config, state: StateDir) -> Iterator[Check]:
    """What came of asking the hospital's worklist; nothing before it was asked."""
    title = config.worklist.hospital.ae_title
    try:
        clinical = ClinicalDatabase(state.clinical_db)
        with closing(clinical.database):
            clinical.require()
            told = Registrations(clinical.database).find_last_query(title) if config.worklist.hospital.host else None
    except (LanternError, sqlite3.Error):
        return
    if told is not None:
        patients, reason = told
        if reason is not None and reason.code != LEFT_OUT:
            yield Check("worklist", "warn", reason)
            return
        yield Check("worklist", "ok", Reason(TELLS, {"worklist": title, "patients": patients}))
        for cause, count in reason.details.items() if reason is not None else ():
            said = Reason(LEFT_OUT, {"worklist": title, "count": count, "cause": cause})
            yield Check("worklist", "ok" if cause == OmissionReason.MODALITY else "warn", said)


class _ArchiveRecords:
    """What clinical.db has of the archives; nothing where it cannot be opened, which another check reports."""

    def __init__(self) -> None:
        self.archives: dict[str, ArchiveState] = {}
        self.counts: dict[str, dict[SendingStage, int]] = {}
        self.refusals: list[tuple[str, Reason]] = []
        self.unmade: list[tuple[str, Reason]] = []


def _read_records(state: StateDir) -> _ArchiveRecords:
    known = _ArchiveRecords()
    try:
        clinical = ClinicalDatabase(state.clinical_db)
        with closing(clinical.database):
            clinical.require()
            queue = SendingQueue(clinical.database)
            known.archives = {archive.name: archive for archive in queue.list_archives()}
            known.counts, known.refusals = queue.count_by_stage(), queue.list_refusals()
            known.unmade = due_cases.list_failures(clinical.database)[:_MOST_CASES]
    except (LanternError, sqlite3.Error):
        pass
    return known


def _check_queue(peer: ArchivePeer, known: _ArchiveRecords) -> Iterator[Check]:
    archive, counts = known.archives.get(peer.name), known.counts.get(peer.name, {})
    told = archive.reason if archive is not None else None
    for name, reason in known.refusals:
        if name == peer.name and reason != told:
            yield Check("pacs", "warn", reason)
    for code, stage in ((WAITING, SendingStage.WAITING), (AWAITED, SendingStage.STORED)):
        if counts.get(stage):
            yield Check("pacs", "ok", Reason(code, {"pacs": peer.title, "count": counts[stage]}))
