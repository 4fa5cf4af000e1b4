"""The minimised corpus of each target, one archive each: objects that fuzzing made of the seeds, none of a person."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path


def path(target: str) -> Path:
    """Where the archive of *target* is."""
    return Path(__file__).parent / f"corpus-{target}.tar.xz"


def inputs(target: str) -> dict[str, bytes]:
    """Every input of *target* by its name."""
    with tarfile.open(path(target), "r:xz") as archive:
        opened = ((member.name, archive.extractfile(member)) for member in archive)
        return {name: file.read() for name, file in opened if file is not None}


def pack(target: str, inputs: Iterable[bytes]) -> int:
    """Write the archive anew, the same bytes from the same *inputs*; returns how many there are."""
    files = sorted({hashlib.sha1(data).hexdigest()[:16]: data for data in inputs}.items())
    with tarfile.open(path(target), "w:xz", preset=9) as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return len(files)


def unpack(target: str, folder: Path) -> None:
    """Write the inputs of *target* into *folder*; none where there is no archive yet."""
    if path(target).exists():
        for name, data in inputs(target).items():
            (folder / name).write_bytes(data)
