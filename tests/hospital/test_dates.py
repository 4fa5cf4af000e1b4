"""A wrong clock leaves dates for which a broker refuses everybody (RFC 5280, 6.1.3 and 6.3.3): said and mended."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from firmware_app.appliance import box_identity
from hospital import certificate_authority
from hospital.hospital_site import HospitalSite
from hospital.page.app import create_app

AHEAD = timedelta(days=400)


class AnotherTime(datetime):
    """A clock that is off by `by`."""

    by = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> AnotherTime:
        return super().now(tz) + cls.by


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hospital's clock is more than a year ahead until the returned function is called."""
    shifted = type("Ahead", (AnotherTime,), {"by": AHEAD})
    monkeypatch.setattr(certificate_authority, "datetime", shifted)
    return monkeypatch.undo


def load_revocation_list(house: HospitalSite) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((house.tls / certificate_authority.REVOCATION_LIST).read_bytes())


def enrol(house: HospitalSite, folder: Path, *, replace: bool = False) -> None:
    box_identity.begin_identity(folder, "clinic-7", house.bundle_file)
    house.enrol(folder / "box.json", replace=replace)


def codes(house: HospitalSite) -> list[str]:
    answer = create_app(house, timedelta(minutes=15)).test_client().get("/healthz", base_url="http://localhost")
    return list(answer.get_json()["codes"])


def broker(house: HospitalSite, *words: str) -> tuple[int, list[str]]:
    """Status and codes of `lantern-hospital broker`."""
    command = [sys.executable, "-m", "hospital.cli", "broker", "--json", "--dir", str(house.root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, json.loads(done.stdout)["faults"]


def test_a_list_written_by_a_clock_that_was_ahead_is_named_and_written_again(house: HospitalSite, ahead: Any) -> None:
    certificate = x509.load_pem_x509_certificate((house.tls / "broker.crt").read_bytes())
    certificate_authority.revoke_certificates(house.tls, [certificate])
    ahead()
    assert load_revocation_list(house).last_update_utc > datetime.now(UTC), "as the wrong clock wrote it"
    assert "hospital.list_early" in codes(house)
    assert broker(house) == (1, ["hospital.list_early"])
    assert broker(house, "--update") == (0, [])
    assert load_revocation_list(house).last_update_utc <= datetime.now(UTC)
    assert [entry.serial_number for entry in load_revocation_list(house)] == [certificate.serial_number]
    assert "hospital.list_early" not in codes(house)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_a_lost_or_damaged_list_keeps_out_whom_it_kept_out(
    house: HospitalSite, tmp_path: Path, content: bytes | None
) -> None:
    enrol(house, tmp_path / "first")
    enrol(house, tmp_path / "second", replace=True)
    before = {entry.serial_number for entry in load_revocation_list(house)}
    assert len(before) == 1
    file = house.tls / certificate_authority.REVOCATION_LIST
    file.unlink() if content is None else file.write_bytes(content)
    assert "hospital.list_unusable" in codes(house)
    house.renew_list()
    assert {entry.serial_number for entry in load_revocation_list(house)} == before
    assert "hospital.list_unusable" not in codes(house)


def test_a_hospital_made_by_a_clock_that_was_ahead_is_told_which_certificate_is_early(
    tmp_path: Path, ahead: Any
) -> None:
    house = HospitalSite(tmp_path / "hospital")
    house.set_up("127.0.0.1", 8883)
    ahead()
    assert "hospital.certificate_early" in codes(house)
    status, found = broker(house)
    assert (status, found[0]) == (1, "hospital.certificate_early")
