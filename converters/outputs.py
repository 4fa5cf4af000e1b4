"""Files that are whole or absent: written beside, brought to the disk, renamed."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from converters.failures import OutputUnwritable, ToolFailed

FULL_BYTES = 1 << 20
"""With less than this left, a library that could not write failed because the disk is full."""


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
