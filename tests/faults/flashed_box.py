"""A flashed box: the disk of `make image` in qemu without hardware help (TCG), which takes minutes to start.

    with FlashedBox(disk, work / "first.log") as box:
        box.wait("slot A is good")          # what the box prints on its serial line
        box.plug(stick)
        box.cut()                           # the power goes: qemu is killed

Nobody can log in, and the disk is encrypted: what the box knows is read from its pages, as a technician does.  A killed
qemu has handed every write to this machine's memory; a disk that loses what it had acknowledged is not played.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

from demo.stage import find_free_port
from systemd.build import disk_image, signing
from tests.peers import peer

PATIENCE_S: Final = 3600.0
PASSWORD: Final = "a lamp in the village"
_OVMF: Final = "/usr/share/ovmf/OVMF.fd"
_ADDRESS: Final = "10.0.2.15"  # qemu's network gives it to the box


class FlashedBox:
    """One life of the box on *disk*, on the firmware of a new PC (*efi*) or an old one, with the security *chip* whose
    state lies in that folder."""

    def __init__(self, disk: Path, log: Path, *, efi: bool = False, chip: Path | None = None) -> None:
        self.dicom, self.https, self._log = find_free_port(), find_free_port(), log
        self._folder = Path(tempfile.mkdtemp(prefix="box-"))  # a socket's path is short
        self._chip, self._sticks, self._asked = chip, 0, 0
        log.unlink(missing_ok=True)
        forwarded = f"hostfwd=tcp:127.0.0.1:{self.dicom}-:11112,hostfwd=tcp:127.0.0.1:{self.https}-:443"
        self._command = [
            peer("qemu-system-x86_64"),
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "3072",
            "-display",
            "none",
            "-monitor",
            "none",
            "-chardev",
            f"socket,id=line,path={self._folder}/line,server=on,wait=off,logfile={log}",
            "-serial",
            "chardev:line",
            "-qmp",
            f"unix:{self._folder}/qmp,server=on,wait=off",
            "-drive",
            f"file={disk},format=raw,if=virtio",
            "-device",
            "virtio-rng-pci",
            "-device",
            "qemu-xhci,id=usb",
            "-netdev",
            f"user,id=clinic,restrict=on,{forwarded}",
            "-device",
            "virtio-net-pci,netdev=clinic",
            *(["-bios", _OVMF] if efi else []),
            *(
                [
                    "-chardev",
                    f"socket,id=chip,path={self._folder}/chip",
                    "-tpmdev",
                    "emulator,id=tpm0,chardev=chip",
                    "-device",
                    "tpm-tis,tpmdev=tpm0",
                ]
                if chip
                else []
            ),
        ]
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        self._emulator: subprocess.Popen[bytes] | None = None
        if self._chip is not None:
            self._chip.mkdir(exist_ok=True)
            self._emulator = subprocess.Popen(
                [
                    peer("swtpm"),
                    "socket",
                    "--tpm2",
                    "--tpmstate",
                    f"dir={self._chip}",
                    "--ctrl",
                    f"type=unixio,path={self._folder}/chip",
                ],
                stdin=subprocess.DEVNULL,
            )
            _await(lambda: (self._folder / "chip").exists(), 10)
        self.began = time.monotonic()
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        _await(lambda: (self._folder / "qmp").exists(), 30)
        self._qmp = socket.socket(socket.AF_UNIX)
        self._qmp.connect(str(self._folder / "qmp"))
        self._told = self._qmp.makefile("rw", encoding="utf-8")
        self._told.readline()
        self._order("qmp_capabilities")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """The power goes."""
        self._told.close()
        self._qmp.close()
        self._process.kill()
        self._process.wait()
        if self._emulator is not None:
            self._emulator.kill()
            self._emulator.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def screen_text(self) -> str:
        """What stood on its screen so far, without colours."""
        text = self._log.read_bytes().decode("utf-8", "replace") if self._log.exists() else ""
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)

    def wait(self, *words: str, times: int = 1, seconds: float = PATIENCE_S) -> float:
        """Wait until the box has said one of these so many *times*; the seconds since it was switched on."""
        end = time.monotonic() + seconds
        while not any(self.screen_text.count(word) >= times for word in words):
            assert self._process.poll() is None, f"qemu ended: {self.screen_text[-2000:]}"
            assert time.monotonic() < end, f"the box never said {words}: {self.screen_text[-3000:]}"
            time.sleep(1.0)
        return time.monotonic() - self.began

    def type(self, line: str) -> None:
        """A person types *line* at the screen."""
        with socket.socket(socket.AF_UNIX) as keyboard:
            keyboard.connect(str(self._folder / "line"))
            keyboard.sendall(line.encode() + b"\n")
            time.sleep(2.0)

    def press(self, key: str) -> None:
        """A key of the keyboard, by qemu's name for it."""
        self._order("send-key", {"keys": [{"type": "qcode", "data": key}]})

    def photograph(self, picture: Path) -> None:
        """What stands on the screen, as a PNG."""
        self._order("screendump", {"filename": str(picture), "format": "png"})

    def plug(self, image: Path) -> str:
        """Put a stick into its USB port while it runs; the name by which to `pull` it."""
        self._sticks += 1
        name = f"stick{self._sticks}"
        self._order(
            "blockdev-add", {"driver": "raw", "node-name": name, "file": {"driver": "file", "filename": str(image)}}
        )
        self._order(
            "device_add",
            {"driver": "usb-storage", "id": f"{name}-port", "drive": name, "bus": "usb.0", "removable": True},
        )
        return name

    def pull(self, name: str) -> None:
        """Take that stick out, whatever it was used for."""
        self._order("device_del", {"id": f"{name}-port"})

    def answers_echo(self, seconds: float = PATIENCE_S) -> float:
        """Wait until C-ECHO is answered; the seconds since the box was switched on."""
        end = time.monotonic() + seconds
        echo = [peer("echoscu"), "-to", "10", "-ta", "20", "-aec", "LANTERN", "127.0.0.1", str(self.dicom)]
        while subprocess.run(echo, capture_output=True, check=False).returncode:
            assert self._process.poll() is None, f"qemu ended: {self.screen_text[-2000:]}"
            assert time.monotonic() < end, f"no C-ECHO was answered: {self.screen_text[-3000:]}"
            time.sleep(2.0)
        return time.monotonic() - self.began

    def _order(self, what: str, arguments: Mapping[str, Any] | None = None) -> None:
        self._asked += 1
        self._told.write(json.dumps({"execute": what, "arguments": dict(arguments or {}), "id": self._asked}) + "\n")
        self._told.flush()
        for line in self._told:
            answer = json.loads(line)
            if answer.get("id") == self._asked:
                assert "error" not in answer, answer
                return


class Page:
    """The technician's browser, at the box's address; it says yes to the certificate."""

    def __init__(self, box: FlashedBox) -> None:
        self._box, self._cookies = box, dict[str, str]()
        self._any = ssl.create_default_context()
        self._any.check_hostname, self._any.verify_mode = False, ssl.CERT_NONE

    def ask(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Status and body; (0, "") where nobody answers."""
        host = f"{_ADDRESS}:{self._box.https}"
        sent = {
            "Host": host,
            "Accept": "text/html",
            "Referer": f"https://{host}/",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
        }
        if fields is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPSConnection("127.0.0.1", self._box.https, context=self._any, timeout=120)
        try:
            connection.request(method, path, None if fields is None else urlencode(fields), sent)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name] = value
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def send(self, page: str, path: str, **fields: str) -> tuple[int, str]:
        """The form on *page*, filled in."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.ask("GET", page)[1])
        assert token, f"{page} has no form"
        return self.ask("POST", path, {"csrf_token": token[1], **fields})

    def upload(self, file: Path) -> None:
        """Send the signed *file* from the page of the software, in its pieces and over one connection."""
        body = self.ask("GET", "/software")[1]
        token = re.search(r'name="csrf_token" value="([^"]+)"', body)
        size = re.search(r'data-piece="(\d+)"', body)
        assert token, body
        assert size, body
        host = f"{_ADDRESS}:{self._box.https}"
        sent = {
            "Host": host,
            "Accept": "application/json",
            "Referer": f"https://{host}/software",
            "X-CSRFToken": token[1],
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
        }
        line = http.client.HTTPSConnection("127.0.0.1", self._box.https, context=self._any, timeout=120)

        def post(path: str, content: bytes | Mapping[str, str]) -> Any:
            kind = "application/x-www-form-urlencoded" if isinstance(content, Mapping) else "application/octet-stream"
            data = urlencode(content).encode() if isinstance(content, Mapping) else content
            line.request("POST", f"/software/upload{path}", data, {**sent, "Content-Type": kind})
            answer = line.getresponse()
            told = answer.read().decode()
            assert answer.status == 200, told
            return json.loads(told)

        whole = file.stat().st_size
        place = post("", {"name": file.name, "size": str(whole)})["token"]
        at = 0
        with file.open("rb") as content:
            while piece := content.read(int(size[1])):
                at = post(f"/{place}/{at}", piece)["at"]
        post(f"/{place}/done", {"size": str(whole)})
        line.close()

    def set_up(self) -> None:
        """What the technician does on a new box: the code on the screen, the questions, the first account."""
        self._box.wait("give this code: ")
        code = re.findall(r"give this code: (\S+)", self._box.screen_text)[-1]
        self.until("/setup", "csrf_token", 900)
        assert self.send("/setup", "/setup", code=code)[0] == 302
        told = {
            "language": "en",
            "clinic": "Clinic 7",
            "box": "clinic-7",
            "zone": "Asia/Shanghai",
            "line": "",
            "ae_title": "LANTERN",
            "calling": "",
            "label": "",
            "hospital": "",
        }
        assert self.send("/setup/questions", "/setup/questions", **told)[0] == 302
        _await(lambda: self.ask("GET", "/claim")[0] == 200, 900)  # it restarts, and the code stays good
        first = {"code": code, "name": "wang", "password": PASSWORD, "again": PASSWORD}
        assert self.send("/claim", "/claim", **first)[0] == 302

    def log_in(self) -> None:
        _await(lambda: self.ask("GET", "/login")[0] in (200, 302), 900)
        if self.ask("GET", "/")[0] == 200:
            return
        assert self.send("/login", "/login", name="wang", password=PASSWORD)[0] == 302

    def until(self, path: str, pattern: str, seconds: float = PATIENCE_S) -> str:
        """The first match of *pattern* on the page at *path*, as soon as there is one."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, body := self.ask("GET", path)[1], re.DOTALL)):
            assert time.monotonic() < end, f"{pattern} never stood on {path}: {body[-3000:]}"
            time.sleep(3.0)
        return match[0]


def _await(fact: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.2)


@contextmanager
def config(disk: Path, work: Path) -> Iterator[Path]:
    """A copy of the partition "config" of a box that is off, for debugfs."""
    copy = partition(disk, "config", work)
    try:
        yield copy
    finally:
        copy.unlink()


def list_folder(file_system: Path, folder: str) -> set[str]:
    """The names in a *folder* of an ext4 *file_system*."""
    said = subprocess.run(
        [peer("debugfs"), "-R", f"ls -p {folder}", file_system], capture_output=True, check=True, text=True
    ).stdout
    return {line.split("/")[5] for line in said.splitlines() if line.count("/") > 5}


def version_after(original: Path, work: Path, name: str, changed: Mapping[str, str]) -> disk_image.Slot:
    """A slot of the version *name*, made from the system that `make image` left, with some files *changed* in it."""
    tree, place = work / f"tree-{name}", work / f"slot-{name}"
    for folder in (tree, place):
        shutil.rmtree(folder, ignore_errors=True)
    place.mkdir()
    subprocess.run(["cp", "-al", original, tree], check=True)
    for path, content in {"etc/lantern-image": f"{name}\n", **changed}.items():
        fresh = tree / path
        fresh.unlink()
        fresh.write_text(content, "utf-8")
    slot = disk_image.make_slot(tree, name, place)
    shutil.rmtree(tree)
    return slot


def update_file(slot: disk_image.Slot, keys: Path, work: Path) -> Path:
    """The signed file of *slot*."""
    bundle = work / f"lantern-{slot.version}.raucb"
    disk_image.make_bundle(slot, signing.load_keys(keys), slot.root.parent, bundle)
    return bundle


def partition(disk: Path, name: str, work: Path) -> Path:
    """A copy of the disk's partition *name*, its journal replayed as the next start would."""
    listed = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    [part] = [one for one in listed["partitiontable"]["partitions"] if one.get("name") == name]
    copy = work / f"{name}.img"
    copy.unlink(missing_ok=True)
    subprocess.run(
        [
            "dd",
            f"if={disk}",
            f"of={copy}",
            "bs=512",
            f"skip={part['start']}",
            f"count={part['size']}",
            "conv=sparse",
            "status=none",
            "iflag=fullblock",
        ],
        check=True,
    )
    subprocess.run([peer("e2fsck"), "-fy", copy], capture_output=True, check=False)
    return copy


def stick(image: Path, files: Sequence[Path]) -> Path:
    """A FAT stick with *files*."""
    megabytes = sum(path.stat().st_size for path in files) // 1_000_000 + 64
    image.unlink(missing_ok=True)
    subprocess.run([peer("mkfs.vfat"), "-F", "32", "-C", image, str(megabytes * 1024)], check=True, capture_output=True)
    for path in files:
        subprocess.run([peer("mcopy"), "-i", image, path, f"::{path.name}"], check=True)
    return image


def new_disk(original: Path, place: Path, gigabytes: int = 10) -> Path:
    """*original* written to a larger disk, as a technician does."""
    subprocess.run(["cp", "--sparse=always", original, place], check=True)
    with place.open("r+b") as made:
        made.truncate(gigabytes << 30)
    return place


def has_room(folder: Path, gigabytes: int) -> bool:
    return shutil.disk_usage(folder).free > gigabytes << 30
