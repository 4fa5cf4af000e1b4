"""`lantern config check` tries what the services will need, and names key and line."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from firmware_app.core import config_check
from firmware_app.core.settings import load_config_with_source


def pair(folder: Path, name: str, passphrase: bytes | None = None) -> None:
    """A certificate and its key, as NAME.crt and NAME.key."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, begins, begins + timedelta(days=900)).sign(
        key, SHA256()
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(Encoding.PEM))
    locked = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that are there: two pairs, a locked key, a text, a folder."""
    pair(tmp_path, "one")
    pair(tmp_path, "two")
    pair(tmp_path, "locked", b"secret")
    (tmp_path / "text").write_text("no certificate\n")
    (tmp_path / "made").mkdir()
    return tmp_path


def found(folder: Path, text: str) -> list[tuple[str, str, int]]:
    """Code, key and line of each finding; ``@`` stands for *folder*."""
    path = folder / "lantern.toml"
    path.write_text(text.replace("@", str(folder)), "utf-8")
    config, source = load_config_with_source(path, {"LANTERN_STATE__DIR": str(folder / "state")})
    return [
        (finding.code, finding.key, int(finding.place.rpartition(":")[2]))
        for finding in config_check.check_config(config, source)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[dicom]\ntls_cert = "@/one.crt"\ntls_key = "@/one.key"\ntls_ca = "@/two.crt"\n',
        '[pacs]\nhost = "pacs.county.example"\ntls_ca = "@/two.crt"\n[pacs.more.b]\nhost = "fd00::1"\n',
        '[dicom]\nport = 8080\nhost = "127.0.0.1"\n[viewer]\nhost = "127.0.0.2"\n',
        "[dicom]\nport = 0\n[viewer]\nport = 0\nmetrics_port = 0\n",
        '[folder]\npath = "@/made"\n[backup]\ndir = "@/not/yet"\n[fhir]\nurl = "https://his.example/fhir"\n',
        '[uplink]\nhost = "broker"\nidentity = "/run/credentials/lantern-uplink.service/box.key"\n',
    ],
)
def test_nothing_is_found_where_all_is_well(folder: Path, text: str) -> None:
    assert found(folder, text) == []


@pytest.mark.parametrize(
    ("text", "code", "key", "line"),
    [
        ('[dicom]\ntls_cert = "@/none.crt"\ntls_key = "@/one.key"', "config.file_missing", "dicom.tls_cert", 2),
        ('[dicom]\ntls_cert = "@/one.crt"\ntls_key = "@/none.key"', "config.file_missing", "dicom.tls_key", 3),
        ('[dicom]\ntls_cert = "@/one.crt"', "config.incomplete", "dicom.tls_cert", 2),
        ('[dicom]\ntls_key = "@/one.key"', "config.incomplete", "dicom.tls_key", 2),
        ('[dicom]\ntls_ca = "@/one.crt"', "config.incomplete", "dicom.tls_ca", 2),
        ('[dicom]\ntls_cert = "@/text"\ntls_key = "@/one.key"', "config.no_certificate", "dicom.tls_cert", 2),
        ('[dicom]\ntls_cert = "@/one.crt"\ntls_key = "@/text"', "config.no_private_key", "dicom.tls_key", 3),
        ('[dicom]\ntls_cert = "@/locked.crt"\ntls_key = "@/locked.key"', "config.no_private_key", "dicom.tls_key", 3),
        ('[dicom]\ntls_cert = "@/one.crt"\ntls_key = "@/two.key"', "config.key_mismatch", "dicom.tls_key", 3),
        ('[pacs.more.county]\nhost = "a"\ntls_ca = "@/none"', "config.file_missing", "pacs.more.county.tls_ca", 3),
        ('[pacs]\nhost = "a"\ntls_cert = "@/one.crt"\ntls_key = "@/one.key"', "config.incomplete", "pacs.tls_cert", 3),
        ('[fhir]\ntls_ca = "@/none"', "config.file_missing", "fhir.tls_ca", 2),
        ('[fhir]\ntoken = "@/none"', "config.file_missing", "fhir.token", 2),
        ('[dicomweb]\nclient_ca = "@/text"', "config.no_certificate", "dicomweb.client_ca", 2),
        ('[export]\nfeedback_key = "@/none"', "config.file_missing", "export.feedback_key", 2),
        ('[pacs]\ntls_ca = "@/made"', "config.not_a_file", "pacs.tls_ca", 2),
        ("[pacs]\nsend = true", "config.incomplete", "pacs.send", 2),
        ("[pacs.more.county]\nquery = true", "config.incomplete", "pacs.more.county.query", 2),
        ("[uplink]\nenabled = true", "config.incomplete", "uplink.enabled", 2),
        ("[dicom]\nport = 8080", "config.port_twice", "dicom.port", 2),
        ("[dicom]\nport = 9464", "config.port_twice", "dicom.port", 2),
        ('[dicom]\nhost = "999.1.1.1"', "config.no_host", "dicom.host", 2),
        ('[viewer]\nhost = "192.0.2.7"', "config.foreign_address", "viewer.host", 2),
        ('[pacs]\nhost = "http://pacs"', "config.no_host", "pacs.host", 2),
        ('[uplink]\nhost = "mqtt.county.example:8883"', "config.no_host", "uplink.host", 2),
        ('[worklist.hospital]\nhost = "the RIS"', "config.no_host", "worklist.hospital.host", 2),
        ('[fhir]\nurl = "https://10.0.0.300/fhir"', "config.no_host", "fhir.url", 2),
        ('[dicom.commitment_to]\nCT1 = "10.0.0:104"', "config.no_host", "dicom.commitment_to.CT1", 2),
        ('[folder]\npath = "@/none"', "config.no_folder", "folder.path", 2),
        ('[packs]\ndir = "@/text"', "config.not_a_folder", "packs.dir", 2),
        ('[backup]\ndir = "@/text"', "config.not_a_folder", "backup.dir", 2),
    ],
)
def test_what_a_service_would_stumble_over_is_named_with_its_line(
    folder: Path, text: str, code: str, key: str, line: int
) -> None:
    assert found(folder, text + "\n") == [(code, key, line)]


def test_a_state_folder_that_is_a_file_is_found(folder: Path) -> None:
    path = folder / "lantern.toml"
    path.write_text(f'[box]\n[state]\ndir = "{folder}/text"\n')
    (finding,) = config_check.check_config(*load_config_with_source(path, {}))
    assert (finding.code, finding.place) == ("config.not_a_folder", f"{path}:3")
    assert os.fspath(folder / "text") in finding.text("en")
