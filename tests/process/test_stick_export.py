"""A case that is sealed onto a stick by the real export child."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from firmware_app.cases.exports import Exports
from firmware_app.core import key_files
from firmware_app.core.errors import SealingFailed, StateUnusable
from firmware_app.core.key_files import KeyFiles
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.imaging.errors import EXPORT_NO_ROOM
from firmware_app.results import deidentified_export, export_session, sealed_case
from firmware_app.results.export_session import ExportOutcome, ExportSession
from firmware_app.uplink.errors import CARRIED_KEY_RETIRED
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages.envelope import sign
from firmware_app.uplink.messages.summary import Keys, Kind
from hospital import keyring
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import BOX, STUDY, Box, enrol_box, export_sealed, open_export, write_sealed_case
from tests.exporting_rig import box as box
from tests.exporting_rig import house as house
from tests.small_disk import small_disk


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


def test_a_signing_key_under_the_security_chip_is_opened_by_it(
    box: Box, house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass(frozen=True, slots=True)
    class Chip(key_files.Tpm):
        """Turns bytes round; what a real one does is tested with a TPM in software."""

        works: bool = True

        def unseal(self, name: str, sealed: bytes) -> bytes:
            if not self.works:
                raise SealingFailed(detail="the chip is another one")
            assert name == "identity.pem"
            return sealed[::-1]

    keys = KeyFiles(box.state.line_keys)
    keys.sealed[0].write_bytes(keys.identity.read_bytes()[::-1])
    keys.identity.unlink()
    monkeypatch.setattr(key_files, "find_tpm", Chip)
    assert open_export(house, export_sealed(box), tmp_path / "out") == 0
    (box.stick / f"{box.case}{sealed_case.SUFFIX}").unlink()
    monkeypatch.setattr(key_files, "find_tpm", lambda: Chip(works=False))
    assert box.run(way="--stick") == 1
    assert "export.no_signer" in capsys.readouterr().err


def stages(state: StateDir) -> list[Path]:
    return sorted(state.root.glob(".exporting-*"))


def test_what_goes_wrong_on_the_box_s_own_disk_is_not_said_of_the_stick(
    box: Box, house: HospitalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = deidentified_export.export_images

    def losing(session: ExportSession, stage: Path, *, folders: Sequence[Path]) -> Iterator[ExportOutcome]:
        assert stage.parent == box.state.root, "where only root may write"
        assert stage.stat().st_mode & 0o777 == 0o700
        for outcome in each(session, stage, folders=folders):
            for path in stage.iterdir():
                path.unlink()
            yield outcome

    monkeypatch.setattr(sealed_case, "export_images", losing)
    with pytest.raises(StateUnusable, match="No such file"):
        box.seal()
    assert list(box.stick.iterdir()) == []


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


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """A box whose state and stick lie on one disk of 24 MB, of which 16 are kept for images."""
    for name, value in (
        ("BOX__LANGUAGE", "en"),
        ("EXPORT__ENABLED", "true"),
        ("STATE__DIR", str(tmp_path / "disk" / "state")),
        ("RETENTION__HIGH_WATER_FREE_MB", str(_KEPT_MB)),
        ("RETENTION__BALLAST_MB", str(_BALLAST_MB)),
    ):
        monkeypatch.setenv(f"LANTERN_{name}", value)
    with small_disk(tmp_path / "disk", "size=24m"):
        made = Box(tmp_path / "disk")
        yield made
        made.clinical.database.close()
        gc.collect()


def fill(box: Box, left: int, beside_mb: int) -> None:
    """Leave *left* bytes beside what is kept."""
    taken = free_bytes(box.state.root) - beside_mb * 1_000_000 - left
    with (box.state.root / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, taken)


def test_an_export_onto_the_box_s_own_disk_leaves_the_room_that_images_need(
    small: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(small, 400_000, _KEPT_MB)
    assert small.run() == 1
    assert f"{EXPORT_NO_ROOM.code}: " in capsys.readouterr().err
    assert free_bytes(small.state.root) > _KEPT_MB * 1_000_000
    assert list(small.stick.iterdir()) == []
    assert small.actions == ["export.begun", "export.stopped"]


@pytest.mark.parametrize(("left", "is_sealed"), [(1_500_000, True), (400_000, False)])
def test_a_disk_that_takes_no_more_images_seals_a_case_onto_a_stick_down_to_the_ballast(
    small: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, is_sealed: bool
) -> None:
    enrol_box(small, tmp_path / "hospital", monkeypatch)
    with small_disk(small.stick, "size=24m"):
        fill(small, left, _BALLAST_MB)
        assert small.run(way="--stick") == (0 if is_sealed else 1)
        assert free_bytes(small.state.root) > _BALLAST_MB * 1_000_000
        assert len(list(small.stick.iterdir())) == is_sealed
        assert stages(small.state) == []
