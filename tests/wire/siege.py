"""A whole box under fire: `lantern serve` with a watched folder, what it says of each bomb, and what that cost it."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import run_status
from firmware_app.core.state_dir import StateDir
from tests import reading_rig, toy_pack
from tests.box import run_box
from tests.peers import peer
from tests.wire.bombs import CR, Bomb
from tests.wire.raw import RawClient

SERVICES = ("gateway", "reader", "viewer")
OBJECT_MB = 16  # [dicom] max_object_mb: what has no end reaches it soon
_SAMPLE_S = 0.02
_FRAGMENT = 60_000
_NEIGHBOUR = "dicom:STORESCU"
_GIVE_UP_S = 120.0


@dataclass(frozen=True)
class Refused:
    """Where a bomb was refused, by which code, how many seconds after its first byte, and the children's peak."""

    where: str
    code: str
    seconds: float
    child_mb: float


@dataclass
class Siege:
    """A running box that nothing may restart."""

    state: StateDir
    clinical: ClinicalDatabase
    folder: Path
    port: int
    services: dict[str, int]
    _films: list[int] = field(default_factory=list)

    def send_bomb(self, bomb: Bomb) -> Refused:
        """Have *bomb* come to the box by its way; returns when it is refused."""
        content = bomb.make()
        before = self.read_last_arrival()
        with self.peak() as peak:
            begun = time.monotonic()
            if bomb.way == "store":
                self._store(bomb, content)
            else:
                self.drop(bomb, content)
            where, code = self._verdict(before)
            seconds = time.monotonic() - begun
        return Refused(where, code, seconds, peak.mb)

    def drop(self, bomb: Bomb, content: bytes) -> Path:
        """Put a file into the watched folder, whole at once."""
        path = self.folder / f"{secrets.token_hex(4)}{bomb.suffix}"
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(content)
        return hidden.rename(path)

    def store_beside(self) -> float:
        """What must succeed whatever else goes on: dcmtk's storescu stores one film; returns its seconds."""
        self._films.append(len(self._films))
        path = self.folder.parent / f"{secrets.token_hex(8)}.dcm"
        reading_rig.tiny_film(self._films[-1]).save_as(path, enforce_file_format=True)
        begun = time.monotonic()
        sent = subprocess.run(
            [peer("storescu"), "-v", "127.0.0.1", str(self.port), str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert sent.returncode == 0, sent.stderr
        return time.monotonic() - begun

    def children(self) -> list[psutil.Process]:
        """The reader's children, those that measure packs among them."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.services["reader"]).children(recursive=True)
        return []

    def same_services(self) -> bool:
        """Whether every service is still the process that it was."""
        return self.services == services(self.state)

    @contextmanager
    def peak(self) -> Iterator[Peak]:
        """Watches the most memory that any child has while the block lasts."""
        watched = Peak(self)
        watched.begin()
        try:
            yield watched
        finally:
            watched.end()

    def _store(self, bomb: Bomb, content: bytes) -> None:
        with RawClient(self.port, [(CR, [bomb.syntax])]) as client:
            named = content.index(b"\x08\x00\x18\x00UI") + 8
            instance = content[named : content.index(b"\x08\x00", named)].rstrip(b"\0").decode("ascii")
            client.store(CR, instance, content, size=_FRAGMENT)

    def read_last_arrival(self) -> int:
        """The number of the newest line of the door's journal."""
        row = self.clinical.database.connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM arrivals").fetchone()
        return int(row[0])

    def _verdict(self, before: int) -> tuple[str, str]:
        """(door or reader, code) of the first object after line *before* that is not the neighbour's."""
        deadline = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < deadline:
            row = self.clinical.database.connection.execute(
                "SELECT outcome, code, instance FROM arrivals WHERE sequence > ? AND path <> ?"
                " ORDER BY sequence LIMIT 1",
                (before, _NEIGHBOUR),
            ).fetchone()
            if row is not None and row["outcome"] == "refused":
                return "door", str(row["code"])
            if row is not None and (code := self.read(row["instance"])) is not None:
                return "reader", code
            time.sleep(0.005)
        raise AssertionError("no word of it")

    def find_refusal(self, path: Path) -> tuple[str, float] | None:
        """The code that the file at *path* was refused with, and the seconds that the reader had it; None so far."""
        row = self.clinical.database.connection.execute(
            "SELECT a.outcome, a.code, r.body FROM arrivals a LEFT JOIN readings r ON r.key = a.instance"
            " WHERE a.path = ?",
            (str(path),),
        ).fetchone()
        if row is None or (row["outcome"] != "refused" and row["body"] is None):
            return None
        if row["outcome"] == "refused":
            return str(row["code"]), 0.0
        reading = json.loads(row["body"])
        return str((reading["reason"] or {}).get("code", "")), reading["timing"]["total"] / 1e3

    def read(self, instance: str) -> str | None:
        """The code of the reading of *instance*, "" for one that holds numbers; None until there is one."""
        row = self.clinical.database.connection.execute(
            "SELECT body FROM readings WHERE key = ?", (instance,)
        ).fetchone()
        if row is None:
            return None
        reason = json.loads(row["body"])["reason"]
        return str(reason["code"]) if reason else ""


class Peak:
    """The most resident memory of any child of the reader, by the kernel's own high-water mark, in MB."""

    def __init__(self, siege: Siege) -> None:
        self._siege, self._over = siege, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.mb = 0.0

    def begin(self) -> None:
        for child in self._siege.children():
            with suppress(OSError):
                Path(f"/proc/{child.pid}/clear_refs").write_text("5")  # proc(5): forget the mark so far
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self._look()

    def _look(self) -> None:
        for child in self._siege.children():
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{child.pid}/status").read_text("ascii").splitlines()
                self.mb = max(self.mb, int(next(line for line in lines if "VmHWM" in line).split()[1]) / 1024)


def services(state: StateDir) -> dict[str, int]:
    """The processes that run as a service, by name."""
    return {name: int((run_status.read_announcement(state, name) or {}).get("pid") or 0) for name in SERVICES}


@contextmanager
def siege(folder: Path) -> Iterator[Siege]:
    """A box with toy packs in *folder*, ready to be shot at."""
    drop = folder / "stick"
    drop.mkdir(parents=True)
    state = StateDir(folder / "state")
    packs = toy_pack.write_both(folder / "packs")
    settings = {
        "LANTERN_FOLDER__PATH": str(drop),
        "LANTERN_PACKS__DIR": str(packs),
        "LANTERN_BOX__USUAL_POPULATION": "adult",
        "LANTERN_DICOM__MAX_OBJECT_MB": str(OBJECT_MB),
        "LANTERN_READER__PRECISION": "fp32",
    }
    with run_box(folder / "state", **settings) as box:
        box.wait_ready()
        clinical = ClinicalDatabase(state.clinical_db)
        try:
            yield Siege(state, clinical, drop, int(box.ready["gateway"]["port"]), services(state))
        finally:
            clinical.database.close()
