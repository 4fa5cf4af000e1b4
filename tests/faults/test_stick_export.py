"""A sealed case on a real stick: one that is full, and one that is pulled out while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.ingest.stick_mounting import FileSystem
from firmware_app.results import sealed_case
from firmware_app.results.errors import ExportFolderUnusable
from firmware_app.uplink.messages.encrypted_files import EXPORT_HEAD_BYTES
from hospital import cli as hospital_cli
from hospital.hospital_site import HospitalSite
from tests.exporting_rig import Box
from tests.exporting_rig import box as box
from tests.exporting_rig import house as house
from tests.faults import sticks
from tests.faults.loopfs import run
from tests.peers import peer


class Mounted:
    """An exFAT stick that a person mounted to write on it."""

    def __init__(self, folder: Path) -> None:
        sticks.need_sticks(FileSystem.EXFAT)
        image = folder / "exfat.img"
        with image.open("wb") as handle:
            handle.truncate(8 << 20)
        run(peer("mkfs.exfat"), str(image))
        self.device = subprocess.run(
            ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True
        ).stdout.strip()
        self.place = folder / "mnt"
        self.place.mkdir()
        self.mount()

    def mount(self) -> None:
        run(peer("mount.exfat-fuse"), self.device, str(self.place))

    def drivers(self) -> list[int]:
        """The processes that answer for it."""
        return [int(name) for name in sticks.users_of(self.device)]

    def pull(self) -> None:
        (driver,) = self.drivers()
        os.kill(driver, signal.SIGKILL)
        sticks.await_true(lambda: not self.drivers())

    def unmount(self) -> None:
        run("umount", "--lazy", str(self.place))
        sticks.await_true(lambda: not self.drivers())

    def close(self) -> None:
        if os.path.ismount(self.place) or self.drivers():
            self.unmount()
        run("losetup", "--detach", self.device)


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Mounted]:
    made = Mounted(tmp_path)
    yield made
    made.close()


def fill(path: Path) -> None:
    """Leave less room than a case needs; raises OSError."""
    with path.open("wb", buffering=0) as handle:
        while True:
            handle.write(bytes(4096))


def test_a_full_stick_is_said_to_be_full_and_keeps_nothing_of_the_case(
    box: Box, house: HospitalSite, stick: Mounted
) -> None:
    before = stick.place / "mine"
    with pytest.raises(OSError, match="No space left"):
        fill(before)
    size = before.stat().st_size
    with pytest.raises(ExportFolderUnusable) as full:
        box.seal(stick.place)
    assert full.value.detail == "No space left on device"
    assert [(path.name, path.stat().st_size) for path in stick.place.iterdir()] == [("mine", size)]
    assert box.actions == ["export.begun", "export.stopped"]
    assert list(box.state.root.glob(".exporting-*")) == []


def test_a_stick_that_is_pulled_out_holds_no_file_that_looks_like_a_case(
    box: Box, house: HospitalSite, stick: Mounted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def pull(done: int, total: int) -> None:
        if done == 1:
            os.sync()
            stick.pull()

    with pytest.raises(ExportFolderUnusable):
        box.seal(stick.place, on_progress=pull)
    assert box.actions == ["export.begun", "export.stopped"]
    stick.unmount()
    stick.mount()
    left = [path for path in stick.place.rglob("*") if path.is_file()]
    assert left  # or nothing is shown here
    assert not (stick.place / f"{box.case}{sealed_case.SUFFIX}").exists()
    (tmp_path / "out").mkdir()
    for path in left:
        assert not path.read_bytes()[:EXPORT_HEAD_BYTES].strip(b"\0")
        words = ["open", str(path), "--out", str(tmp_path / "out"), "--dir", str(house.root)]
        assert hospital_cli.main(words) == 1
        assert "hospital.carried_unknown" in capsys.readouterr().err
    # Put in again, it takes the case.
    written = box.seal(stick.place)
    assert written is not None
