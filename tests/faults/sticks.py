"""Sticks as people bring them: real file systems in image files, on loop devices, mounted by the box's own mounter.

The kernel's drivers are used where it has them; else the FUSE daemons, and then a pulled stick is `Stick.pull`: the
daemon is killed with SIGKILL, and every call answers ENOTCONN from that instant.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_app.appliance.processes import importer
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.usb_import import StickStatus
from firmware_app.core.settings import Config, StateSection, UsbSection
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest import stick_mounting
from firmware_app.ingest.stick_handover import MountMessage, ReceivedStick
from firmware_app.ingest.stick_mounting import FileSystem
from tests.faults.loopfs import run
from tests.peers import need_root, peer
from tests.peers import skip_or_fail as not_here
from tests.small_disk import unmount

_FUSE = {
    FileSystem.FAT: ("mkfs.vfat", "fusefat"),
    FileSystem.EXFAT: ("mkfs.exfat", "mount.exfat-fuse"),
    FileSystem.NTFS: ("mkfs.ntfs", "ntfs-3g"),
    FileSystem.ISO9660: ("genisoimage", "fuseiso"),
}


def need_sticks(kind: FileSystem) -> None:
    """Skip, with what would help, where sticks of this *kind* cannot be made or mounted."""
    need_root()
    maker, driver = _FUSE[kind]
    peer(maker)
    peer("losetup")
    known = Path("/proc/filesystems").read_text("ascii").split()
    if {FileSystem.NTFS: "ntfs3"}.get(kind, kind.value) not in known:
        peer(driver)
        if not Path("/dev/fuse").exists():
            not_here("needs /dev/fuse")


class Stick:
    """An image file on a loop device; `plug` mounts it where the mounter would, `pull` takes it away in the middle."""

    def __init__(self, image: Path, root: Path) -> None:
        self.image = image
        self.folder = root / "stick1"
        self.files = self.folder / "files"
        self.kind: FileSystem | None = None
        self.device = Path(
            subprocess.run(
                ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True
            ).stdout.strip()
        )

    def plug(self, kind: FileSystem | None = None) -> FileSystem:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kind = stick_mounting.mount_stick(self.device, self.files, kind)
        return self.kind

    @contextmanager
    def open_received(self) -> Iterator[ReceivedStick]:
        """The mounted stick as the importer gets it."""
        root = os.open(self.files, os.O_RDONLY | os.O_DIRECTORY)
        try:
            kind = self.kind.value if self.kind else ""
            yield ReceivedStick(MountMessage(kind, stick_mounting.read_device_number(self.device)), root)
        finally:
            os.close(root)

    def driver(self) -> int | None:
        """The process that answers for this stick; None where the kernel does."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(self.device) in words and os.fsencode(self.files) in words:
                return int(folder.name)
        return None

    def pull(self) -> None:
        """Out with it, now."""
        driver = self.driver()
        assert driver is not None, "the kernel drives it"
        os.kill(driver, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.driver() is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def unplug(self) -> None:
        """In order: unmounted, as the mounter does when the device has gone."""
        stick_mounting.unmount_stick(self.files)

    def close(self) -> None:
        self.unplug()
        stick_mounting.make_writable(self.device)
        run("losetup", "--detach", str(self.device))


@contextmanager
def stick(image: Path, root: Path) -> Iterator[Stick]:
    made = Stick(image, root)
    try:
        yield made
    finally:
        made.close()


def fat(image: Path, content: Path, megabytes: int = 64) -> Path:
    """A FAT stick with everything in *content*, written by mtools."""
    need_sticks(FileSystem.FAT)
    _blank(image, megabytes)
    run(peer("mkfs.vfat"), "-n", "STICK", str(image))
    names = sorted(str(path) for path in content.iterdir())
    if names:
        run(peer("mcopy"), "-s", "-Q", "-i", str(image), *names, "::/")
    return image


def make_stick(image: Path, kind: FileSystem, *options: str, megabytes: int = 64) -> Path:
    """An empty stick of *kind*."""
    need_sticks(kind)
    _blank(image, megabytes)
    quick = ["-F", "-Q", "-q"] if kind is FileSystem.NTFS else []
    run(peer(_FUSE[kind][0]), *quick, *options, str(image))
    return image


@contextmanager
def mount_image(image: Path, kind: FileSystem) -> Iterator[Path]:
    """What is on *image*, through its own FUSE driver, and to be written to."""
    place = image.with_suffix(".mnt")
    place.mkdir()
    device = subprocess.run(
        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        run(peer(_FUSE[kind][1]), device, str(place))
        try:
            yield place
        finally:
            unmount(place)
            _wait_unused(device)
    finally:
        run("losetup", "--detach", device)
        place.rmdir()


def write_stick(image: Path, content: Path, kind: FileSystem, megabytes: int = 64) -> Path:
    """A stick of *kind* with everything in *content*, written through its own FUSE driver."""
    with mount_image(make_stick(image, kind, megabytes=megabytes), kind) as place:
        run("cp", "-rT", "--preserve=timestamps", str(content), str(place))
    return image


def disc(image: Path, content: Path, *options: str) -> Path:
    """An ISO 9660 disc with everything in *content*."""
    need_sticks(FileSystem.ISO9660)
    run(peer("genisoimage"), "-quiet", *options, "-o", str(image), str(content))
    return image


def linux(image: Path, content: Path, megabytes: int = 64) -> Path:
    """An ext4 stick, which no box opens; it holds what FAT cannot."""
    need_root()
    _blank(image, megabytes)
    run(peer("mkfs.ext4"), "-q", "-F", "-d", str(content), str(image))
    return image


def with_dicomdir(folder: Path, images: list[Path]) -> None:
    """Copy *images* into *folder* under the names that PS3.10 8.2 allows, and have dcmtk list them in a DICOMDIR."""
    (folder / "DICOM").mkdir(parents=True)
    for number, image in enumerate(images):
        shutil.copyfile(image, folder / "DICOM" / f"IM{number:06d}")
    listed = ["+r", "+id", str(folder), "+D", str(folder / "DICOMDIR"), "-Nxc", "DICOM"]
    done = subprocess.run([peer("dcmmkdir"), *listed], capture_output=True, text=True, check=False)
    assert (folder / "DICOMDIR").exists(), done.stderr


def import_stick(config: Config, made: Stick) -> StickStatus:
    """Copy the plugged stick to the end."""
    with made.open_received() as handed:
        ended = importer.run(config, handed, threading.Event())
    assert ended is not None
    return ended


def box(state: Path) -> tuple[Config, StateDir, ClinicalDatabase]:
    """A box with an empty clinical database, for which USB is switched on."""
    made = StateDir(state)
    made.prepare()
    clinical = ClinicalDatabase(made.clinical_db)
    clinical.create()
    retention = Config().retention.model_copy(update={"high_water_free_mb": 16})
    config = Config(state=StateSection(dir=state), usb=UsbSection(enabled=True), retention=retention)
    return config, made, clinical


def await_true(asked: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not asked():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_mounted(place: Path) -> bool:
    return stick_mounting.find_mount(place) is not None


def _blank(image: Path, megabytes: int) -> None:
    with image.open("wb") as handle:
        handle.truncate(megabytes << 20)


def _wait_unused(device: str) -> None:
    """Return when no process has *device* open any more: the daemon writes at its end."""
    await_true(lambda: not users_of(device))


def users_of(device: str) -> list[str]:
    """The processes, by number, that were started for *device*."""
    users = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(device) in (folder / "cmdline").read_bytes().split(b"\0"):
                users.append(folder.name)
        except OSError:
            continue
    return users
