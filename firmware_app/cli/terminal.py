"""Errors and output of a command, for a person at a terminal and for a program that reads its JSON."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
from pathlib import Path

from firmware_app.cli.errors import STATE_FORBIDDEN
from firmware_app.core.errors import STORE_DAMAGED, LanternError
from firmware_app.core.language import LANGUAGES, escape_controls, printable_language


def print_error(error: LanternError, options: argparse.Namespace) -> None:
    """Print *error* on stderr, and with --json also on stdout, where the program expects its result."""
    spoken = output_language(options)
    if options.json:
        print(json.dumps({"error": {"code": error.code, "text": error.text(spoken)}}, ensure_ascii=False), flush=True)
    print(escape_controls(f"{error.code}: {error.text(printable_language(spoken, sys.stderr))}"), file=sys.stderr)


def explain_store_error(error: sqlite3.Error, options: argparse.Namespace) -> LanternError:
    """SQLite's *error* as one of the box's own; damage is reported in the same words as by the processes."""
    from firmware_app.core import database_health, disk
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir

    root = load_config(options.config).state.dir
    if database_health.is_damage(error):
        for database in StateDir(root).databases:
            if database_health.has_damage_note(database):
                return STORE_DAMAGED(database=database.name)
    return disk.classify_disk_error(root, error)


def explain_state_error(error: OSError, options: argparse.Namespace) -> LanternError:
    """The error for a state directory that cannot be used; an error outside the state is raised unchanged."""
    from firmware_app.core import disk
    from firmware_app.core.settings import load_config

    root = load_config(options.config).state.dir
    if error.filename is None or not Path(str(error.filename)).is_relative_to(root):
        raise error
    if isinstance(error, PermissionError):
        return STATE_FORBIDDEN(path=str(root))
    return disk.classify_disk_error(root, error)


def output_language(options: argparse.Namespace) -> str:
    """The box's language; where its configuration cannot be used, that of the environment, or the default."""
    from firmware_app.core.settings import BoxSection, load_config

    try:
        return load_config(options.config).box.language
    except LanternError:
        named = os.environ.get("LANTERN_BOX__LANGUAGE", "")
        return named if named in LANGUAGES else BoxSection().language
