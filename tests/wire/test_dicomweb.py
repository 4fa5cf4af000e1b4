"""DICOMweb through the real TLS front: dicomweb-client with a client certificate, and whoever has none.

Images in by STOW-RS; results out by QIDO-RS and WADO-RS.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import add_certs_to_session, create_session
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from firmware_app.appliance import certificate_authority
from firmware_app.appliance.processes import gateway
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_deletion import AgeLimits, CaseDeletion
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.dicom import dicomweb_server
from firmware_app.ingest.intake import ImageIntake
from firmware_app.results import due_cases
from firmware_app.results.outgoing import OutgoingResults
from tests.archive_rig import films_sent, read_all
from tests.peers import pydicom_file
from tests.wire.certificates import Authority
from tests.wire.front_rig import NAME, Front, running


@dataclass
class Web:
    """A front with DICOMweb behind it, and a client's certificate."""

    front: Front
    clinical: ClinicalDatabase
    certificate: Path
    authority: Path

    @contextmanager
    def client(self) -> Iterator[DICOMwebClient]:
        with add_certs_to_session(create_session(), str(self.authority), str(self.certificate)) as session:
            session.trust_env = False  # a proxy's authority in the environment would come before ours
            yield DICOMwebClient(f"https://127.0.0.1:{self.front.https}/dicom-web", session=session)

    def post(self, body: bytes, kind: str, path: str = "/studies", *, certificate: bool = True) -> tuple[int, str]:
        """Status and body of a request that no well-behaved client sends."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if certificate:
            context.load_cert_chain(self.certificate)
        with closing(HTTPSConnection("127.0.0.1", self.front.https, context=context, timeout=30)) as connection:
            connection.request("POST", f"/dicom-web{path}", body, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def connect(self) -> ssl.SSLSocket:
        """A connection with the certificate, to be used by hand."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.certificate)
        raw = socket.create_connection(("127.0.0.1", self.front.https), 10)
        return context.wrap_socket(raw, server_hostname="127.0.0.1")

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str, str]:
        """Status, type and text of the answer to a request that no well-behaved client sends."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.certificate)
        with closing(HTTPSConnection("127.0.0.1", self.front.https, context=context, timeout=30)) as connection:
            connection.request("GET", f"/dicom-web{path}", headers={"Accept": accept})
            answer = connection.getresponse()
            text = answer.read().decode("latin-1")
            return answer.status, answer.headers["Content-Type"], text

    def results(self, folder: Path, count: int) -> tuple[OutgoingResults, list[Path]]:
        """Take films of *count* studies, read them, and have their results made as the sender does."""
        outgoing = OutgoingResults(self.front.config, self.front.state, self.clinical)
        outgoing.begin()
        door = ImageIntake(self.front.state, self.clinical, 16, 64)
        films = films_sent(folder, count=count)
        for film in films:
            door.accept_file(film)
        for case in read_all(self.front.state, self.clinical):
            due_cases.request_sending(self.clinical.database, case, "li")
            assert outgoing.step()
        return outgoing, films

    def outcomes(self) -> list[tuple[str, str, str | None]]:
        rows = self.clinical.database.connection.execute("SELECT path, outcome, code FROM arrivals ORDER BY sequence")
        return [tuple(row) for row in rows]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    clients = Authority(tmp_path / "clients")
    settings = {"enabled": True, "client_ca": str(clients.certificate), "max_request_mb": 8, "results": True}
    with running(tmp_path, viewer=False, dicomweb=settings) as front:
        clinical = ClinicalDatabase(front.state.clinical_db)
        listener = gateway.make_dicomweb_server(front.config, ImageIntake(front.state, clinical, 16, 64))
        listener.start()
        public = certificate_authority.AuthorityFiles(front.state.root).public
        try:
            yield Web(front, clinical, clients.issue("County Hospital"), public)
        finally:
            listener.stop()
            clinical.database.close()


def test_what_dicomweb_client_stores_is_kept_and_named_and_the_study_is_complete(web: Web) -> None:
    sent = [dcmread(pydicom_file(name)) for name in ("CT_small.dcm", "MR_small.dcm")]
    with web.client() as client:
        answer, again = client.store_instances(sent), client.store_instances(sent)
    assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
        one.SOPInstanceUID for one in sent
    }
    assert "FailedSOPSequence" not in answer
    assert web.outcomes() == [
        ("dicomweb:County Hospital", outcome, None) for outcome in ("accepted", "accepted", "duplicate", "duplicate")
    ]
    assert len(again.ReferencedSOPSequence) == web.clinical.count_unread() == 2  # kept once, and said to be kept twice
    rows = web.clinical.database.connection.execute("SELECT closed_at IS NOT NULL FROM associations").fetchall()
    assert {row[0] for row in rows} == {1}


def test_nobody_without_a_certificate_of_the_clinics_sends_anything(web: Web, tmp_path: Path) -> None:
    body = pydicom_file("CT_small.dcm").read_bytes()
    assert web.post(body, "application/dicom", certificate=False)[0] == 403
    web.certificate = Authority(tmp_path / "strangers").issue("County Hospital")
    assert web.post(body, "application/dicom")[0] in (400, 403)
    assert web.outcomes() == []
    assert (
        web.front.browser(name=NAME).ask("GET", "/lantern-ca.crt")[0] == 200
    )  # the page itself asks for no certificate


@pytest.mark.parametrize("asks", ["POST", "GET"])
def test_eighty_slow_posts_hold_up_nobody(web: Web, asks: str) -> None:
    stop = threading.Event()
    with closing_all() as slow:
        for _ in range(80):
            slow.append(web.connect())
            slow[-1].sendall(
                b"POST /dicom-web/studies HTTP/1.1\r\nHost: box\r\nContent-Type: application/dicom\r\n"
                b"Content-Length: 1000000\r\n\r\n"
            )
        trickling = threading.Thread(target=trickle, args=(slow, stop))
        trickling.start()
        try:
            begun = time.monotonic()
            body = pydicom_file("CT_small.dcm").read_bytes()
            status = web.post(body, "application/dicom")[0] if asks == "POST" else web.get("/studies")[0]
            assert (status, time.monotonic() - begun < 10) == (200, True)
        finally:
            stop.set()
            trickling.join()


def test_clients_that_let_their_answers_lie_hold_up_nobody(tmp_path: Path) -> None:
    def application(_: object, start: Callable[..., object]) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "application/octet-stream")])
        return iter([bytes(1 << 20)] * 64)  # more than waitress buffers

    path = str(tmp_path / "socket")
    server = dicomweb_server.FairServer(application, 4, unix_socket=path, threads=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    with ExitStack() as opened:
        opened.callback(thread.join)
        opened.callback(server.close)
        for number in range(9):
            client = opened.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(20)
            client.connect(path)
            client.sendall(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n")
            if number < 8:
                client.recv(1)
        assert len(b"".join(iter(lambda: client.recv(1 << 20), b""))) > 64 << 20


def trickle(slow: list[ssl.SSLSocket], stop: threading.Event) -> None:
    """A byte on each of them four times a second, on those that are still open."""
    while not stop.wait(0.25):
        for one in slow:
            with suppress(OSError):
                one.sendall(b"x")


@contextmanager
def closing_all() -> Iterator[list[ssl.SSLSocket]]:
    opened: list[ssl.SSLSocket] = []
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def test_a_refused_object_is_named_with_its_reason_beside_those_that_are_kept(web: Web) -> None:
    good, other = dcmread(pydicom_file("CT_small.dcm")), dcmread(pydicom_file("MR_small.dcm"))
    with web.client() as client:
        answer = client.store_instances([good, other], study_instance_uid=good.StudyInstanceUID)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [good.SOPInstanceUID]
    [failed] = answer.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (other.SOPInstanceUID, 0xA900)
    changed = dcmread(pydicom_file("CT_small.dcm"))
    changed.PixelData = bytes(len(changed.PixelData))
    status, body = web.post(_bytes(changed, web), "application/dicom")
    assert (status, '"Value": [49160]' in body) == (409, True)  # 0xC008: another image under the same UID


def _bytes(dataset: object, web: Web) -> bytes:
    path = web.certificate.parent / f"{generate_uid()}.dcm"
    dataset.save_as(path)  # type: ignore[attr-defined]
    return path.read_bytes()


def test_dicomweb_client_finds_the_results_and_fetches_them_whole(web: Web, tmp_path: Path) -> None:
    outgoing, films = web.results(tmp_path / "films", 2)
    source = dcmread(films[0])
    study = source.StudyInstanceUID
    with web.client() as client:
        assert len(client.search_for_studies()) == 2
        [told] = client.search_for_studies(search_filters={"PatientID": "P-0", "ModalitiesInStudy": "SEG"})
        shown = Dataset.from_json(told)
        assert (shown.StudyInstanceUID, shown.NumberOfStudyRelatedSeries) == (study, 5)
        assert sorted(shown.ModalitiesInStudy) == ["DOC", "OT", "PR", "SEG", "SR"]
        assert client.search_for_studies(search_filters={"PatientID": "P-*", "PatientName": "absent*"}) == []
        for several in ("ModalitiesInStudy=CT,SEG", "ModalitiesInStudy=CT%5CSEG", "Modality=CT&Modality=SEG"):
            assert web.get(f"/studies?{several}")[2] == web.get("/studies?ModalitiesInStudy=SEG")[2] != "[]"
        [report] = client.search_for_series(study, search_filters={"Modality": "SR"})
        series = report["0020000E"]["Value"][0]
        assert len(client.search_for_instances(study, series)) == 1
        for accept, kind in (
            (
                "multipart/related; type=application/dicom; transfer-syntax=*",
                'multipart/related; type="application/dicom"',
            ),
            ("Multipart/Related; Type=image/jpeg", "text/plain; charset=utf-8"),
        ):
            assert web.get(f"/studies/{study}", accept)[1].startswith(kind)
        fetched = client.retrieve_study(study)
        assert {one.Modality for one in fetched} == {"DOC", "OT", "PR", "SEG", "SR"}
        assert {one.StudyInstanceUID for one in fetched} == {study}  # nothing but results: the film itself stays here
        assert source.SOPInstanceUID not in {one.SOPInstanceUID for one in fetched}
        for one in fetched:
            uids = (study, one.SeriesInstanceUID, one.SOPInstanceUID)
            assert client.retrieve_instance(*uids) == one
            metadata = Dataset.from_json(client.retrieve_instance_metadata(*uids), lambda _: b"")
            assert metadata.get("ConceptNameCodeSequence") == one.get("ConceptNameCodeSequence")
            if one.Modality in ("OT", "SEG"):
                frames = client.retrieve_instance_frames(*uids, [1])
                assert one.PixelData.startswith(frames[0])
                assert len(one.PixelData) - len(frames[0]) * int(one.get("NumberOfFrames", 1)) in (0, 1)  # or padding
        [document] = [one for one in fetched if one.Modality == "DOC"]
        [described] = client.retrieve_series_metadata(study, document.SeriesInstanceUID)
        uri = described["00420011"]["BulkDataURI"].partition("/dicom-web")[2]  # the client sends a Host without port
        assert client.retrieve_bulkdata(f"{client.base_url}{uri}")[0].startswith(b"%PDF")
    fetches = [one for one in Audit(web.clinical.database).latest(99) if one.action == "results.fetched"]
    assert [fetch.details for fetch in fetches] == [{"client": "County Hospital"}]
    assert list(web.front.state.outgoing.rglob("*.dcm")) != []  # until the sender tidies
    outgoing.remove_delivered_files()
    assert [path for path in web.front.state.outgoing.rglob("*") if path.is_file()] == []


def test_a_changed_case_replaces_its_results_and_a_deleted_one_takes_them_along(web: Web, tmp_path: Path) -> None:
    outgoing, _ = web.results(tmp_path / "films", 1)
    [case] = web.clinical.list_references()
    with web.client() as client:
        before = {
            instance["00080018"]["Value"][0]: instance["00080060"]["Value"][0]
            for instance in client.search_for_instances()
        }
        CaseLists(web.clinical).finish(case, "li", {"pneumonia": "agree"})
        due_cases.request_sending(web.clinical.database, case, "li")
        assert outgoing.step()
        after = {
            instance["00080018"]["Value"][0]: instance["00080060"]["Value"][0]
            for instance in client.search_for_instances()
        }
        assert sorted(before.values()) == sorted(after.values())  # never an old report beside the new one
        assert sorted(after[uid] for uid in after.keys() - before.keys()) == ["DOC", "SR"]
        web.clinical.database.connection.execute("DELETE FROM outbox")
        now, clearing = datetime.now(UTC) + timedelta(days=2), CaseDeletion(web.front.state, web.clinical)
        [old], _ = clearing.list_candidates(AgeLimits(now, now, 0))
        assert clearing.delete(old)
        assert client.search_for_studies() == []
    outgoing.remove_delivered_files()
    assert list(web.front.state.results.iterdir()) == []
