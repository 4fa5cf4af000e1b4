"""The settings of a box in its locked backup, and on its replacement: all but the identity, the line and the place.

Lies in the set:  settings/lantern.toml and settings/files/…: files in the configuration's own folder that it names,
which are no secret (authorities' certificates, the model engineer's public key).  Keys and tokens are not in it.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.core.settings import Config, describe, load
from firmware_app.core.state_dir import sync_directory
from firmware_app.core.whole_files import write_whole

FOLDER: Final = "settings"
_FILE: Final = "lantern.toml"
_PUBLIC: Final = ("tls_ca", "client_ca", "feedback_key")
_OWN: Final = ("uplink", "state")
"""Sections that stay as the replacement has them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the replacement took: the former box's id, and the files that the settings name and that are not here."""

    box: str
    missing: tuple[Path, ...]


def pack(config: Config, tar: tarfile.TarFile) -> None:
    """Add the settings to a set."""
    content = describe(config).encode("utf-8")
    entry = tarfile.TarInfo(f"{FOLDER}/{_FILE}")
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
    for key, path in _files(config.model_dump(exclude=set(_OWN))):
        if key in _PUBLIC and os.access(path, os.R_OK):
            tar.add(path, f"{FOLDER}/files/{path.name}")


def merged(scratch: Path, own: Config) -> tuple[Config, str] | None:
    """The settings in the unpacked set *scratch* for the box of *own*, and the former box's id; None where none are.

    Raises the `ConfigError` of a configuration that this version cannot use.
    """
    path = scratch / FOLDER / _FILE
    if not path.exists():
        return None
    former = load(path, {})
    box = former.box.model_copy(update={"id": own.box.id})
    return former.model_copy(update={"box": box, **{name: getattr(own, name) for name in _OWN}}), former.box.id


def take(scratch: Path, at: Path, config: Config, box: str) -> Taken:
    """Write *config* to *at*, and beside it the files that lay beside the former one and are not there."""
    named = {path for _, path in _files(config.model_dump(exclude=set(_OWN)))}
    for file in sorted((scratch / FOLDER / "files").glob("*")):
        place = at.parent / file.name
        if place in named and not place.exists():
            write_whole(place, file.read_bytes(), 0o644)
    write_whole(at, describe(config).encode("utf-8"), 0o644)
    sync_directory(at.parent)
    return Taken(box, tuple(sorted(path for path in named if not path.exists())))


def _files(section: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Every path to a file in the configuration, with its key."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _files(value)
        elif isinstance(value, Path) and key not in ("dir", "path", "locked", "mount_root"):
            yield key, value
