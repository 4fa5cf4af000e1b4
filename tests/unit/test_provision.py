"""`lantern provision`: a box gets its identity once, keeps its secrets, and is completed by its own answer only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from firmware_app.config import Config
from firmware_app.device import provision
from firmware_app.device.line import examine, status
from firmware_app.errors import BoxIdInvalid, BundleInvalid, NotProvisioned, ProvisionedAlready
from firmware_app.store.layout import StateDir
from firmware_app.uplink.credentials import bundle
from firmware_app.uplink.envelope import BoxBundle
from hospital.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    made = House(tmp_path_factory.mktemp("hospital"))
    made.found("mqtt.hospital.example", 8883)
    return made


def test_a_box_makes_its_identity_once(house: House, tmp_path: Path) -> None:
    first, hospital = provision.begin(tmp_path / "line", "clinic-7", house.bundle_file)
    again, _ = provision.begin(tmp_path / "line", "clinic-7", house.bundle_file)
    assert first == again
    assert hospital == house.bundle()
    with pytest.raises(ProvisionedAlready):
        provision.begin(tmp_path / "line", "clinic-8", house.bundle_file)


def test_private_keys_are_for_their_owner_only_and_are_in_nothing_that_leaves(house: House, tmp_path: Path) -> None:
    made, _ = provision.begin(tmp_path / "line", "clinic-7", house.bundle_file)
    keys = provision.Keys(tmp_path / "line")
    for path in (keys.identity, keys.tls_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secret = "".join(path.read_text().splitlines()[1:-1])[24:]
        assert secret not in provision.printed(made)
    assert provision.settings(tmp_path / "line")["uplink"]["enabled"] is False


def test_text_in_lines_is_as_good_as_the_file(house: House, tmp_path: Path) -> None:
    made, _ = provision.begin(tmp_path / "line", "clinic-9", house.bundle_file)
    copied = tmp_path / "copied.txt"
    copied.write_text(provision.printed(made) + "\r\n")
    assert bundle(copied, BoxBundle) == made
    box, _ = house.enrol(copied)
    assert box == made
    lines = provision.qr(made).splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) < 110


def test_the_hospitals_answer_completes_this_box_and_no_other(house: House, tmp_path: Path) -> None:
    with pytest.raises(NotProvisioned):
        provision.complete(tmp_path / "none", house.bundle_file)
    for name in ("clinic-a", "clinic-b"):
        provision.begin(tmp_path / name, name, house.bundle_file)
    _, answer_a = house.enrol(tmp_path / "clinic-a" / "box.json")
    with pytest.raises(BundleInvalid, match="another box"):
        provision.complete(tmp_path / "clinic-b", answer_a)
    assert provision.complete(tmp_path / "clinic-a", answer_a) == "clinic-a"
    found = provision.settings(tmp_path / "clinic-a")
    config = Config.model_validate(found)
    assert config.uplink.enabled
    assert (config.box.id, config.uplink.host) == ("clinic-a", "mqtt.hospital.example")
    assert "[uplink]\nenabled = true" in provision.as_toml(found)


@pytest.mark.parametrize("name", ["", "Clinic", "../x", "a b", "x" * 41, "HOSPITAL"])
def test_a_box_id_is_safe_in_topics_and_certificates(house: House, tmp_path: Path, name: str) -> None:
    with pytest.raises(BoxIdInvalid):
        provision.begin(tmp_path / "line", name, house.bundle_file)


def test_a_file_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}')
    for path in (tmp_path / "x.json", tmp_path / "missing.json"):
        with pytest.raises(BundleInvalid, match=path.name):
            provision.begin(tmp_path / "line", "clinic-7", path)


def test_the_doctor_speaks_of_the_line(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    off = Config.model_validate({"state": {"dir": str(tmp_path)}})
    assert [(well, reason.code) for well, reason in examine(off, state)] == [(True, "line.off")]
    assert status(off, state) is None
    on = Config.model_validate({"state": {"dir": str(tmp_path)}, "uplink": {"enabled": True}})
    assert [(well, reason.code) for well, reason in examine(on, state)] == [(False, "line.not_tried")]
