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

from firmware_app.appliance import certificate_authority, tls_front
from firmware_app.appliance.certificate_authority import AuthorityFiles, PageNames
from firmware_app.appliance.errors import AUTHORITY_UNUSABLE, FRONT_NEEDS_PORT
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from tests.peers import REPOSITORY, peer
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


def test_done_again_nothing_is_changed(state: StateDir) -> None:
    assert certificate_authority.prepare_certificates(state, NAMES, NOW)
    before = contents(state)
    for shown in CLOCKS[:3]:
        assert not certificate_authority.prepare_certificates(state, NAMES, shown)
    assert contents(state) == before


def test_a_new_address_gets_a_new_certificate_of_the_same_authority(state: StateDir) -> None:
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    trusted, known = (
        certificate_authority.read_authority_fingerprint(state),
        AuthorityFiles(state.root).server.read_bytes(),
    )
    moved = PageNames(NAMES.dns, (ip_address("10.0.0.9"),))
    assert certificate_authority.prepare_certificates(state, moved, NOW)
    assert certificate_authority.read_authority_fingerprint(state) == trusted
    assert AuthorityFiles(state.root).server.read_bytes() != known
    assert openssl(AuthorityFiles(state.root), AuthorityFiles(state.root).server, NOW, "-verify_ip", "10.0.0.9") == "OK"


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


def test_a_name_it_may_not_vouch_for_is_left_out_and_spoils_no_other(state: StateDir) -> None:
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    certificate_authority.prepare_certificates(state, PageNames((*NAMES.dns, "www.bank.example"), NAMES.addresses), NOW)
    files = AuthorityFiles(state.root)
    assert certificate_authority.read_names(x509.load_pem_x509_certificate(files.server.read_bytes())).dns == NAMES.dns
    assert openssl(files, files.server, NOW, "-verify_hostname", "lantern-clinic-7.local") == "OK"


@pytest.mark.parametrize("written", range(4))
def test_a_power_cut_between_any_two_files_heals(state: StateDir, written: int) -> None:
    """The authority's key, its certificate, the page's file: in this order, and any number of them is there."""
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    files = AuthorityFiles(state.root)
    for path in (files.key, files.public, files.server)[written:]:
        path.unlink()
    certificate_authority.prepare_certificates(state, NAMES, NOW)
    assert openssl(files, files.server, NOW) == "OK"


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


def test_the_front_names_the_box_by_what_browsers_may_ask_for() -> None:
    config = Config.model_validate(
        {"box": {"id": "clinic-7"}, "viewer": {"allowed_hosts": ["films.clinic.lan", "10.0.0.3"]}}
    )
    answer = tls_front.collect_page_names(config)
    assert {"lantern-clinic-7.local", "films.clinic.lan"} <= set(answer.dns)
    assert "10.0.0.3" not in answer.dns
    assert not any(address.is_loopback for address in answer.addresses)


def test_a_viewer_on_any_port_cannot_be_found_and_it_says_so(tmp_path: Path) -> None:
    template = (REPOSITORY / "systemd/nginx.conf.in").read_text("utf-8")
    with raises_refusal(FRONT_NEEDS_PORT):
        tls_front.fill_template(template, viewer=0, state=tmp_path, run=tmp_path, share=tmp_path)
    written = tls_front.fill_template(template, viewer=8080, state=tmp_path, run=tmp_path, share=tmp_path)
    assert "@" not in written.replace("fills in the @NAMES@", "")
