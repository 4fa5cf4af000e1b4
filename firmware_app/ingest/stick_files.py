"""The files on a stick: found by listing its folders, and put into the order of its DICOMDIR (PS3.3 F, PS3.10 8.6).

A stick is untrusted: folders may contain themselves, there may be a million files, and it may be pulled at any
moment.  So the search follows no link, is limited, and counts what it could not read.

The DICOMDIR gives the order of copying (one study after the other, so that the first is complete before the last
begins) and how many images each study should have.  It is read, but not trusted.  Its names are never opened: they
are looked up among the files that the search has found, so a name with ``..`` in it matches nothing.  A broken list
is used up to its first error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from
from typing import Final

from firmware_app.dicom.data_elements import LONG_VRS, SHORT_VRS
from firmware_app.dicom.errors import IntakeError
from firmware_app.ingest.errors import STICK_PULLED
from firmware_app.ingest.input_files import close_quietly, open_regular_file, read_at, to_storable_text

MOST_FILES: Final = 200_000
MOST_DEPTH: Final = 16
_NO_IMAGES: Final = frozenset({"system volume information", "$recycle.bin", "lost+found"})


@dataclass(frozen=True, slots=True)
class StickFile:
    """One regular file, with the size and time that it had when its folder was listed."""

    path: Path
    parts: tuple[str, ...]  # below the stick's root
    size: int
    mtime_ns: int


@dataclass(slots=True)
class SearchResult:
    """The files in a stable order, and counts of what was left out."""

    files: list[StickFile]
    others: int = 0  # links, pipes, devices
    hidden: int = 0  # hidden files and folders of operating systems
    unread: int = 0
    overfull: bool = False


def search_stick(root: Path, most: int = MOST_FILES) -> SearchResult:
    """Search everything below *root*.  Raises `STICK_PULLED` when the stick was pulled."""
    listing = SearchResult([])
    for one in _list_below(root, (), listing):
        if len(listing.files) >= most:
            listing.overfull = True
            break
        listing.files.append(one)
    return listing


def is_system_name(name: str) -> bool:
    """Whether it is the name of a hidden file or folder of an operating system."""
    return name.startswith(".") or name.casefold() in _NO_IMAGES


def is_there(root: Path, device: str) -> bool:
    """Whether the stick is still connected.  A driver may answer from its cache, so the *device* is checked too."""
    try:
        with os.scandir(root) as entries:
            next(entries, None)
        return Path("/sys/dev/block", device).exists()
    except OSError:
        return False


def _list_below(folder: Path, parts: tuple[str, ...], result: SearchResult) -> Iterator[StickFile]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        if not parts:
            raise STICK_PULLED() from None
        result.unread += 1
        return
    for entry in listed:
        try:
            if is_system_name(entry.name):
                result.hidden += 1
            elif entry.is_dir(follow_symlinks=False):
                if len(parts) >= MOST_DEPTH:
                    result.overfull = True
                else:
                    yield from _list_below(Path(entry.path), (*parts, entry.name), result)
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                yield StickFile(Path(entry.path), (*parts, entry.name), status.st_size, status.st_mtime_ns)
            else:
                result.others += 1
        except OSError:
            result.unread += 1


DICOMDIR_NAME: Final = "dicomdir"
MOST_DICOMDIR_BYTES: Final = 16_000_000
MOST_LISTS: Final = 32
_MOST_NESTING: Final = 8

_RECORDS: Final = 0x00041220  # Directory Record Sequence
_TYPE: Final = 0x00041430  # Directory Record Type
_IN_USE: Final = 0x00041410  # Record In-use Flag; 0: deleted but still in the list
_FILE_ID: Final = 0x00041500  # Referenced File ID
_STUDY: Final = 0x0020000D
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of the list: its path as parts, and the UID of the study record above it."""

    parts: tuple[str, ...]
    study: str


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """The files of a stick in the order of copying, and how many listed images are missing."""

    files: list[StickFile]
    named: int
    """How many files at the start of `files` are in a list."""
    listed_more: dict[str, int]  # by Study Instance UID
    lists: int


class BrokenDirectory(Exception):
    """The list cannot be read any further."""


def order_files(files: Sequence[StickFile]) -> CopyOrder:
    """*files* with those first that a DICOMDIR among them lists, study by study."""
    first: dict[tuple[str, ...], StickFile] = {}
    missing: dict[str, int] = {}
    by_name = {_comparable_path(one.parts): one for one in files}
    lists = [one for one in files if one.parts[-1].casefold().split(".")[0] == DICOMDIR_NAME][:MOST_LISTS]
    for one in lists:
        for listed in _read_dicomdir(one.path):
            file = by_name.get(_comparable_path((*one.parts[:-1], *listed.parts)))
            if file is not None:
                first.setdefault(file.parts, file)
            elif listed.study:
                missing[listed.study] = missing.get(listed.study, 0) + 1
    rest = [one for one in files if one.parts not in first]
    return CopyOrder([*first.values(), *rest], len(first), missing, len(lists))


def list_images(data: bytes) -> Iterator[ListedImage]:
    """The images that *data* lists, in its order; ends silently where the list is broken."""
    study = ""
    try:
        for record in _records(data):
            begin, end = record.get(_IN_USE, (0, 0))
            if data[begin:end] == b"\0\0":
                continue
            kind = _text(data, record.get(_TYPE)).strip()
            if kind == "PATIENT":
                study = ""
            elif kind == "STUDY":
                study = _text(data, record.get(_STUDY)).strip(" \0")
            name = _text(data, record.get(_FILE_ID)).strip(" \0")
            if name:
                yield ListedImage(tuple(part.strip() for part in name.split("\\")), study)
    except BrokenDirectory:
        return


_Span = tuple[int, int]


def _records(data: bytes) -> Iterator[dict[int, _Span]]:
    """The plain elements of each item of the Directory Record Sequence."""
    start = 132 if data[128:132] == b"DICM" else 0
    for tag, begin, end in _elements(data, start, len(data)):
        if tag == _RECORDS:
            position = begin
            while position < end:
                tag, length = _item(data, position)
                position += 8
                if tag != _ITEM:
                    return
                record, position = _record(data, position, end if length == _UNDEFINED else position + length)
                yield record


def _record(data: bytes, position: int, end: int) -> tuple[dict[int, _Span], int]:
    """The elements of one item and the start of the next; of a broken item the complete ones, and the data's end."""
    elements: dict[int, _Span] = {}
    try:
        while position < end:
            if data[position : position + 8] == b"\xfe\xff\x0d\xe0\0\0\0\0":
                return elements, position + 8
            tag, begin, stop, position = _element(data, position, 1)
            elements[tag] = (begin, stop)
    except BrokenDirectory:
        return elements, len(data)
    return elements, position


def _elements(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    while position < end:
        tag, begin, stop, after = _element(data, position, 0, to_the_end=True)
        yield tag, begin, stop
        position = after


def _element(data: bytes, position: int, depth: int, to_the_end: bool = False) -> tuple[int, int, int, int]:
    """Tag, begin and end of the value, and where the next element begins.

    With *to_the_end* the Directory Record Sequence may be longer than the file, so that a cut list is still used.
    """
    if len(data) - position < 8:
        raise BrokenDirectory
    group, number, length = unpack_from("<HHL", data, position)
    vr, value = data[position + 4 : position + 6], position + 8
    tag = group << 16 | number
    if tag == 0:  # zero padding
        raise BrokenDirectory
    if vr in SHORT_VRS:
        (length,) = unpack_from("<H", data, position + 6)
    elif vr in LONG_VRS:
        if len(data) - position < 12:
            raise BrokenDirectory
        (length,), value = unpack_from("<L", data, value), value + 4
    if to_the_end and tag == _RECORDS:
        end = len(data) if length == _UNDEFINED else min(len(data), value + length)
        return tag, value, end, end
    if length == _UNDEFINED:
        after = _after_sequence(data, value, depth)
        return tag, value, after - 8, after
    if value + length > len(data):
        raise BrokenDirectory
    return tag, value, value + length, value + length


def _after_sequence(data: bytes, position: int, depth: int) -> int:
    """The end of a sequence of undefined length that is skipped."""
    if depth > _MOST_NESTING:
        raise BrokenDirectory
    while True:
        tag, length = _item(data, position)
        position += 8
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            raise BrokenDirectory
        if length != _UNDEFINED:
            position += length
            continue
        while data[position : position + 4] != b"\xfe\xff\x0d\xe0":
            *_, position = _element(data, position, depth + 1)
        position += 8


def _item(data: bytes, position: int) -> tuple[int, int]:
    if len(data) - position < 8:
        raise BrokenDirectory
    group, number, length = unpack_from("<HHL", data, position)
    return group << 16 | number, length


def _text(data: bytes, span: _Span | None) -> str:
    return "" if span is None else to_storable_text(os.fsdecode(data[span[0] : min(span[1], span[0] + 1024)]))


def _read_dicomdir(path: Path) -> list[ListedImage]:
    """The images listed in the DICOMDIR at *path*; empty where it cannot be read."""
    try:
        descriptor, size = open_regular_file(path)
    except IntakeError:
        return []
    try:
        pieces, at = [], 0
        while at < min(size, MOST_DICOMDIR_BYTES) and (
            piece := read_at(descriptor, min(1 << 20, MOST_DICOMDIR_BYTES - at), at)
        ):
            pieces.append(piece)
            at += len(piece)
    except IntakeError:
        return []
    finally:
        close_quietly(descriptor)
    return list(list_images(b"".join(pieces)))


def _comparable_path(parts: Sequence[str]) -> tuple[str, ...]:
    """A path for comparison: drivers show names in either case, with or without the ISO 9660 version number (7.5.1)."""
    return tuple(to_storable_text(part).partition(";")[0].rstrip(".").casefold() for part in parts)
