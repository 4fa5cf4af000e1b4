"""A publisher, its repository and a box, for tests of how packs travel."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from converters.publishing import repository, tuf_keys
from firmware_app.packs import installer
from firmware_app.packs.errors import PackError
from firmware_app.packs.installer import InstallRequest, PackChange
from firmware_app.packs.pack_store import PackStore
from tests import toy_pack

NAME = "toy-adult"


def pack(folder: Path, version: str, *, ballast: int = 0) -> Path:
    """A finished pack of that version below *folder*, with *ballast* bytes beside its model."""
    made = toy_pack.write(folder / version, NAME, "adult", 18, None)
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps({**manifest, "version": version}))
    (made / "golden").mkdir()
    (made / "golden" / "note.txt").write_bytes(os.urandom(ballast) or b"a file in a folder")
    write_checksums(made)
    return made


def write_checksums(folder: Path) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


class PackPublisher:
    """A publisher, its repository, and a box."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys, self.repository = folder, folder / "keys", folder / "repository"
        self.root = tuf_keys.make(self.keys)
        self.store = PackStore(folder / "state" / "packs", folder / "shipped")
        self.store.installed.mkdir(parents=True)
        self.store.shipped.mkdir()

    def publish(self, version: str, *, ballast: int = 0, days: int = 30) -> None:
        self.publish_made(pack(self.folder / "made", version, ballast=ballast), days)

    def publish_made(self, made: Path, days: int = 30) -> None:
        repository.publish(made, self.repository, self.keys, days)

    def install(
        self, place: str | None = None, *, version: str | None = None, root: Path | None = None, trial: bool = False
    ) -> PackChange:
        wish = InstallRequest(NAME, place or str(self.repository), version, root, trial)
        return installer.install_pack(self.store, wish, lambda _done, _total: None, lambda _pack: None)

    def expect_refusal(
        self, place: str | None = None, *, version: str | None = None, root: Path | None = None
    ) -> PackError:
        """Why it is not installed; what is in use, and what lies about, is exactly as before."""
        before = (self.versions(), self.list_files())
        with pytest.raises(PackError) as refused:
            self.install(place, version=version, root=root)
        assert (self.versions(), self.list_files()) == before
        return refused.value

    def versions(self) -> list[str]:
        return [one.manifest.version for one in self.store.survey().packs]

    def list_files(self) -> list[str]:
        """Every file of the box's packs but the publisher's."""
        below = self.store.installed
        files = (path.relative_to(below).as_posix() for path in below.rglob("*"))
        return sorted(path for path in files if not path.startswith(".publisher/") and path != ".lock")

    def target(self, name: str) -> Path:
        (path,) = self.repository.rglob(f"targets/**/*.{name}")
        return path


def fill(folder: Path, leave_kb: int) -> None:
    """Take every block of a disk but the last *leave_kb*; `LoopFileSystem.free` gives them back."""
    with (folder / "filler").open("wb") as filler:
        for size in (1 << 20, 4096):
            while os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize >= size:
                try:
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
        filler.truncate(os.fstat(filler.fileno()).st_size - leave_kb * 1024)
