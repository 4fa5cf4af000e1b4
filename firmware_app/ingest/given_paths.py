"""The files that paths on a command line stand for: every regular file among and below them, each once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_app.core.errors import FileUnreadable
from firmware_app.core.records import Reason


@dataclass(frozen=True, slots=True)
class Given:
    """A file to open; with *reason*, a folder that could not be opened, in place of the files in it."""

    path: Path
    reason: Reason | None = None


def given(paths: Sequence[Path]) -> Iterator[Given]:
    """The files among *paths* and, for a directory, every regular file below it, sorted; links inside are not followed.

    A file that several paths lead to comes once, under the first of them.
    """
    seen: set[tuple[str, str]] = set()
    for path in paths:
        if not _is_folder(path):
            if _is_new(seen, os.path.realpath(path.parent), path.name):
                yield Given(path)
            continue
        closed: list[OSError] = []
        for folder, below, names in os.walk(path, onerror=closed.append):
            below.sort()
            real = os.path.realpath(folder)
            for name in sorted(names):
                file = Path(folder, name)
                if stat.S_ISREG(_mode(file)) and _is_new(seen, real, name):
                    yield Given(file)
        for error in closed:
            file = Path(os.fsdecode(error.filename))
            if _is_new(seen, os.path.realpath(file), ""):
                yield Given(file, Reason.of(FileUnreadable(detail=error.strerror or type(error).__name__)))


def not_followed(paths: Sequence[Path]) -> int:
    """How many links, pipes and devices `given` skips in the directories among *paths*."""
    skipped = 0
    for folder, below, names in (one for path in paths if _is_folder(path) for one in os.walk(path)):
        skipped += sum(stat.S_ISLNK(_mode(Path(folder, name))) for name in below)
        skipped += sum(not stat.S_ISREG(_mode(Path(folder, name))) for name in names)
    return skipped


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder without permission
        return False


def _mode(path: Path) -> int:
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
