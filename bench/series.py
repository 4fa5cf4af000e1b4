"""What is sent to a receiver: a real CT series where there is one, else one slice under many identities."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench import harness
from firmware_app.dicom.errors import (
    IntakeError,
)
from firmware_app.dicom.header import MAGIC, PREAMBLE_BYTES, examine_file

REAL: Final = harness.REPOSITORY.parent / "shared" / "data" / "ct"
_COPIES: Final = 133
_FIRST_COPY: Final = 1000


def lay_out(data: Path | None, folder: Path) -> list[Path]:
    """The series as whole DICOM files, flat in the new *folder*; *data* is a folder of files or of tars, or one tar."""
    folder.mkdir(parents=True)
    if data is None:
        _copies_of_one_slice(folder)
    else:
        for number, path in enumerate(sorted(path for path in _unpacked(data, folder).rglob("*") if is_dicom(path))):
            shutil.copyfile(path, folder / f"{number:05}.dcm")
    paths = sorted(folder.iterdir())
    if not paths:
        harness.give_up(f"There is no whole DICOM file in {data}.")
    return paths


def for_several(series: list[Path], senders: int, images: int, folder: Path) -> list[Path]:
    """One folder for each of *senders*, with *images* images and a study of its own."""
    folders = [folder / f"sender-{number}" for number in range(senders)]
    running = _FIRST_COPY
    for number, own in enumerate(folders):
        own.mkdir(parents=True)
        for image in range(images):
            source = series[(number * images + image) % len(series)]
            header = examine_file(source).header
            content = _replaced(source.read_bytes(), header.sop_instance_uid, running)
            if header.study_instance_uid:
                content = _replaced(content, header.study_instance_uid, _FIRST_COPY + number)
            (own / f"{image:05}.dcm").write_bytes(content)
            running += 1
    return folders


def is_dicom(path: Path) -> bool:
    """Whether the box would accept *path* as a complete DICOM file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(PREAMBLE_BYTES + len(MAGIC))[PREAMBLE_BYTES:] != MAGIC:
            return False
    try:
        examine_file(path)
    except IntakeError:
        return False
    return True


def _unpacked(data: Path, folder: Path) -> Path:
    archives = [data] if data.is_file() else sorted(data.glob("*.tar*"))
    if not archives:
        return data
    target = folder.parent / "unpacked"
    target.mkdir()
    for archive in archives:
        subprocess.run([harness.need_tool("tar", "tar"), "-xf", str(archive), "-C", str(target)], check=True)
    return target


def _copies_of_one_slice(folder: Path) -> None:
    """Without real data: one CT slice of pydicom-data under as many identities as a chest series has slices."""
    try:
        import data_store
    except ImportError:
        harness.leave_out("there is no CT series to send: give one with --data, or pip install pydicom-data")
    [source] = Path(next(iter(data_store.__path__))).rglob("693_UNCI.dcm")
    content, identity = source.read_bytes(), examine_file(source).header.sop_instance_uid
    for number in range(_COPIES):
        (folder / f"{number:05}.dcm").write_bytes(_replaced(content, identity, _FIRST_COPY + number))


def _replaced(content: bytes, uid: str, number: int) -> bytes:
    """*content* with *number* as the last four digits of *uid*, so that the length of every element stays the same."""
    return content.replace(uid.encode(), uid[:-4].encode() + f"{number:04d}".encode())
