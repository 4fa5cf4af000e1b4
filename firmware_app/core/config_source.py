"""Where each value of the configuration was written: a line of the TOML file, or a variable of the environment."""

from __future__ import annotations

import re
import tomllib
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from firmware_app.core.errors import (
    CONFIG_FORBIDDEN,
    CONFIG_IS_FOLDER,
    CONFIG_MISSING,
    CONFIG_NOT_TOML,
    CONFIG_NOT_UTF8,
    CONFIG_TWICE,
    CONFIG_UNREADABLE,
)

_AT: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

_TWICE: Final = ("Cannot declare", "Cannot overwrite", "Cannot mutate")

Keys = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """The text of a configuration file and the variables that override it."""

    path: Path | None = None
    text: str = ""
    variables: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    """Key → the name of the variable that sets it."""

    @classmethod
    def from_file(cls, path: Path, variables: Mapping[tuple[str, ...], str]) -> ConfigSource:
        """Read *path*; a byte order mark, as Windows writes it, is no part of the text.

        Raises `CONFIG_MISSING`, `CONFIG_FORBIDDEN`, `CONFIG_IS_FOLDER`, `CONFIG_UNREADABLE` or `CONFIG_NOT_UTF8`.
        """
        try:
            data = path.read_bytes().removeprefix(BOM_UTF8)
        except FileNotFoundError:
            raise CONFIG_MISSING(path=str(path)) from None
        except PermissionError:
            raise CONFIG_FORBIDDEN(path=str(path)) from None
        except IsADirectoryError:
            raise CONFIG_IS_FOLDER(path=str(path)) from None
        except OSError as error:
            raise CONFIG_UNREADABLE(path=str(path), detail=error.strerror or str(error)) from None
        try:
            return cls(path, data.decode("utf-8"), variables)
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise CONFIG_NOT_UTF8(path=str(path), line=line) from None

    def parse(self) -> dict[str, Any]:
        """The file's tables.  Raises `CONFIG_NOT_TOML` or `CONFIG_TWICE`."""
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            at = _AT.search(str(error))
            line = int(at[1]) if at and at[1] else max(1, len(self.text.splitlines()))
            if str(error).startswith(_TWICE):
                raise CONFIG_TWICE(path=str(self.path), line=line) from None
            raise CONFIG_NOT_TOML(path=str(self.path), line=line, detail=_AT.sub("", str(error))) from None

    def locate(self, keys: Keys) -> str:
        """``FILE:LINE`` or ``LANTERN_SECTION__KEY`` of the value at *keys*, or of the table it would stand in."""
        for end in range(len(keys), 0, -1):
            if variable := self.variables.get(tuple(map(str, keys[:end]))):
                return variable
            if line := self._find_line(keys[:end]):
                return f"{self.path}:{line}"
        return str(self.path) if self.path else "-"

    def _find_line(self, keys: Keys) -> int | None:
        """The first line of the shortest beginning of the file that is TOML and holds *keys*."""
        lines = self.text.splitlines()
        whole = 0  # lines that are TOML without *keys*
        for end in range(1, len(lines) + 1):
            try:
                tree = tomllib.loads("\n".join(lines[:end]))
            except tomllib.TOMLDecodeError:  # in the middle of a value of several lines
                continue
            if _has_key(tree, keys):
                return whole + 1
            whole = end
        return None


def _has_key(tree: Any, keys: Keys) -> bool:
    for key in keys:
        if isinstance(tree, dict) and key in tree:
            tree = tree[str(key)]
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        else:
            return False
    return True
