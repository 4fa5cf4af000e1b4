"""What stands on the list of revoked certificates, without a broker."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware_app.appliance import box_identity
from hospital import certificate_authority
from hospital.hospital_site import HospitalSite


def enrol(house: HospitalSite, folder: Path, *, replace: bool = False) -> None:
    if not folder.exists():
        box_identity.begin_identity(folder, "clinic-7", house.bundle_file)
    house.enrol(folder / "box.json", replace=replace)


def read_revoked_serials(house: HospitalSite) -> set[int]:
    listed = x509.load_pem_x509_crl((house.tls / certificate_authority.REVOCATION_LIST).read_bytes())
    assert listed.is_signature_valid(x509.load_pem_x509_certificate((house.tls / "ca.crt").read_bytes()).public_key())  # type: ignore[arg-type]
    return {entry.serial_number for entry in listed}


def read_issued_serials(house: HospitalSite) -> set[int]:
    return {
        certificate.serial_number
        for certificate in certificate_authority.list_issued_certificates(
            house.tls, "clinic-7", house.enrolment_path("clinic-7")
        )
    }


def test_a_box_that_comes_with_new_keys_has_its_former_certificates_revoked(
    house: HospitalSite, tmp_path: Path
) -> None:
    enrol(house, tmp_path / "first")
    enrol(house, tmp_path / "first")  # the certificate again, for the same key: nobody lost anything
    former = read_issued_serials(house)
    assert (len(former), read_revoked_serials(house)) == (2, set())
    enrol(house, tmp_path / "second", replace=True)
    assert read_revoked_serials(house) == former
    assert len(read_issued_serials(house)) == 3


def test_processes_that_revoke_at_once_all_reach_the_list(house: HospitalSite) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    certificates = [
        x509.load_pem_x509_certificate(certificate_authority.issue(house.tls, f"clinic-{number}", key).encode())
        for number in range(12)
    ]
    processes = []
    for certificate in certificates:
        processes.append(os.fork())
        if not processes[-1]:
            try:
                certificate_authority.revoke_certificates(house.tls, [certificate])
            finally:
                os._exit(0)
    for process in processes:
        os.waitpid(process, 0)
    assert read_revoked_serials(house) == {certificate.serial_number for certificate in certificates}


def test_the_list_is_renewed_long_before_it_ends(house: HospitalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = x509.load_pem_x509_certificate((house.tls / "broker.crt").read_bytes())
    certificate_authority.revoke_certificates(house.tls, [certificate])
    assert not certificate_authority.renew_revocation_list(house.tls)
    monkeypatch.setattr(certificate_authority, "_DAYS", timedelta(days=170))
    certificate_authority._write_list(house.tls, certificate_authority._read_list_entries(house.tls))
    monkeypatch.undo()
    assert certificate_authority.renew_revocation_list(house.tls)
    listed = x509.load_pem_x509_crl((house.tls / certificate_authority.REVOCATION_LIST).read_bytes())
    assert listed.next_update_utc is not None
    assert listed.next_update_utc > datetime.now(UTC) + timedelta(days=360)
    assert read_revoked_serials(house) == {certificate.serial_number}
