"""Whatever goes wrong with a stick, its device is afterwards what it was before: not mounted, and writable."""

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
from tests.faults import sticks
from tests.faults.loopfs import run
from tests.faults.sticks import stick
from tests.small_disk import unmount
from tests.unit.ingest.test_stick_parts import machine as machine

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


@pytest.fixture
def content(tmp_path: Path) -> Path:
    made = tmp_path / "content"
    made.mkdir()
    return made


def mount_stick(config: Config, device: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Hold the stick as the unit does and stop at once: its kind when it was ready, and whether it was sealed."""
    seen: list[tuple[str, bool]] = []
    monkeypatch.setattr(notify, "ready", lambda kind: seen.append((kind, is_sealed(device))))
    stop = threading.Event()
    stop.set()
    mounter.mount(config, device.name, stop)
    return seen


def test_a_stick_is_writable_again_after_copying_and_after_any_failure(
    tmp_path: Path, content: Path, usb: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stick(sticks.fat(tmp_path / "fat.img", content), tmp_path / "unused") as made:
        place = usb.usb.mount_root / made.device.name / mounter.FILES
        assert mount_stick(usb, made.device, monkeypatch) == [("vfat", True)]
        assert not is_sealed(made.device)

        def fails(kind: str, device: str) -> NoReturn:
            assert is_sealed(made.device)
            raise MemoryError

        monkeypatch.setattr(stick_handover, "MountMessage", fails)
        with pytest.raises(MemoryError):
            mount_stick(usb, made.device, monkeypatch)
        assert not sticks.is_mounted(place)
        assert not is_sealed(made.device)


def test_a_disk_that_the_box_runs_from_is_left_as_it_is(
    tmp_path: Path, content: Path, usb: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "mnt"
    place.mkdir()
    with stick(sticks.linux(tmp_path / "ext4.img", content), tmp_path / "unused") as made:
        run("mount", "-o", "ro,noload", str(made.device), str(place))
        try:
            stick_mounting._set_read_only(made.device, True)
            assert mount_stick(usb, made.device, monkeypatch) == [("-", True)]
            assert is_sealed(made.device)
            assert sticks.is_mounted(place)
        finally:
            unmount(place)
