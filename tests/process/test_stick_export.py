"""A case that is sealed onto a stick by the real export child."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from firmware_app.core import key_files
from firmware_app.core.errors import SealingFailed
from firmware_app.core.key_files import KeyFiles
from firmware_app.results import deidentified_export as export
from firmware_app.results import sealed_case
from firmware_app.results.errors import ExportThere
from firmware_app.uplink.errors import CARRIED_KEY_RETIRED
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages.encrypted_files import EXPORT_HEAD_BYTES
from firmware_app.uplink.messages.envelope import sign
from firmware_app.uplink.messages.summary import Keys, Kind
from hospital import keyring
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import BOX, STUDY, Box, carried, opened, sealed
from tests.exporting_rig import box as box
from tests.exporting_rig import house as house


def test_a_case_leaves_as_one_file_that_only_the_hospital_opens(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sealed(box)
    assert file.name == f"{box.case}.lantern-sealed"
    for clear in (b"DICM", b"manifest", box.case.encode(), STUDY.encode(), b"Zhang", b"P-4711"):
        assert clear not in file.read_bytes()
    assert opened(house, file, tmp_path / "out") == 0
    folder = tmp_path / "out" / f"{BOX}-{box.case}"
    assert f"2 images, sealed by box {BOX}, are in {folder}." in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["00001.dcm", "00002.dcm", export.MANIFEST]
    manifest = json.loads((folder / export.MANIFEST).read_text("utf-8"))
    for one in manifest["files"]:
        data = (folder / one["file"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        assert not any(name in data for name in (b"Zhang", b"P-4711", STUDY.encode()))
        assert dcmread(folder / one["file"]).SOPInstanceUID == one["sop_instance_uid"]
    assert "Not encrypted" not in manifest["note"]
    assert list(box.state.root.glob(".exporting-*")) == []
    assert [(one.action, one.case, dict(one.details)) for one in box.audited()] == [
        ("export.begun", box.case, {"account": "li", "images": 2, "looked": 1, "sealed": 1}),
        ("export.done", box.case, {"account": "li", "begun": 1, "exported": 2, "refused": 0, "sealed": 1}),
    ]


def test_what_came_while_it_was_sealed_is_not_written_over(box: Box, house: HospitalSite) -> None:
    def come(done: int, total: int) -> None:
        (box.stick / f"{box.case}{sealed_case.SUFFIX}").write_text("mine")

    with pytest.raises(ExportThere):
        box.seal(on_progress=come)
    assert [path.read_text() for path in box.stick.iterdir()] == ["mine"]
    assert box.audited()[-1].action == "export.stopped"


def test_ctrl_c_leaves_nothing_behind_and_the_audit_knows_of_a_sealed_one_too(box: Box, house: HospitalSite) -> None:
    def interrupt(done: int, total: int) -> None:
        (begun,) = box.stick.iterdir()
        assert begun.read_bytes()[:EXPORT_HEAD_BYTES] in (b"", bytes(EXPORT_HEAD_BYTES))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        box.seal(on_progress=interrupt)
    assert list(box.stick.iterdir()) == list(box.state.root.glob(".exporting-*")) == []
    assert box.actions == ["export.begun", "export.stopped"]


def test_a_key_that_was_replaced_is_named_and_the_new_one_is_used_once_the_box_has_heard_of_it(
    box: Box, house: HospitalSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = carried(box, house)
    house.rotate()
    assert opened(house, file, tmp_path / "out") == 1
    assert CARRIED_KEY_RETIRED.code in capsys.readouterr().err
    file.unlink()

    keys = keyring.load_keys(house.keys)
    message = Keys(BOX, keys.serial, keys.seal_public)
    exchange = Exchange(box.state.exchange_db)
    exchange.create()
    exchange.keep_keys(house.bundle().verify, keys.serial, sign(message.encode(), Kind.KEYS, BOX, keys.signer))
    exchange.database.close()
    assert opened(house, sealed(box), tmp_path / "out") == 0


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
    assert opened(house, sealed(box), tmp_path / "out") == 0
    (box.stick / f"{box.case}{sealed_case.SUFFIX}").unlink()
    monkeypatch.setattr(key_files, "find_tpm", lambda: Chip(works=False))
    assert box.run(way="--stick") == 1
    assert "the chip is another one" in capsys.readouterr().err
