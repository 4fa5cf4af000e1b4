"""An archive that refuses: each way has its sentence, nothing is lost, and what it took is not sent again."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import AE, evt

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.peer_sections import ArchiveSection
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import commitment, sop_classes
from firmware_app.dicom.commitment import NO_SUCH_OBJECT, CommitmentAnswer
from firmware_app.dicom.peers import ArchivePeer
from firmware_app.results.archive_queue import QueuedObject, SendingQueue, SendingStage
from firmware_app.results.archive_workers import ArchiveSender
from firmware_app.results.due_cases import DueCase
from tests import films
from tests.orthanc import free_port
from tests.results import make_case_view, write_objects
from tests.wire.conftest import make_certificate

CASE, KINDS = "c-1f2e3d4c", ("sc", "seg", "pr", "sr")


class Archive:
    """A provider by pynetdicom that does as a test says, and what it was given."""

    def __init__(self) -> None:
        self.classes: list[str] = []
        self.calling: list[str] = []
        self.status: Callable[[int], int] = lambda _number: 0x0000
        self.answer: Callable[[CommitmentAnswer], CommitmentAnswer] | None = None
        self.stored: list[str] = []

    @contextmanager
    def listening(self, title: str = "ARCHIVE", tls: ssl.SSLContext | None = None) -> Iterator[int]:
        ae = AE(title)
        ae.require_called_aet, ae.require_calling_aet = True, self.calling
        for uid in (sop_classes.VERIFICATION, *self.classes, *([commitment.PUSH_MODEL] if self.answer else [])):
            ae.add_supported_context(UID(uid))
        port = free_port()
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._asked)]
        server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers, ssl_context=tls)
        try:
            yield port
        finally:
            assert server is not None
            server.shutdown()

    def _store(self, event: evt.Event) -> int:
        status = self.status(len(self.stored))
        if status == 0:
            self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return status

    def _asked(self, event: evt.Event) -> tuple[int, None]:
        """Answers on the same association, once the request is confirmed."""
        asked = commitment.parse_commitment(
            event.request.ActionInformation.getvalue(), explicit=not event.context.transfer_syntax.is_implicit_VR
        )
        assert self.answer is not None
        said, association = self.answer(asked), event.assoc

        def tell() -> None:
            association.send_n_event_report(
                commitment.build_answer(said),
                said.event_type,
                UID(commitment.PUSH_MODEL),
                UID(commitment.WELL_KNOWN_INSTANCE),
            )

        threading.Timer(0.1, tell).start()
        return 0x0000, None


@pytest.fixture
def archive() -> Archive:
    return Archive()


class Sending:
    """One line to *archive*, with the objects of a case in its queue."""

    def __init__(self, folder: Path, state: StateDir, clinical: ClinicalDatabase, archive: Archive) -> None:
        path = films.save(folder, "film.dcm", films.film())
        made = write_objects(make_case_view(path, folder / "display"), state.outgoing / "c-1")
        objects = [one for path in made.values() if (one := self._made(path)).kind in KINDS]
        archive.classes = [one.sop_class_uid for one in objects]
        self.uids = [one.sop_instance_uid for one in objects]
        self.state, self.clinical = state, clinical
        self.queue = SendingQueue(clinical.database)
        self.queue.set_archives({"pacs": ""})
        self.queue.put(DueCase(CASE, 1, False), 1, objects, {"pacs": KINDS})

    def _made(self, path: Path) -> QueuedObject:
        read = dcmread(path)
        return QueuedObject(path.stem[:-3], str(read.SOPClassUID), str(read.SOPInstanceUID), f"c-1/{path.name}")

    def peer(self, port: int, **settings: Any) -> ArchivePeer:
        told = {"host": "127.0.0.1", "port": port, "ae_title": "ARCHIVE", "send": True, **settings}
        return ArchivePeer("pacs", ArchiveSection.model_validate(told), "LANTERN")

    def turn(self, port: int, **settings: Any) -> Reason | None:
        """What is said of the archive after a visit."""
        line = ArchiveSender(
            self.peer(port, **settings), self.clinical.database, self.state.outgoing, threading.Event()
        )
        line.run_once()
        return self.queue.list_archives()[0].reason

    def stages(self) -> list[SendingStage]:
        return [one.stage for one in self.queue.list_of_case(CASE)]


@pytest.fixture
def sending(tmp_path: Path, state: StateDir, clinical: ClinicalDatabase, archive: Archive) -> Sending:
    return Sending(tmp_path, state, clinical, archive)


def test_an_archive_that_takes_everything_and_then_keeps_one_less_is_sent_that_one_again(
    sending: Sending, archive: Archive
) -> None:
    archive.answer = lambda asked: CommitmentAnswer(
        asked.transaction_uid, asked.kept[1:], ((asked.kept[0], NO_SUCH_OBJECT),)
    )
    with archive.listening() as port:
        sending.turn(port)
        assert sending.stages() == [SendingStage.WAITING, *[SendingStage.COMMITTED] * 3]
        (told,) = sending.queue.list_refusals()
        assert told[1].code == "pacs.not_committed"
        archive.answer = lambda asked: asked
        sending.turn(port)
    assert set(sending.stages()) == {SendingStage.COMMITTED}
    assert archive.stored == [*sending.uids, sending.uids[0]]


def test_a_full_archive_is_left_alone_with_what_it_has(sending: Sending, archive: Archive) -> None:
    archive.status = lambda number: 0xA700 if number else 0x0000
    with archive.listening() as port:
        assert sending.turn(port) == Reason("pacs.full", {"pacs": "ARCHIVE", "status": "A700H"})
        assert sending.stages() == [SendingStage.ACCEPTED, *[SendingStage.WAITING] * 3]
        archive.status = lambda _number: 0x0000
        assert sending.turn(port) is None
    assert archive.stored == sending.uids


def test_tls_reaches_only_an_archive_that_the_clinics_authority_vouches_for(
    sending: Sending, archive: Archive, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with archive.listening(tls=context) as port:
        told = sending.turn(port, tls_ca=str(make_certificate(tmp_path)[0]))
        assert told is not None
        assert told.code == "pacs.tls"
        assert archive.stored == []
        assert sending.turn(port, tls_ca=str(certificate[0])) is None
    assert archive.stored == sending.uids
