"""A file that somebody gave the box, on a stick or in a folder: opened with suspicion, never changed."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from firmware_app.errors import FileUnreadable, NotARegularFile

# zip (also empty or split), RAR, 7-Zip, gzip, xz, bzip2, Zstandard, cabinet
_ARCHIVES: Final = (
    b"PK\3\4", b"PK\5\6", b"PK\7\x08", b"Rar!\x1a\7", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"BZh",
    b"\x28\xb5\x2f\xfd", b"MSCF\0\0\0\0",
)  # fmt: skip

_OBJECT_SUFFIXES: Final = frozenset({"dcm", "dicom", "dic", "ima", "img"})
_PICTURE_SUFFIXES: Final = frozenset(
    {"png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp", "mp4", "mov", "avi", "mpg", "mpeg"}
)
_PIECE_BYTES: Final = 1 << 20


def readable(path: str) -> str:
    """A path as text that can be stored: sticks from older computers carry names in GBK, which is not UTF-8."""
    raw = os.fsencode(path)
    for codec in ("utf_8", "gb18030"):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin_1")


def percent_encoded(path: str) -> str | None:
    """The bytes of a path whose name is no UTF-8, percent-encoded (RFC 3986 2.1); None of every other one.

    The way back: ``os.fsdecode(urllib.parse.unquote_to_bytes(…))``.
    """
    raw = os.fsencode(path)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return quote(raw)
    return None


def open_regular(path: Path) -> tuple[int, int]:
    """A descriptor and the size of a regular file; links, pipes and devices are never opened.

    Raises `NotARegularFile` or `FileUnreadable`.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise NotARegularFile()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise FileUnreadable(detail=error.strerror or type(error).__name__) from None
    try:
        found = os.fstat(descriptor)
    except OSError as error:  # pulled out between the two calls
        let_go(descriptor)
        raise FileUnreadable(detail=error.strerror or type(error).__name__) from None
    if not stat.S_ISREG(found.st_mode):  # replaced between the two calls
        let_go(descriptor)
        raise NotARegularFile()
    return descriptor, found.st_size


def let_go(descriptor: int) -> None:
    """Close it.  On a stick that was pulled out even that fails (FUSE flushes), and says nothing of what was read."""
    with suppress(OSError):
        os.close(descriptor)


def is_archive(head: bytes) -> bool:
    """Whether *head* begins an archive; it is never opened, and asked only so that people hear what to do."""
    return head.startswith(_ARCHIVES)


def read_at(descriptor: int, count: int, start: int) -> bytes:
    """Up to *count* bytes from *start*; raises `FileUnreadable`, as when the stick is pulled."""
    try:
        return os.pread(descriptor, count, start)
    except OSError as error:
        raise FileUnreadable(detail=error.strerror or type(error).__name__) from None


def is_object_name(name: str) -> bool:
    """Whether a file's name alone says that it is a DICOM object; most have no such name."""
    return name.rpartition(".")[2].lower() in _OBJECT_SUFFIXES


def is_picture_name(name: str) -> bool:
    """Whether a file is named as pictures and clips are."""
    return name.rpartition(".")[2].lower() in _PICTURE_SUFFIXES


def is_zeros(descriptor: int, size: int) -> bool:
    """Whether all *size* bytes are zero, as where a stick lost the blocks of a file; raises `FileUnreadable`."""
    at = 0
    while at < size:
        piece = read_at(descriptor, _PIECE_BYTES, at)
        if piece.strip(b"\0"):
            return False
        if not piece:  # shorter than it was a moment ago
            break
        at += len(piece)
    return True
