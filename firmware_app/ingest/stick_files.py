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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.dicom.data_elements import EXPLICIT_LITTLE, Element
from firmware_app.dicom.element_stream import Walk, walk_data_set
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
    for stick_file in _list_below(root, (), listing):
        if len(listing.files) >= most:
            listing.overfull = True
            break
        listing.files.append(stick_file)
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
_MOST_VALUE: Final = 1024

_RECORDS: Final = 0x00041220  # Directory Record Sequence
_TYPE: Final = 0x00041430  # Directory Record Type
_IN_USE: Final = 0x00041410  # Record In-use Flag; 0: deleted but still in the list
_FILE_ID: Final = 0x00041500  # Referenced File ID
_STUDY: Final = 0x0020000D
_RECORDS_BEGIN: Final = b"\x04\x00\x20\x12SQ\0\0"
_UNDEFINED: Final = b"\xff\xff\xff\xff"


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


def order_files(files: Sequence[StickFile]) -> CopyOrder:
    """*files* with those first that a DICOMDIR among them lists, study by study."""
    first: dict[tuple[str, ...], StickFile] = {}
    missing: dict[str, int] = {}
    by_name = {_comparable_path(stick_file.parts): stick_file for stick_file in files}
    lists = [stick_file for stick_file in files if stick_file.parts[-1].casefold().split(".")[0] == DICOMDIR_NAME][
        :MOST_LISTS
    ]
    for stick_file in lists:
        for listed in _read_dicomdir(stick_file.path):
            file = by_name.get(_comparable_path((*stick_file.parts[:-1], *listed.parts)))
            if file is not None:
                first.setdefault(file.parts, file)
            elif listed.study:
                missing[listed.study] = missing.get(listed.study, 0) + 1
    rest = [stick_file for stick_file in files if stick_file.parts not in first]
    return CopyOrder([*first.values(), *rest], len(first), missing, len(lists))


def list_images(data: bytes) -> Iterator[ListedImage]:
    """The images that *data* lists, in its order; ends silently where the list is broken."""
    start = data.find(_RECORDS_BEGIN)
    if start < 0:
        return
    # With an undefined length, a list that was cut is used as far as it goes.
    data = _RECORDS_BEGIN + _UNDEFINED + data[start + 12 :]
    walk = Walk(EXPLICIT_LITTLE)
    with suppress(IntakeError):
        wanted = (_TYPE, _IN_USE, _FILE_ID, _STUDY)
        walk_data_set(data, 0, EXPLICIT_LITTLE, wanted, (_RECORDS,), into=walk, most_items=MOST_FILES)
    study = ""
    for record in walk.items:
        in_use, kind, study_uid, name = (
            _text(data, record.elements.get(tag)) for tag in (_IN_USE, _TYPE, _STUDY, _FILE_ID)
        )
        if in_use == "\0\0":
            continue
        if kind.strip() == "PATIENT":
            study = ""
        elif kind.strip() == "STUDY":
            study = study_uid.strip(" \0")
        if name := name.strip(" \0"):
            yield ListedImage(tuple(part.strip() for part in name.split("\\")), study)


def _text(data: bytes, element: Element | None) -> str:
    if element is None:
        return ""
    return to_storable_text(os.fsdecode(data[element.start : element.start + min(element.length, _MOST_VALUE)]))


def _read_dicomdir(path: Path) -> list[ListedImage]:
    """The images listed in the DICOMDIR at *path*; empty where it cannot be read."""
    try:
        descriptor, size = open_regular_file(path)
    except IntakeError:
        return []
    try:
        return list(list_images(read_at(descriptor, min(size, MOST_DICOMDIR_BYTES), 0)))
    except IntakeError:
        return []
    finally:
        close_quietly(descriptor)


def _comparable_path(parts: Sequence[str]) -> tuple[str, ...]:
    """A path for comparison: drivers show names in either case, with or without the ISO 9660 version number (7.5.1)."""
    return tuple(to_storable_text(part).partition(";")[0].rstrip(".").casefold() for part in parts)
