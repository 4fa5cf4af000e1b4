"""The line to one archive, against archives that are values: nothing that one refuses or stops offering ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.peer_sections import ArchiveSection
from firmware_app.core.records import Reason
from firmware_app.dicom import storage_scu
from firmware_app.dicom.errors import PacsKindRefused
from firmware_app.dicom.peers import ArchivePeer
from firmware_app.results.archive_queue import QueuedObject, SendingQueue, SendingStage
from firmware_app.results.archive_workers import ArchiveSender
from firmware_app.results.due_cases import DueCase
from firmware_app.results.errors import PACS_UNCOMMITTED

SR, SC = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"
LateWord = Reason.from_error(PACS_UNCOMMITTED(pacs="ARCHIVE", own="LANTERN"))


class Archive:
    """Takes the classes that it *knows*, and offers no Storage Commitment."""

    commits = False

    def __init__(self, *knows: str) -> None:
        self.knows, self.stored, self.dialled = knows, 0, 0

    @contextmanager
    def answering(self, peer: ArchivePeer, classes: Sequence[str], **_: Any) -> Iterator[Archive]:
        assert classes, "pynetdicom takes no association without a context"
        self.dialled += 1
        if not set(classes) & set(self.knows):
            raise PacsKindRefused(pacs=peer.title, sop_class="?", kind="")
        yield self

    def store(self, _path: Path, kind: str) -> None:
        if {"sr": SR, "sc": SC}[kind] not in self.knows:
            raise PacsKindRefused(pacs="ARCHIVE", sop_class="?", kind=kind)
        self.stored += 1


@pytest.fixture
def queue(clinical: ClinicalDatabase) -> SendingQueue:
    made = SendingQueue(clinical.database)
    made.set_archives({"pacs": "10.0.0.5:104 ARCHIVE"})
    return made


@pytest.fixture
def line(clinical: ClinicalDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ArchiveSender]:
    (tmp_path / "one.dcm").write_bytes(b"")

    def to(archive: Archive, **settings: Any) -> ArchiveSender:
        monkeypatch.setattr(storage_scu, "dial_archive", archive.answering)
        section = ArchiveSection.model_validate({"host": "10.0.0.5", "ae_title": "ARCHIVE", "send": True, **settings})
        return ArchiveSender(ArchivePeer("pacs", section, "LANTERN"), clinical.database, tmp_path, threading.Event())

    return to


def put(queue: SendingQueue, *kinds: str) -> None:
    uids = {"sr": SR, "sc": SC}
    made = [QueuedObject(kind, uids[kind], f"2.25.{number}", "one.dcm") for number, kind in enumerate(kinds)]
    queue.put(DueCase("c-1", 1, False), 1, made, {"pacs": {"sr", "sc"}})


def stages(queue: SendingQueue) -> list[SendingStage]:
    return [one.stage for one in queue.list_of_case("c-1")]


def test_hundreds_of_refused_objects_stop_no_other(queue: SendingQueue, line: Callable[..., ArchiveSender]) -> None:
    put(queue, *["sr"] * 205, "sc")
    archive = Archive(SC)
    one = line(archive)
    while one.run_once():
        assert archive.dialled < 4
    assert stages(queue) == [SendingStage.WAITING] * 205 + [SendingStage.ACCEPTED]


@pytest.mark.parametrize("commitment", [False, True])
def test_what_is_stored_is_believed_when_commitment_is_switched_off_or_no_longer_offered(
    queue: SendingQueue, line: Callable[..., ArchiveSender], commitment: bool
) -> None:
    put(queue, "sr")
    queue.record_success(queue.list_waiting("pacs")[0], commits=True)
    queue.record_attempt("pacs", LateWord, commits=True)
    archive = Archive(SR)
    line(archive, commitment=commitment).run_once()
    assert archive.dialled == commitment
    assert stages(queue) == [SendingStage.ACCEPTED]
    (told,) = queue.list_archives()
    assert (told.reason, told.commits) == (None, False)


def test_an_association_without_a_context_puts_off_the_objects_and_not_the_archive(
    queue: SendingQueue, line: Callable[..., ArchiveSender]
) -> None:
    put(queue, "sr")
    archive = Archive(SC)
    one = line(archive)
    one.run_once()
    (refused,) = queue.list_waiting("pacs")
    assert refused.reason is not None
    assert (refused.reason.details["kind"], refused.failures) == ("sr", 1)
    put(queue, "sr", "sc")
    one.run_once()
    assert stages(queue) == [SendingStage.WAITING, SendingStage.ACCEPTED]
