"""What a command says to a person at a terminal, and to a program on the other end of its pipe."""

from __future__ import annotations

import argparse
import io
import json
import os
import sqlite3
import sys
from pathlib import Path

from firmware_app.errors import LanternError, StateForbidden, StoreDamaged
from firmware_app.language import LANGUAGES, for_screen, visible


def let_streams_take_all(*, as_json: bool) -> None:
    """JSON is UTF-8 (RFC 8259 8.1) whatever the terminal speaks; a sign that it lacks is shown as ``\\u…`` in text."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if as_json and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # \udcff is how JSON says it too


def refuse(error: LanternError, options: argparse.Namespace) -> None:
    """Say *error* on stderr; to a program also on stdout, where it looks for its answer."""
    told = language(options)
    if options.json:
        print(json.dumps({"error": {"code": error.code, "text": error.text(told)}}, ensure_ascii=False), flush=True)
    print(visible(f"{error.code}: {error.text(for_screen(told, sys.stderr))}"), file=sys.stderr)


def of_the_store(error: sqlite3.Error, options: argparse.Namespace) -> LanternError:
    """What SQLite met, in a sentence; who stumbles over damage says what those will say who find its note."""
    from firmware_app.config import load
    from firmware_app.store.disk import fault
    from firmware_app.store.disk.layout import StateDir
    from firmware_app.store.sqlite import damage

    root = load(options.config).state.dir
    if damage.is_damage(error):
        for database in StateDir(root).databases:
            if damage.noted(database):
                return StoreDamaged(database=database.name)
    return fault.named(root, error)


def of_the_state(error: OSError, options: argparse.Namespace) -> LanternError:
    """What keeps the command from the box's state, in a sentence; what is not of the state is raised as it is."""
    from firmware_app.config import load
    from firmware_app.store.disk import fault

    root = load(options.config).state.dir
    if error.filename is None or not Path(str(error.filename)).is_relative_to(root):
        raise error
    if isinstance(error, PermissionError):
        return StateForbidden(path=str(root))
    return fault.named(root, error)


def language(options: argparse.Namespace) -> str:
    """That of the box; where its configuration cannot be used, what the environment says, or the default."""
    from firmware_app.config import Box, load

    try:
        return load(options.config).box.language
    except LanternError:
        named = os.environ.get("LANTERN_BOX__LANGUAGE", "")
        return named if named in LANGUAGES else Box().language
