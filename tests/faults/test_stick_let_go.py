"""Whatever goes wrong with a stick, its device is afterwards what it was before: not mounted, and not sealed."""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from firmware_app.appliance.processes import mounter
from firmware_app.core import notify
from firmware_app.core.settings import Config, UsbSection
from firmware_app.ingest import stick_handover, stick_mounting
from firmware_app.ingest.stick_mounting import FileSystem
from tests.faults import sticks
from tests.faults.loopfs import run
from tests.faults.sticks import stick
from tests.small_disk import unmount

_BLKROGET = 0x125E  # linux/fs.h


def is_sealed(device: Path) -> bool:
    """As the kernel says."""
    descriptor = os.open(device, os.O_RDONLY)
    try:
        (answer,) = struct.unpack("i", fcntl.ioctl(descriptor, _BLKROGET, struct.pack("i", 0)))
    finally:
        os.close(descriptor)
    return bool(answer)


@pytest.fixture
def usb() -> Iterator[Config]:
    """With a path so short that a socket may have it."""
    with tempfile.TemporaryDirectory() as root:
        yield Config(usb=UsbSection(enabled=True, mount_root=Path(root)))


def held(config: Config, device: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Hold the stick as the unit does, until it is asked to stop at once; what it was when it was ready, and whether
    it was sealed."""
    seen: list[tuple[str, bool]] = []
    monkeypatch.setattr(notify, "ready", lambda kind: seen.append((kind, is_sealed(device))))
    stop = threading.Event()
    stop.set()
    mounter.mount(config, device.name, stop)
    return seen


def test_a_stick_that_no_driver_mounts_is_not_left_sealed(
    tmp_path: Path, usb: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tmp_path / "content"
    content.mkdir()
    image = sticks.written(tmp_path / "exfat.img", content, FileSystem.EXFAT)
    size = image.stat().st_size
    os.truncate(image, 1 << 16)
    os.truncate(image, size)  # its first sectors are whole, and the folder that they point to is empty
    with stick(image, tmp_path / "unused") as made:
        assert held(usb, made.device, monkeypatch) == [("-", True)], "it is refused, and nobody writes meanwhile"
        place = usb.usb.mount_root / made.device.name / mounter.FILES
        assert not sticks.is_mounted(place)
        assert not is_sealed(made.device)
        with made.device.open("r+b", buffering=0) as raw:  # a person may make it anew
            raw.write(bytes(512))


def test_a_failure_behind_the_mount_is_not_left_mounted_nor_sealed(
    tmp_path: Path, usb: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tmp_path / "content"
    content.mkdir()

    def fails(kind: str, device: str) -> NoReturn:
        assert is_sealed(made.device)
        raise MemoryError

    monkeypatch.setattr(stick_handover, "Word", fails)
    with stick(sticks.fat(tmp_path / "fat.img", content), tmp_path / "unused") as made:
        with pytest.raises(MemoryError):
            held(usb, made.device, monkeypatch)
        place = usb.usb.mount_root / made.device.name / mounter.FILES
        assert not sticks.is_mounted(place)
        assert not is_sealed(made.device)


def test_a_stick_that_was_copied_is_not_left_sealed_either(
    tmp_path: Path, usb: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tmp_path / "content"
    content.mkdir()
    with stick(sticks.fat(tmp_path / "fat.img", content), tmp_path / "unused") as made:
        assert held(usb, made.device, monkeypatch) == [("vfat", True)]
        assert not is_sealed(made.device)


def test_a_disk_that_the_box_runs_from_is_left_as_it_is(
    tmp_path: Path, usb: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, place = tmp_path / "content", tmp_path / "mnt"
    content.mkdir()
    place.mkdir()
    with stick(sticks.linux(tmp_path / "ext4.img", content), tmp_path / "unused") as made:
        run("mount", "-o", "ro,noload", str(made.device), str(place))
        try:
            stick_mounting._set_read_only(made.device, True)
            assert held(usb, made.device, monkeypatch) == [("-", True)]
            assert is_sealed(made.device)
            assert sticks.is_mounted(place)
        finally:
            unmount(place)
