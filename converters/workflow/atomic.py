"""Atomic writes: files and folders are whole or absent. Written beside, fsynced, renamed."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from converters.failures import OutputUnwritable, ToolFailed

FULL_BYTES = 1 << 20
"""With less than this left, a library that could not write failed because the disk is full."""

ASIDE = ".before-"
"""How the folder is called in which an old pack stands for the moment until the new one has its name."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes ``path``'s name when the block ends well, and is gone otherwise.

    Raises :class:`~converters.failures.OutputUnwritable` with the system's reason.
    """
    part = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OutputUnwritable(str(path), error.strerror or str(error)) from error
    except (RuntimeError, ToolFailed) as error:  # how libraries written in C++ say it
        if path.parent.is_dir() and shutil.disk_usage(path.parent).free < FULL_BYTES:
            raise OutputUnwritable(str(path), "no space left on device") from error
        raise
    finally:
        with suppress(OSError):  # gone already, or its folder is no folder
            part.unlink()


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` whole or not at all."""
    with writing(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: Mapping[str, Any]) -> Path:
    """Write ``value`` as indented JSON, whole or not at all."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def put_in_place(fresh: Path, place: Path) -> None:
    """Give the finished folder ``fresh`` the name ``place``.  What stood there is set aside first and removed last.

    After a failure, which is an :class:`OSError`, it stands at its place again as it was; whoever is killed between the
    two renames finds it whole in :data:`ASIDE`… beside it.  Where it cannot be removed, that is said and no failure.
    """
    for path in (fresh, *fresh.rglob("*")):
        _bring_to_disk(path)
    if not os.path.lexists(place):
        fresh.rename(place)
        _bring_to_disk(place.parent)
        return
    aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=place.parent))
    old = aside / place.name
    try:
        place.rename(old)
        fresh.rename(place)
    finally:
        if os.path.lexists(old) and not os.path.lexists(place):
            old.rename(place)
        with suppress(OSError):  # holds the old one, if all went well
            aside.rmdir()
    _bring_to_disk(place.parent)
    try:
        shutil.rmtree(aside)
    except OSError as error:
        print(f"{aside}: what stood at {place} before could not be removed: {error.strerror}", file=sys.stderr)


def _bring_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)  # a file or a folder
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
