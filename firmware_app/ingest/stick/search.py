"""Finds every file on a stick by listing its folders: no link is followed, and no list on the stick is trusted.

A stick is untrusted: folders may contain themselves, there may be a million files, and it may be pulled at any moment.
So the search is limited, and counts what it could not read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core.errors import StickPulled

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
class Search:
    """The files in a stable order, and counts of what was left out."""

    files: list[StickFile]
    others: int = 0  # links, pipes, devices
    hidden: int = 0  # hidden files and folders of operating systems
    unread: int = 0
    overfull: bool = False


def search(root: Path, most: int = MOST_FILES) -> Search:
    """Search everything below *root*.  Raises `StickPulled` when the stick was pulled."""
    listing = Search([])
    for one in _below(root, (), listing):
        if len(listing.files) >= most:
            listing.overfull = True
            break
        listing.files.append(one)
    return listing


def is_passed_by(name: str) -> bool:
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


def _below(folder: Path, parts: tuple[str, ...], result: Search) -> Iterator[StickFile]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        if not parts:
            raise StickPulled from None
        result.unread += 1
        return
    for entry in listed:
        try:
            if is_passed_by(entry.name):
                result.hidden += 1
            elif entry.is_dir(follow_symlinks=False):
                if len(parts) >= MOST_DEPTH:
                    result.overfull = True
                else:
                    yield from _below(Path(entry.path), (*parts, entry.name), result)
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                yield StickFile(Path(entry.path), (*parts, entry.name), status.st_size, status.st_mtime_ns)
            else:
                result.others += 1
        except OSError:
            result.unread += 1
