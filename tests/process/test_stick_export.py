"""A case that is sealed onto a stick by the real export child."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from firmware_app.cases.exports import Exports
from firmware_app.core.state_dir import StateDir
from firmware_app.results import deidentified_export, export_session
from firmware_app.uplink.errors import CARRIED_KEY_RETIRED
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages.envelope import sign
from firmware_app.uplink.messages.summary import Keys, Kind
from hospital import keyring
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import BOX, STUDY, Box, export_sealed, open_export, write_sealed_case
from tests.exporting_rig import box as box
from tests.exporting_rig import house as house


def test_a_case_leaves_as_one_file_that_only_the_hospital_opens(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = export_sealed(box)
    assert file.name == f"{box.case}.lantern-sealed"
    for clear in (b"DICM", b"manifest", box.case.encode(), STUDY.encode(), b"Zhang", b"P-4711"):
        assert clear not in file.read_bytes()
    assert open_export(house, file, tmp_path / "out") == 0
    folder = tmp_path / "out" / f"{BOX}-{box.case}"
    assert f"2 images, sealed by box {BOX}, are in {folder}." in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["00001.dcm", "00002.dcm", deidentified_export.MANIFEST]
    manifest = json.loads((folder / deidentified_export.MANIFEST).read_text("utf-8"))
    for one in manifest["files"]:
        data = (folder / one["file"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        assert not any(name in data for name in (b"Zhang", b"P-4711", STUDY.encode()))
        assert dcmread(folder / one["file"]).SOPInstanceUID == one["sop_instance_uid"]
    assert "Not encrypted" not in manifest["note"]
    assert list(box.state.root.glob(".exporting-*")) == []
    assert [(one.action, one.case, dict(one.details)) for one in box.read_export_audit()] == [
        ("export.begun", box.case, {"account": "li", "images": 2, "looked": 1, "sealed": 1}),
        ("export.done", box.case, {"account": "li", "begun": 1, "exported": 2, "refused": 0, "sealed": 1}),
    ]


def test_a_key_that_was_replaced_is_named_and_the_new_one_is_used_once_the_box_has_heard_of_it(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_sealed_case(box, house)
    house.rotate()
    assert open_export(house, file, tmp_path / "out") == 1
    assert CARRIED_KEY_RETIRED.code in capsys.readouterr().err
    file.unlink()

    keys = keyring.load_keys(house.keys)
    message = Keys(BOX, keys.serial, keys.seal_public)
    exchange = Exchange(box.state.exchange_db)
    exchange.create()
    exchange.keep_keys(house.load_bundle().verify, keys.serial, sign(message.encode(), Kind.KEYS, BOX, keys.signer))
    exchange.database.close()
    assert open_export(house, export_sealed(box), tmp_path / "out") == 0


def stages(state: StateDir) -> list[Path]:
    return sorted(state.root.glob(".exporting-*"))


def test_what_a_killed_export_left_goes_at_the_next_one_but_not_while_one_is_under_way(
    box: Box, house: HospitalSite
) -> None:
    words = [sys.executable, "-m", "firmware_app", "case", "export", box.case, "--stick", str(box.stick)]
    killed = subprocess.Popen([*words, "--person", "li", "--looked"], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not stages(box.state):  # the child that writes into it is only starting by then
        assert killed.poll() is None
        assert time.monotonic() < until
    killed.kill()
    killed.wait()
    left = stages(box.state)
    with Exports(box.clinical.database).mark_in_progress():
        export_session.remove_stages(box.state)
        assert stages(box.state) == left, "this may be its folder"
    for folder in box.stick.iterdir():
        shutil.rmtree(folder)
    while stages(box.state) and time.monotonic() < until:  # the child holds the lock a moment longer
        export_session.remove_stages(box.state)
    assert stages(box.state) == []


_KEPT_MB, _BALLAST_MB = 16, 2
