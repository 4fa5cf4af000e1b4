"""A box gets its keys once, keeps its secrets, and is completed by its own answer only."""

from __future__ import annotations

import stat
import time
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from firmware_app.appliance import box_identity
from firmware_app.appliance.checks.hospital_uplink import examine
from firmware_app.appliance.errors import (
    BOX_ID_INVALID,
    ENROLMENT_STRANGER,
    HOSPITAL_NEEDED,
    NOT_PROVISIONED,
    PROVISIONED_ALREADY,
)
from firmware_app.core import clock
from firmware_app.core.errors import CERTIFICATE_ENDED
from firmware_app.core.key_files import KeyFiles, Tpm
from firmware_app.core.settings import Config, to_toml
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.errors import BUNDLE_INVALID
from firmware_app.uplink.messages.credentials import load_bundle, parse_signing_key
from firmware_app.uplink.messages.envelope import BoxBundle
from hospital import certificate_authority
from hospital.hospital_site import HospitalSite
from tests.machine import FakeClock
from tests.refusals import raises_refusal


def test_a_box_makes_its_identity_once(house: HospitalSite, tmp_path: Path) -> None:
    first, hospital = box_identity.begin_identity(tmp_path / "line", "clinic-7", house.bundle_file)
    again, _ = box_identity.begin_identity(tmp_path / "line", "clinic-7", house.bundle_file)
    assert first == again
    assert hospital == house.load_bundle()
    with raises_refusal(PROVISIONED_ALREADY):
        box_identity.begin_identity(tmp_path / "line", "clinic-8", house.bundle_file)


def test_private_keys_are_for_their_owner_only_and_are_in_nothing_that_leaves(
    house: HospitalSite, tmp_path: Path
) -> None:
    made, _ = box_identity.begin_identity(tmp_path / "line", "clinic-7", house.bundle_file)
    keys = KeyFiles(tmp_path / "line")
    for path in (keys.identity, keys.tls_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secret = "".join(path.read_text().splitlines()[1:-1])[24:]
        assert secret not in box_identity.format_text(made)
    assert box_identity.make_settings(tmp_path / "line")["uplink"]["enabled"] is False


def test_text_in_lines_is_as_good_as_the_file(house: HospitalSite, tmp_path: Path) -> None:
    made, _ = box_identity.begin_identity(tmp_path / "line", "clinic-9", house.bundle_file)
    copied = tmp_path / "copied.txt"
    copied.write_text(box_identity.format_text(made) + "\r\n")
    assert load_bundle(copied, BoxBundle) == made
    box, _ = house.enrol(copied)
    assert box == made
    lines = box_identity.format_qr(made).splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) < 110


class Reversing(Tpm):
    """Turns bytes round; what a real one does is tested with a TPM in software."""

    def seal(self, name: str, secret: bytes) -> bytes:
        return secret[::-1]


@pytest.mark.parametrize("chips", [(Reversing(), None), (None, Reversing())], ids=["then without", "then with"])
def test_what_a_provisioning_that_was_cut_off_left_is_not_taken_for_the_box_s_keys(
    house: HospitalSite, tmp_path: Path, chips: tuple[Tpm | None, Tpm | None]
) -> None:
    """The power went before the bundle was there, and it is asked again with a chip, or without."""
    keys = KeyFiles(tmp_path)
    box_identity.begin_identity(tmp_path, "clinic-7", house.bundle_file, chips[0])
    keys.box.unlink()
    made, _ = box_identity.begin_identity(tmp_path, "clinic-7", house.bundle_file, chips[1])
    assert keys.identity.exists() is keys.tls_key.exists() is (chips[1] is None)
    assert all(path.exists() is (chips[1] is not None) for path in keys.sealed)
    identity = Path(str(box_identity.make_settings(tmp_path)["uplink"]["identity"]))
    if chips[1] is None:
        assert parse_signing_key(identity.read_bytes()).public_key().public_bytes_raw().hex() == made.verify


def test_the_hospitals_answer_completes_this_box_and_no_other(house: HospitalSite, tmp_path: Path) -> None:
    with raises_refusal(NOT_PROVISIONED):
        box_identity.complete_identity(tmp_path / "none", house.bundle_file)
    for name in ("clinic-a", "clinic-b"):
        box_identity.begin_identity(tmp_path / name, name, house.bundle_file)
    _, answer_a = house.enrol(tmp_path / "clinic-a" / "box.json")
    with raises_refusal(BUNDLE_INVALID, match="another box"):
        box_identity.complete_identity(tmp_path / "clinic-b", answer_a)
    assert box_identity.complete_identity(tmp_path / "clinic-a", answer_a) == "clinic-a"
    settings = box_identity.make_settings(tmp_path / "clinic-a")
    config = Config.model_validate(settings)
    assert config.uplink.enabled
    assert (config.box.id, config.uplink.host) == ("clinic-a", "mqtt.hospital.example")
    assert "[uplink]\nenabled = true" in to_toml(settings)


def test_the_answer_of_another_hospital_is_refused_by_name_and_changes_nothing(
    house: HospitalSite, tmp_path: Path
) -> None:
    """The box was shown to both, and both have enrolled it under the same id."""
    other = HospitalSite(tmp_path / "other")
    other.set_up("mqtt.other.example", 8883)
    line = tmp_path / "line"
    box_identity.begin_identity(line, "clinic-7", house.bundle_file)
    _, theirs = other.enrol(line / "box.json")
    _, ours = house.enrol(line / "box.json", replace=True)
    with raises_refusal(ENROLMENT_STRANGER, match=house.load_bundle().fingerprint) as caught:
        box_identity.complete_identity(line, theirs)
    assert theirs.name in str(caught.value)
    assert (caught.value.issuer, caught.value.authority) == (mark(other), mark(house))
    assert box_identity.make_settings(line)["uplink"]["enabled"] is False
    box_identity.complete_identity(line, ours)
    before = KeyFiles(line).tls_cert.read_bytes()
    with raises_refusal(ENROLMENT_STRANGER):
        box_identity.complete_identity(line, theirs)
    assert KeyFiles(line).tls_cert.read_bytes() == before


def mark(house: HospitalSite) -> str:
    """As `openssl x509 -in tls/ca.crt -noout -ext subjectKeyIdentifier` begins."""
    certificate = x509.load_pem_x509_certificate((house.tls / "ca.crt").read_bytes())
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest[:8].hex(" ", 2)


def with_a_new_authority(house: HospitalSite) -> None:
    """The same signing key, another authority: its key was lost, say."""
    certificate_authority.make_authority(house.tls, house.load_bundle().host)
    house.rotate()


def test_an_answer_of_the_hospital_s_new_authority_is_taken_once_the_box_knows_that_one(
    house: HospitalSite, tmp_path: Path
) -> None:
    line = tmp_path / "line"
    box_identity.begin_identity(line, "clinic-7", house.bundle_file)
    with_a_new_authority(house)
    _, answer = house.enrol(line / "box.json", replace=True)
    with raises_refusal(ENROLMENT_STRANGER, match=r"new authority.*new hospital\.json") as caught:
        box_identity.complete_identity(line, answer)
    assert caught.value.issuer == mark(house)
    box_identity.begin_identity(line, "clinic-7", house.bundle_file)
    assert box_identity.complete_identity(line, answer) == "clinic-7"


def test_a_certificate_that_a_new_authority_did_not_issue_goes_and_one_that_it_did_stays(
    house: HospitalSite, tmp_path: Path
) -> None:
    line = tmp_path / "line"
    keys = KeyFiles(line)
    box_identity.begin_identity(line, "clinic-7", house.bundle_file)
    _, answer = house.enrol(line / "box.json", replace=True)
    box_identity.complete_identity(line, answer)
    house.rotate()
    box_identity.begin_identity(line, "clinic-7", house.bundle_file)
    assert keys.tls_cert.exists(), "its authority is the same"
    before = house.load_bundle()
    with_a_new_authority(house)
    box_identity.begin_identity(line, "clinic-7", house.bundle_file)
    assert not keys.tls_cert.exists()
    assert box_identity.make_settings(line)["uplink"]["enabled"] is False
    _, answer = house.enrol(line / "box.json", replace=True)
    box_identity.complete_identity(line, answer)
    box_identity.adopt_hospital(line, house.load_bundle())
    keys.hospital.write_bytes(before.encode())  # as a power cut between the two may leave it
    box_identity.adopt_hospital(line, house.load_bundle())
    assert keys.tls_cert.exists()


def test_without_a_hospital_no_answer_is_taken(house: HospitalSite, tmp_path: Path) -> None:
    line = tmp_path / "line"
    box_identity.make_keys(line, "clinic-7")
    _, answer = house.enrol(line / "box.json", replace=True)
    with raises_refusal(HOSPITAL_NEEDED, match=answer.name):
        box_identity.complete_identity(line, answer)
    assert not KeyFiles(line).tls_cert.exists()


@pytest.mark.parametrize("vouched", [True, False])
def test_an_answer_that_has_ended_is_refused_unless_the_clock_may_be_what_is_wrong(
    house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vouched: bool
) -> None:
    line = tmp_path / "line"
    box_identity.begin_identity(line, "clinic-7", house.bundle_file)
    with monkeypatch.context() as past:
        past.setattr(certificate_authority, "issue", partial(certificate_authority.issue, days=-1))
        _, answer = house.enrol(line / "box.json", replace=True)
    before, machine = clock.current_clock(), FakeClock(time.time())
    machine.network = vouched
    clock.use_clock(clock.Clock(kernel=machine))
    try:
        if vouched:
            with raises_refusal(CERTIFICATE_ENDED, match=answer.name):
                box_identity.complete_identity(line, answer)
        else:
            assert box_identity.complete_identity(line, answer) == "clinic-7"
        assert KeyFiles(line).tls_cert.exists() is not vouched
    finally:
        clock.use_clock(before)


@pytest.mark.parametrize("name", ["", "Clinic", "../x", "x" * 41])
def test_a_box_id_is_safe_in_topics_and_certificates(house: HospitalSite, tmp_path: Path, name: str) -> None:
    with raises_refusal(BOX_ID_INVALID):
        box_identity.begin_identity(tmp_path / "line", name, house.bundle_file)


def test_between_its_keys_and_its_certificate_a_box_waits_for_the_hospital(house: HospitalSite, tmp_path: Path) -> None:
    box_identity.begin_identity(tmp_path / "line", "clinic-7", house.bundle_file)
    config = Config.model_validate(box_identity.make_settings(tmp_path / "line"))
    (check,) = examine(config, StateDir(tmp_path))
    assert (check.result, check.reason.code) == ("warn", "line.awaited")
    assert check.reason.details["bundle"] == str(tmp_path / "line" / "box.json")
    _, answer = house.enrol(tmp_path / "line" / "box.json", replace=True)
    box_identity.complete_identity(tmp_path / "line", answer)
    enrolled = box_identity.make_settings(tmp_path / "line")
    assert [check.reason.code for check in examine(Config.model_validate(enrolled), StateDir(tmp_path))] == [
        "line.not_tried"
    ]
    enrolled["uplink"]["enabled"] = False  # somebody has switched it off
    assert [check.reason.code for check in examine(Config.model_validate(enrolled), StateDir(tmp_path))] == ["line.off"]
    assert "tls_cert" not in to_toml({"uplink": {"tls_cert": None}})
