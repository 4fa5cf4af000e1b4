"""Real TLS on this machine: dates of certificates go by the box's time, and whose fault they are is said."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from firmware_app.core import clock
from firmware_app.core.certificates import PeerOutOfDate, check_dates_by_box_time
from firmware_app.core.clock import Clock, TimeSource
from firmware_app.core.settings import DicomSection
from firmware_app.dicom.scp import association_server, tls_dates
from tests.machine import IN_1970, FakeClock

pytestmark = pytest.mark.alone

NOW = datetime.now(UTC)
VALID = (-10, 10)
OVER = (-20, -10)
TO_COME = (10, 20)


def certificate(folder: Path, name: str, days: tuple[int, int], signer: str | None = None) -> Path:
    """A certificate of *name*, valid from and until so many days from now, in a PEM file with its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, by = subject, key
    if signer is not None:
        issuer = x509.load_pem_x509_certificate((folder / f"{signer}.crt").read_bytes()).subject
        by = _key(folder / f"{signer}.key")
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .sign(by, hashes.SHA256())
    )
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path = folder / f"{name}.crt"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    return path


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@pytest.fixture
def box() -> Iterator[Clock]:
    """The box's clock, on a machine whose own stands in 1970; restored afterwards."""
    before = clock.current_clock()
    yield clock.use_clock(Clock(kernel=FakeClock(IN_1970)))
    clock.use_clock(before)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Exception | None, Exception | None]:
    """One handshake over a real socket; what the server and the client said against it."""
    one, other = socket.socketpair()
    failed: list[Exception | None] = [None]

    def serve() -> None:
        with server.wrap_socket(one, server_side=True, do_handshake_on_connect=False) as speaking:
            try:
                speaking.do_handshake()
                speaking.sendall(b"x")
            except OSError as error:
                failed[0] = error

    thread = threading.Thread(target=serve)
    thread.start()
    mine: Exception | None = None
    with client.wrap_socket(other, do_handshake_on_connect=False) as speaking:
        try:
            speaking.do_handshake()
            speaking.recv(1)  # TLS 1.3: only now is the server's word on our certificate here
        except OSError as error:
            mine = error
    thread.join()
    return failed[0], mine


def port(folder: Path, days: tuple[int, int]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The DICOM port's TLS that wants a client's certificate, and a client with one of these *days*."""
    certificate(folder, "authority", (-100, 100))
    for name, valid in (("box", VALID), ("modality", days)):
        certificate(folder, name, valid, "authority")
    settings = DicomSection(tls_cert=folder / "box.crt", tls_key=folder / "box.key", tls_ca=folder / "authority.crt")
    server = association_server.create_tls_context(settings)
    assert server is not None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.load_cert_chain(folder / "modality.crt", folder / "modality.key")
    return server, client


@pytest.mark.parametrize("source", [TimeSource.PERSON, TimeSource.HOSPITAL])
def test_a_machine_in_1970_takes_what_is_valid_by_the_boxs_time(tmp_path: Path, box: Clock, source: TimeSource) -> None:
    box.learn(time.time(), source, dated=time.time() - 60)
    assert shake_hands(*port(tmp_path, VALID)) == (None, None)


@pytest.mark.parametrize(
    ("days", "source", "expected"),
    [
        (OVER, TimeSource.PERSON, "clock.certificate_expired"),
        (OVER, TimeSource.HOSPITAL, "clock.certificate_ended"),
        (TO_COME, TimeSource.PERSON, "clock.certificate_not_yet"),
        (TO_COME, TimeSource.HOSPITAL, "clock.certificate_early"),
    ],
)
def test_a_modality_whose_certificate_is_out_of_date_is_refused_with_the_likely_cause(
    tmp_path: Path, box: Clock, days: tuple[int, int], source: TimeSource, expected: str
) -> None:
    box.learn(time.time(), source, dated=time.time() - 60)
    refused, _ = shake_hands(*port(tmp_path, days))
    assert isinstance(refused, PeerOutOfDate)
    error = tls_dates.explain_refusal(refused, "10.0.0.5")
    assert error is not None
    assert error.code == expected
    assert "10.0.0.5" in error.text("en")


def test_a_strange_authority_is_refused_as_ever_and_not_for_its_dates(tmp_path: Path, box: Clock) -> None:
    box.learn(time.time(), TimeSource.HOSPITAL, dated=time.time() - 60)
    server, client = port(tmp_path, VALID)
    certificate(tmp_path, "stranger", VALID)
    client.load_cert_chain(tmp_path / "stranger.crt", tmp_path / "stranger.key")
    refused, _ = shake_hands(server, client)
    assert isinstance(refused, ssl.SSLCertVerificationError)
    assert tls_dates.explain_refusal(refused, "10.0.0.5") is None


@pytest.mark.parametrize(
    ("days", "source"), [(OVER, TimeSource.HOSPITAL), (TO_COME, TimeSource.HOSPITAL), (OVER, TimeSource.PERSON)]
)
def test_a_broker_whose_certificate_is_out_of_date_hears_nothing(
    tmp_path: Path, box: Clock, days: tuple[int, int], source: TimeSource
) -> None:
    box.learn(time.time(), source, dated=time.time() - 60)
    certificate(tmp_path, "authority", (-100, 100))
    certificate(tmp_path, "broker", days, "authority")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "broker.crt", tmp_path / "broker.key")
    client = check_dates_by_box_time(ssl.create_default_context(cafile=tmp_path / "authority.crt"))
    client.check_hostname = False
    _, refused = shake_hands(server, client)
    assert isinstance(refused, PeerOutOfDate)
    assert refused.fault.ended is (days == OVER)
    assert refused.fault.by_clock is (source is TimeSource.PERSON)
