"""Files from a stick, a folder or a command line: found once each, opened without trust in their kind, never changed.

Paths on a command line stand for every regular file among and below them; links, pipes and devices are not followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from firmware_app.cases.errors import NOT_A_REGULAR_FILE, FileUnreadable
from firmware_app.core.records import Reason

# zip (also empty or split), RAR, 7-Zip, gzip, xz, bzip2, Zstandard, cabinet
_ARCHIVES: Final = (
    b"PK\3\4",
    b"PK\5\6",
    b"PK\7\x08",
    b"Rar!\x1a\7",
    b"7z\xbc\xaf\x27\x1c",
    b"\x1f\x8b\x08",
    b"\xfd7zXZ\0",
    b"BZh",
    b"\x28\xb5\x2f\xfd",
    b"MSCF\0\0\0\0",
)

_OBJECT_SUFFIXES: Final = frozenset({"dcm", "dicom", "dic", "ima", "img"})
_PICTURE_SUFFIXES: Final = frozenset(
    {"png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp", "mp4", "mov", "avi", "mpg", "mpeg"}
)
_PIECE_BYTES: Final = 1 << 20


def to_storable_text(path: str) -> str:
    """A path as text that can be stored: on sticks from older computers names are in GBK, which is not UTF-8."""
    raw = os.fsencode(path)
    for codec in ("utf_8", "gb18030"):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin_1")


def percent_encode(path: str) -> str | None:
    """The bytes of a path that is not UTF-8, percent-encoded (RFC 3986 2.1); None for a path in UTF-8.

    The inverse: ``os.fsdecode(urllib.parse.unquote_to_bytes(…))``.
    """
    raw = os.fsencode(path)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return quote(raw)
    return None


def open_regular_file(path: Path) -> tuple[int, int]:
    """A descriptor and the size in bytes of a regular file; links, pipes and devices are never opened.

    Raises `NOT_A_REGULAR_FILE` or `FileUnreadable`.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise NOT_A_REGULAR_FILE()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise FileUnreadable(detail=error.strerror or type(error).__name__) from None
    try:
        status = os.fstat(descriptor)
    except OSError as error:  # pulled out between the two calls
        close_quietly(descriptor)
        raise FileUnreadable(detail=error.strerror or type(error).__name__) from None
    if not stat.S_ISREG(status.st_mode):  # replaced between the two calls
        close_quietly(descriptor)
        raise NOT_A_REGULAR_FILE()
    return descriptor, status.st_size


def close_quietly(descriptor: int) -> None:
    """Close it.  After the stick was pulled out closing fails too (FUSE flushes); the bytes already read are valid."""
    with suppress(OSError):
        os.close(descriptor)


def is_archive(head: bytes) -> bool:
    """Whether *head* begins an archive.  Archives are never opened; the refusal tells people to unpack them."""
    return head.startswith(_ARCHIVES)


def read_at(descriptor: int, count: int, start: int) -> bytes:
    """Up to *count* bytes from *start*; raises `FileUnreadable`, as when the stick is pulled."""
    try:
        return os.pread(descriptor, count, start)
    except OSError as error:
        raise FileUnreadable(detail=error.strerror or type(error).__name__) from None


def is_object_name(name: str) -> bool:
    """Whether the file name has a DICOM suffix; most DICOM files have none."""
    return name.rpartition(".")[2].lower() in _OBJECT_SUFFIXES


def is_picture_name(name: str) -> bool:
    """Whether the file name has the suffix of a picture or clip."""
    return name.rpartition(".")[2].lower() in _PICTURE_SUFFIXES


def is_zeros(descriptor: int, size: int) -> bool:
    """Whether all *size* bytes are zero, as after a stick has lost the file's blocks; raises `FileUnreadable`."""
    at = 0
    while at < size:
        piece = read_at(descriptor, _PIECE_BYTES, at)
        if piece.strip(b"\0"):
            return False
        if not piece:  # shorter than it was a moment ago
            break
        at += len(piece)
    return True


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to open; with *reason*, a folder that could not be opened, in place of the files in it."""

    path: Path
    reason: Reason | None = None


def find_input_files(paths: Sequence[Path]) -> Iterator[InputFile]:
    """The files among *paths* and, for a directory, every regular file below it, sorted; links inside are not followed.

    A file that several paths lead to comes once, under the first of them.
    """
    seen: set[tuple[str, str]] = set()
    for path in paths:
        if not _is_folder(path):
            if _is_new(seen, os.path.realpath(path.parent), path.name):
                yield InputFile(path)
            continue
        closed: list[OSError] = []
        for folder, below, names in os.walk(path, onerror=closed.append):
            below.sort()
            real = os.path.realpath(folder)
            for name in sorted(names):
                file = Path(folder, name)
                if stat.S_ISREG(_read_mode(file)) and _is_new(seen, real, name):
                    yield InputFile(file)
        for error in closed:
            file = Path(os.fsdecode(error.filename))
            if _is_new(seen, os.path.realpath(file), ""):
                yield InputFile(file, Reason.from_error(FileUnreadable(detail=error.strerror or type(error).__name__)))


def count_skipped(paths: Sequence[Path]) -> int:
    """How many links, pipes and devices `find_input_files` skips in the directories among *paths*."""
    skipped = 0
    for folder, below, names in (one for path in paths if _is_folder(path) for one in os.walk(path)):
        skipped += sum(stat.S_ISLNK(_read_mode(Path(folder, name))) for name in below)
        skipped += sum(not stat.S_ISREG(_read_mode(Path(folder, name))) for name in names)
    return skipped


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder without permission
        return False


def _read_mode(path: Path) -> int:
    """The mode; that of a regular file when it cannot be read, because the door then reports what is wrong."""
    try:
        return path.lstat().st_mode
    except OSError:
        return stat.S_IFREG


def _is_new(seen: set[tuple[str, str]], folder: str, name: str) -> bool:
    """Whether *name* in the real *folder* was not seen before.  A link counts as itself, not as its target."""
    known = (folder, name) in seen
    seen.add((folder, name))
    return not known
