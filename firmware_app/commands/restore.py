"""`lantern backup code` and `lantern restore`: what opens a clinic's backups, and the box that replaces one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_app.language import N_, for_screen, translate

if TYPE_CHECKING:
    from firmware_app.config import Config

_DONE = 0
_Run = Callable[[argparse.Namespace], int]
_Parser = argparse.ArgumentParser
Command = Callable[["argparse._SubParsersAction[_Parser]", str, _Run, str, str], _Parser]


def add_to(commands: argparse._SubParsersAction[_Parser], command: Command) -> None:
    """Add `backup` and `restore` to the parser; *command* makes one as the rest of `lantern` does."""
    backup = commands.add_parser(
        "backup", help="the recovery code of locked backups", epilog="Example: lantern backup code"
    )
    below = backup.add_subparsers(required=True, metavar="COMMAND")
    code = command(below, "code", _code, "make the recovery code, which is shown only this once", "lantern backup code")
    code.add_argument("--new", action="store_true", help="another one, for backups from now on")
    restore = command(
        commands, "restore", _restore, "bring a clinic's locked backup onto this box, which replaces the old one",
        "lantern restore /media/clinic/lantern",
    )  # fmt: skip
    restore.add_argument("folder", type=Path, metavar="FOLDER", help="that [backup] locked named on the old box")


def _code(options: argparse.Namespace) -> int:
    from firmware_app.care import locked_backup
    from firmware_app.store.disk.layout import StateDir

    config = _config(options)
    state = StateDir(config.state.dir)
    state.prepare()
    code = locked_backup.make_code(state, new=options.new)
    if options.json:
        print(json.dumps({"code": code}))
    else:
        _say(config, N_("The recovery code is {code}"), code=code)
        _say(config, N_("Write it down, keep the paper away from the box. It is not shown again."))
    return _DONE


def _restore(options: argparse.Namespace) -> int:
    from firmware_app.care import locked_backup, presence
    from firmware_app.errors import AlreadyRunning
    from firmware_app.store.disk.layout import StateDir

    config = _config(options)
    if any(presence.is_running(StateDir(config.state.dir), name) for name in presence.expected(config)):
        raise AlreadyRunning(state=str(config.state.dir))
    if sys.stdin.isatty():
        _say(config, N_("Type the recovery code from the paper:"))
    code = sys.stdin.readline()
    images = locked_backup.restore(StateDir(config.state.dir), options.folder, code)
    if options.json:
        print(json.dumps({"images": images}))
    else:
        _say(config, N_("Restored: the databases and {images} images."), images=str(images))
        _say(
            config,
            N_(
                "Now give the box its identity (“lantern provision”) and enrol it at the hospital with “--replace”: "
                "from then on the hospital refuses the old box."
            ),
        )
    return _DONE


def _say(config: Config, sentence: str, **details: str) -> None:
    print(translate(sentence, for_screen(config.box.language)).format(**details))


def _config(options: argparse.Namespace) -> Config:
    from firmware_app.config import load

    return load(options.config)
