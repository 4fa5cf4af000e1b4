"""A flashed box: the disk of `make image` in qemu without hardware help (TCG), which takes minutes to start.

    with FlashedBox(disk) as box:
        box.wait("slot A is good")          # what the box prints on its serial line
        box.cut()                           # the power goes: qemu is killed

What it wrote is then read from the disk's own file system with debugfs, for nobody can log in.  A killed qemu has
handed every write to this machine's memory; a disk that loses what it had acknowledged is not played.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from firmware_app.demo.stage import free_port
from tests.peers import peer

PATIENCE_S: Final = 2400.0
_OVMF: Final = "/usr/share/ovmf/OVMF.fd"
_STATE: Final = "/lib/lantern"


class FlashedBox:
    """One life of the box on *disk*, with *stick* in its USB port, on the firmware of a new PC or an old one."""

    def __init__(self, disk: Path, log: Path, *, stick: Path | None = None, efi: bool = False) -> None:
        self.dicom, self.page, self._log = free_port(), free_port(), log
        log.unlink(missing_ok=True)
        forwarded = f"hostfwd=tcp:127.0.0.1:{self.dicom}-:11112,hostfwd=tcp:127.0.0.1:{self.page}-:443"
        self._command = [
            peer("qemu-system-x86_64"), "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
            "-m", "3072", "-display", "none", "-monitor", "none", "-serial", f"file:{log}",
            "-drive", f"file={disk},format=raw,if=virtio", "-device", "virtio-rng-pci",
            "-netdev", f"user,id=clinic,restrict=on,{forwarded}", "-device", "virtio-net-pci,netdev=clinic",
            *(["-bios", _OVMF] if efi else []),
        ]  # fmt: skip
        if stick is not None:
            self._command += ["-device", "qemu-xhci", "-drive", f"file={stick},format=raw,if=none,id=stick",
                              "-device", "usb-storage,drive=stick,removable=on"]  # fmt: skip
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """The power goes."""
        self._process.kill()
        self._process.wait()

    @property
    def said(self) -> str:
        return self._log.read_bytes().decode("utf-8", "replace") if self._log.exists() else ""

    def wait(self, *words: str, times: int = 1, seconds: float = PATIENCE_S) -> float:
        """Wait until the box has said one of these so many *times*; the seconds since it was switched on."""
        end = time.monotonic() + seconds
        while not any(self.said.count(one) >= times for one in words):
            assert self._process.poll() is None, f"qemu ended: {self.said[-2000:]}"
            assert time.monotonic() < end, f"the box never said {words}: {self.said[-3000:]}"
            time.sleep(1.0)
        return time.monotonic() - self.began

    def answers_echo(self, seconds: float = PATIENCE_S) -> float:
        """Wait until C-ECHO is answered; the seconds since the box was switched on."""
        end = time.monotonic() + seconds
        echo = [peer("echoscu"), "-to", "10", "-ta", "20", "-aec", "LANTERN", "127.0.0.1", str(self.dicom)]
        while subprocess.run(echo, capture_output=True, check=False).returncode:
            assert self._process.poll() is None, f"qemu ended: {self.said[-2000:]}"
            assert time.monotonic() < end, f"no C-ECHO was answered: {self.said[-3000:]}"
            time.sleep(2.0)
        return time.monotonic() - self.began


def kept(disk: Path, work: Path) -> list[dict[str, object]]:
    """The readings on the *disk* of a box that is off, as rows of clinical.db."""
    var = partition(disk, "var", work)
    for name in ("clinical.db", "clinical.db-wal"):
        read_out(var, f"{_STATE}/clinical/{name}", work / name)
    database = sqlite3.connect(work / "clinical.db")
    database.row_factory = sqlite3.Row
    rows = [dict(row) for row in database.execute("SELECT * FROM readings")]
    database.close()
    return rows


def notes(disk: Path, work: Path) -> dict[str, object]:
    """What the box on *disk* has written down of its slots."""
    place = work / "slot.json"
    read_out(partition(disk, "var", work), f"{_STATE}/run/slot.json", place)
    found: dict[str, object] = json.loads(place.read_text("utf-8"))
    return found


def partition(disk: Path, name: str, work: Path) -> Path:
    """A copy of the disk's partition *name*, its journal replayed as the next start would."""
    listed = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    [part] = [one for one in listed["partitiontable"]["partitions"] if one.get("name") == name]
    copy = work / f"{name}.img"
    copy.unlink(missing_ok=True)
    subprocess.run(
        ["dd", f"if={disk}", f"of={copy}", "bs=512", f"skip={part['start']}", f"count={part['size']}", "conv=sparse",
         "status=none", "iflag=fullblock"], check=True,
    )  # fmt: skip
    subprocess.run([peer("e2fsck"), "-fy", copy], capture_output=True, check=False)
    return copy


def read_out(file_system: Path, path: str, place: Path) -> None:
    place.unlink(missing_ok=True)
    subprocess.run([peer("debugfs"), "-R", f"dump {path} {place}", file_system], capture_output=True, check=True)


def stick(image: Path, files: Sequence[Path]) -> Path:
    """A FAT stick with *files*."""
    megabytes = sum(path.stat().st_size for path in files) // 1_000_000 + 64
    image.unlink(missing_ok=True)
    subprocess.run([peer("mkfs.vfat"), "-F", "32", "-C", image, str(megabytes * 1024)], check=True, capture_output=True)
    for path in files:
        subprocess.run([peer("mcopy"), "-i", image, path, f"::{path.name}"], check=True)
    return image


def new_disk(original: Path, place: Path, gigabytes: int = 6) -> Path:
    """*original* written to a larger disk, as a technician does."""
    subprocess.run(["cp", "--sparse=always", original, place], check=True)
    with place.open("r+b") as made:
        made.truncate(gigabytes << 30)
    return place


def has_room(folder: Path, gigabytes: int) -> bool:
    return shutil.disk_usage(folder).free > gigabytes << 30
