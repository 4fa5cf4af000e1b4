"""The box's own certificate authority: believed on any day, for the box's own names, and for nobody else's."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware_app.appliance import certificate_authority
from firmware_app.appliance.certificate_authority import AuthorityFiles, PageNames
from firmware_app.appliance.errors import AUTHORITY_UNUSABLE
from firmware_app.core.state_dir import StateDir
from tests.peers import peer
from tests.refusals import raises_refusal

NAMES = PageNames(("lantern-clinic-7.local",), (ip_address("192.168.1.50"), ip_address("fd00::7")))
NOW = datetime(2026, 11, 21, tzinfo=UTC)
CLOCKS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2019, 6, 1, tzinfo=UTC),
    NOW,
    datetime(2045, 1, 1, tzinfo=UTC),
    datetime(2106, 2, 7, tzinfo=UTC),
]


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


def contents(state: StateDir) -> dict[str, bytes]:
    return {str(path.relative_to(state.root)): path.read_bytes() for path in state.root.rglob("*") if path.is_file()}


def openssl(files: AuthorityFiles, server: Path, day: datetime, *options: str) -> str:
    """What OpenSSL, as a phone whose clock shows *day*, says of the certificate."""
    done = subprocess.run(
        [
            peer("openssl"),
            "verify",
            "-CAfile",
            files.public,
            "-purpose",
            "sslserver",
            "-x509_strict",
            "-attime",
            str(int(day.timestamp())),
            *options,
            server,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return "OK" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("shown", CLOCKS, ids=lambda moment: str(moment.year))
def test_whatever_the_boxs_clock_shows_a_phone_with_the_right_time_believes_the_page(
    state: StateDir, shown: datetime
) -> None:
    certificate_authority.prepare_certificates(state, NAMES, shown)
    files = AuthorityFiles(state.root)
    for day in (NOW, NOW + timedelta(days=9 * 365)):
        assert openssl(files, files.server, day, "-verify_hostname", "lantern-clinic-7.local") == "OK"
        assert openssl(files, files.server, day, "-verify_ip", "192.168.1.50") == "OK"
    assert openssl(files, files.server, NOW, "-verify_hostname", "other.local") != "OK"


def test_it_is_renewed_two_years_before_its_end_and_the_authority_never(state: StateDir) -> None:
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    trusted = certificate_authority.read_authority_fingerprint(state)
    ends = x509.load_pem_x509_certificate(AuthorityFiles(state.root).server.read_bytes()).not_valid_after_utc
    assert not certificate_authority.prepare_certificates(state, NAMES, ends - timedelta(days=731))
    assert certificate_authority.prepare_certificates(state, NAMES, ends - timedelta(days=729))
    renewed = x509.load_pem_x509_certificate(AuthorityFiles(state.root).server.read_bytes()).not_valid_after_utc
    assert renewed > ends
    assert certificate_authority.read_authority_fingerprint(state) == trusted
    for _ in range(2):
        certificate_authority.prepare_certificates(state, NAMES, datetime(2106, 1, 1, tzinfo=UTC))
    assert certificate_authority.read_authority_fingerprint(state) == trusted


def test_a_stolen_authority_vouches_for_no_bank(state: StateDir, tmp_path: Path) -> None:
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    files = AuthorityFiles(state.root)
    key = load_pem_private_key(files.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(files.public.read_bytes())
    own = ec.generate_private_key(ec.SECP256R1())
    bank = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank")])
    stolen = (
        x509.CertificateBuilder(
            issuer.subject, bank, own.public_key(), 7, certificate_authority.BEGINS, certificate_authority.ENDS
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("www.bank.example")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    forged = tmp_path / "forged.pem"
    forged.write_bytes(stolen.public_bytes(Encoding.PEM))
    assert "permitted subtree violation" in openssl(files, forged, NOW)


def test_a_lost_key_is_said_and_nothing_is_made_that_devices_do_not_trust(state: StateDir) -> None:
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    AuthorityFiles(state.root).key.unlink()
    before = contents(state)
    with raises_refusal(AUTHORITY_UNUSABLE, match=r"authority\.key is missing"):
        certificate_authority.prepare_certificates(state, NAMES, NOW)
    AuthorityFiles(state.root).key.write_bytes(b"-----BEGIN nothing")
    with raises_refusal(AUTHORITY_UNUSABLE, match="damaged"):
        certificate_authority.prepare_certificates(state, NAMES, NOW)
    AuthorityFiles(state.root).key.unlink()
    assert contents(state) == before


def test_nobody_but_root_may_read_a_private_key(state: StateDir) -> None:
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    files = AuthorityFiles(state.root)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.key.parent.stat().st_mode) == 0o700
    assert not files.server.stat().st_mode & stat.S_IRWXO
    assert stat.S_IMODE(files.public.stat().st_mode) == 0o644
