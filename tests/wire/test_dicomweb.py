"""DICOMweb through the real TLS front: dicomweb-client with a client certificate, and whoever has none."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import add_certs_to_session, create_session
from pydicom import dcmread
from pydicom.uid import generate_uid

from firmware_app.dicomweb.listener import Listener
from firmware_app.intake.accept import Door
from firmware_app.provisioning import authority
from firmware_app.store.clinical.clinical_db import Clinical
from tests.peers import pydicom_file
from tests.wire.certificates import Authority
from tests.wire.front_rig import NAME, Front, running

pytestmark = pytest.mark.alone


@dataclass
class Web:
    """A front with DICOMweb behind it, and a client's certificate."""

    front: Front
    clinical: Clinical
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

    def outcomes(self) -> list[tuple[str, str, str | None]]:
        rows = self.clinical.database.connection.execute("SELECT path, outcome, code FROM arrivals ORDER BY sequence")
        return [tuple(row) for row in rows]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    clients = Authority(tmp_path / "clients")
    settings = {"enabled": True, "client_ca": str(clients.certificate), "max_request_mb": 8}
    with running(tmp_path, viewer=False, dicomweb=settings) as front:
        clinical = Clinical(front.state.clinical_db)
        listener = Listener(front.config, Door(front.state, clinical, 16, 64))
        listener.start()
        public = authority.Files(front.state.root).public
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
    assert len(again.ReferencedSOPSequence) == web.clinical.unread() == 2  # kept once, and said to be kept twice
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


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"--b\r\nContent-Type: application/dicom\r\n\r\nnothing of DICOM\r\n--b--\r\n", "", 409),
        (b"--b\r\nContent-Type: application/dicom\r\n\r\ncut", "", 400), (b"--b--", "", 400), (b"", "", 400),
        (b"no parts at all" * 1000, "", 400), (b"--b\r\n" + b"X" * 100_000, "", 400),
        (b"{}", "application/dicom+json", 415), (bytes(9_000_000), "application/dicom", 413),
    ],
    ids=["no DICOM", "cut", "empty", "nothing", "no parts", "long header", "json", "too large"],
)  # fmt: skip
def test_a_request_that_is_none_gets_a_status_and_leaves_nothing(web: Web, body: bytes, kind: str, status: int) -> None:
    related = 'multipart/related; type="application/dicom"; boundary=b'
    assert web.post(body, kind or related)[0] == status
    assert web.clinical.unread() == 0
    assert list(web.front.state.incoming.iterdir()) == []


def _bytes(dataset: object, web: Web) -> bytes:
    path = web.certificate.parent / f"{generate_uid()}.dcm"
    dataset.save_as(path)  # type: ignore[attr-defined]
    return path.read_bytes()
