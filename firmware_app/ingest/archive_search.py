"""Earlier studies from the clinic's archives: the gateway searches for them and takes them through the door.

What comes must be what the archive announced: of that study, with that patient's number, issuer and birth date.  It
runs in a thread of its own, and nothing waits for it: a fetched study is read after all others.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from firmware_app.cases.arrival_journal import ARCHIVE
from firmware_app.cases.earlier_studies import (
    EarlierStudies,
    EarlierStudy,
    PatientKey,
    SearchSubject,
    StudyDescription,
    find_doubts,
    find_search_subject,
)
from firmware_app.core.errors import LanternError, StoreError
from firmware_app.core.records import Header, Reason
from firmware_app.core.settings import Config
from firmware_app.dicom import query_scu, transfer_syntax
from firmware_app.dicom.errors import IDENTITY_MISMATCH, EarlierError, IntakeError
from firmware_app.dicom.negotiation import STORAGE
from firmware_app.dicom.peers import ArchivePeer, list_archives
from firmware_app.dicom.query_scu import FoundStudy
from firmware_app.dicom.sop_classes import kind_of_class
from firmware_app.ingest.errors import EARLIER_INCOMPLETE, EARLIER_NONE
from firmware_app.ingest.intake import ImageIntake

log = logging.getLogger("lantern.gateway")

_ASKED_FOR: Final = (None, "report", "presentation", "document", "segmentation", "key_objects", "registration")
FETCHABLE: Final = tuple(sorted(uid for uid in STORAGE if kind_of_class(uid) in _ASKED_FOR))
"""The storage classes that are asked for: images, and what may be said of images; an association has 128 contexts."""
_LOOK_S: Final = 0.5
_STOP_S: Final = 2.0
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class AnnouncedStudy:
    """What an archive has announced of a study's objects: an `Expectation`."""

    study: StudyDescription

    def check(self, header: Header, identity: Mapping[str, str]) -> None:
        """Raise `IDENTITY_MISMATCH` for an object of another study or patient."""
        for keyword, announced, there in (
            ("StudyInstanceUID", self.study.study_uid, header.study_instance_uid),
            ("PatientID", self.study.number, identity.get("patient_id")),
            ("IssuerOfPatientID", self.study.issuer, identity.get("issuer")),
            ("PatientBirthDate", self.study.birth_date, header.birth_date),
        ):
            if announced != (there or "").strip():
                raise IDENTITY_MISMATCH(keyword=keyword)


class ArchiveSearch:
    """Does what people have asked for, from `start` to `stop`."""

    def __init__(self, config: Config, door: ImageIntake) -> None:
        self._config, self._door = config, door
        self._earlier = EarlierStudies(door.clinical.database)
        self._peers = {archive.name: archive for archive in list_archives(config) if archive.settings.query}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="earlier", daemon=True)

    def start(self) -> None:
        query_scu.receive_into(self._door.state.incoming)
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is being fetched is asked for again after the next start."""
        self._stop.set()
        self._thread.join(_STOP_S)

    def run_pending(self) -> None:
        """Search and fetch all that is asked for now."""
        for case in self._earlier.list_requested():
            self._search(case)
        for earlier_study in self._earlier.list_wanted():
            if not self._stop.is_set():
                self._fetch(earlier_study)

    def _run(self) -> None:
        seen = None
        try:
            while not self._stop.is_set():
                mark = self._door.clinical.database.read_change_mark()
                if mark != seen:
                    seen = mark
                    self._try_pending()
                self._stop.wait(_LOOK_S)
        finally:
            self._door.clinical.database.close_thread()

    def _try_pending(self) -> None:
        try:
            self.run_pending()
        except (sqlite3.Error, StoreError) as error:
            log.error("earlier studies wait: %s", getattr(error, "sqlite_errorname", "error"))

    # --- searching -------------------------------------------------------------------------------------------------

    def _search(self, case: str) -> None:
        reason = None if self._peers else Reason.from_error(EARLIER_NONE())
        for peer in self._peers.values():
            try:
                wanted = find_search_subject(self._door.clinical, self._door.state, case)
                found = query_scu.find_studies(peer, wanted.patient.number)
            except StoreError:
                raise
            except LanternError as error:
                reason = Reason.from_error(error)
                log.warning("an archive was not searched: %s", error.code)
            else:
                self._earlier.record_found(case, peer.name, self._describe_studies(peer, wanted, found))
        self._earlier.record_search(case, reason)

    def _describe_studies(
        self, peer: ArchivePeer, wanted: SearchSubject, found: list[FoundStudy]
    ) -> list[StudyDescription]:
        """Those of *found* that are earlier than the case and not here, with what is doubtful of their patient."""
        assumed = peer.settings.issuer
        ours = wanted.patient.with_issuer(assumed)
        return [
            StudyDescription(
                **asdict(found_study), doubts=find_doubts(ours, _build_key(found_study).with_issuer(assumed))
            )
            for found_study in found
            if found_study.study_uid not in wanted.study_uids
            and not (wanted.study_date and found_study.date and found_study.date >= wanted.study_date)
            and not self._earlier.has_study(found_study.study_uid)
        ]

    # --- fetching --------------------------------------------------------------------------------------------------

    def _fetch(self, one: EarlierStudy) -> None:
        try:
            reason = self._fetch_study(one)
        except EarlierError as error:
            reason = Reason.from_error(error)
            log.warning("an earlier study was not fetched: %s", error.code)
        self._earlier.record_fetch(one, self._earlier.count_objects(one.said.study_uid), reason)

    def _fetch_study(self, one: EarlierStudy) -> Reason | None:
        """Why the study is not here whole; None when it is."""
        peer = self._peers.get(one.archive)
        if peer is None:
            raise EARLIER_NONE()
        source = f"{ARCHIVE}{peer.title}"
        record = self._door.clinical.open_association(source)
        expected = AnnouncedStudy(one.said)

        def accept(path: Path) -> int:
            try:
                self._door.accept_file(path, source, association=record, announced=expected)
            except IntakeError as error:
                return error.dimse_status
            return 0

        try:
            done = query_scu.fetch_study(
                peer,
                one.said.study_uid,
                FETCHABLE,
                syntaxes=tuple(transfer_syntax.ACCEPTED_SYNTAXES),
                most_bytes=self._config.dicom.max_object_mb * _MB,
                take=accept,
            )
        finally:
            self._door.clinical.close_association(record)
        kept = self._earlier.count_objects(one.said.study_uid)
        if done.failed or not kept:
            raise EARLIER_INCOMPLETE(pacs=peer.title, images=max(one.said.images, kept + done.failed), kept=kept)
        return None


def _build_key(one: FoundStudy) -> PatientKey:
    return PatientKey(one.issuer, one.number, one.birth_date, one.sex)
