"""What every verb of `lantern` shares: its parser, the box it means, its output, its errors, and a Ctrl-C.

Output is for a person at a terminal, or JSON for a program.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from firmware_app.cli.errors import STATE_FORBIDDEN
from firmware_app.core.errors import STORE_DAMAGED, LanternError
from firmware_app.core.language import LANGUAGES, N_, escape_controls, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core.settings import Config

NOT_DIAGNOSTIC: Final = N_("Not for diagnostic use without a doctor.")
DONE, FAILED, UNJUDGED, INTERRUPTED = 0, 1, 3, 130
CASE_HELP: Final = "its reference, as `lantern case list` prints it"
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], help_text: str, example: str
) -> argparse.ArgumentParser:
    """A command that calls *run*, with the options that all commands have."""
    parser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", epilog=f"Example: {example}"
    )
    parser.set_defaults(run=run)
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--json", action="store_true", help="one JSON object per line on stdout")
    return parser


def add_group(commands: Commands, name: str, help_text: str, example: str) -> Commands:
    """A command that has commands of its own."""
    parser = commands.add_parser(name, help=help_text, epilog=f"Example: {example}")
    return parser.add_subparsers(required=True, metavar="COMMAND")


def read_config(options: argparse.Namespace) -> Config:
    from firmware_app.core.settings import load_config

    return load_config(options.config)


@contextmanager
def open_clinical(config: Config, *, writes: bool = False, create: bool = False) -> Iterator[ClinicalDatabase]:
    """The box's clinical database; *writes*: the command notes times in it; *create*: it may be made first."""
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core import clock
    from firmware_app.core.state_dir import StateDir

    state = StateDir(config.state.dir)
    clock.start_clock(state, "console", writes=writes)
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        (clinical.create if create else clinical.require)()
        yield clinical
    finally:
        clinical.database.close()


def print_json(value: Mapping[str, object]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def say(config: Config, sentence: str, **details: object) -> None:
    """Print *sentence* for a person, in the language of the box."""
    print(translate(sentence, printable_language(config.box.language)).format(**details))


def choose_language(options: argparse.Namespace, config: Config) -> str:
    """The language of the output: that of the box, as far as a terminal can show it."""
    return config.box.language if options.json else printable_language(config.box.language)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], None]]:
    """Ctrl-C, SIGTERM and a closed terminal (SIGHUP, as after a lost SSH connection) end the work but do not interrupt
    its clean-up.  In the main thread only.

    Yields a function that makes the process ignore all of them, for the clean-up after finished work.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def ignore() -> None:
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)

    def stop(number: int, _frame: object) -> None:
        ignore()  # a second signal must not interrupt the clean-up
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    # A signal that is already ignored stays ignored: Ctrl-C for a script's background job, SIGHUP under nohup.
    present = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handlers = {number: before for number, before in present.items() if before is not signal.SIG_IGN}
    for number in handlers:
        signal.signal(number, stop)
    try:
        yield ignore
    finally:
        for number, before in handlers.items():
            signal.signal(number, before or signal.SIG_DFL)


def print_error(error: LanternError, options: argparse.Namespace) -> None:
    """Print *error* on stderr, and with --json also on stdout, where the program expects its result."""
    spoken = output_language(options)
    if options.json:
        print_json({"error": {"code": error.code, "text": error.text(spoken)}})
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
