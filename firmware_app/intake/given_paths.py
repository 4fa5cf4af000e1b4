"""Which files a person means who names some paths: every regular one among and below them, each once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_app.errors import FileUnreadable
from firmware_app.records import Reason


@dataclass(frozen=True, slots=True)
class Given:
    """A file to be opened; or, with *reason*, a folder that could not be, which stands for what is in it."""

    path: Path
    reason: Reason | None = None


def given(paths: Sequence[Path]) -> Iterator[Given]:
    """*paths* themselves and, for a directory, every regular file below it in order; links inside are not followed.

    Each file once, by the first path that leads to it.
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
                found = Path(folder, name)
                if stat.S_ISREG(_mode(found)) and _is_new(seen, real, name):
                    yield Given(found)
        for error in closed:
            found = Path(os.fsdecode(error.filename))
            if _is_new(seen, os.path.realpath(found), ""):
                yield Given(found, Reason.of(FileUnreadable(detail=error.strerror or type(error).__name__)))


def not_followed(paths: Sequence[Path]) -> int:
    """How many links, pipes and devices lie in the directories among *paths*, which `given` passes by."""
    found = 0
    for folder, below, names in (one for path in paths if _is_folder(path) for one in os.walk(path)):
        found += sum(stat.S_ISLNK(_mode(Path(folder, name))) for name in below)
        found += sum(not stat.S_ISREG(_mode(Path(folder, name))) for name in names)
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that is closed to us
        return False


def _mode(path: Path) -> int:
    """What is gone by now, or cannot be looked at, is taken for a file: the door names what is wrong with it."""
    try:
        return path.lstat().st_mode
    except OSError:
        return stat.S_IFREG


def _is_new(seen: set[tuple[str, str]], folder: str, name: str) -> bool:
    """Whether *name* in the real *folder* was not met before.  A link is itself, not what it points to."""
    known = (folder, name) in seen
    seen.add((folder, name))
    return not known
