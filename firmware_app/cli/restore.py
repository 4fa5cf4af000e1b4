"""`lantern backup code` and `lantern restore`: what opens a clinic's backups, and the box that replaces one."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_app.cli.terminal import Commands, add_command
from firmware_app.core.language import N_, NN_, printable_language, translate, translate_plural

if TYPE_CHECKING:
    from firmware_app.appliance.locked_restore import RestoreResult
    from firmware_app.core.settings import Config

_DONE = 0


def add_to(commands: Commands) -> None:
    """Add `backup` and `restore` to the parser."""
    backup = commands.add_parser(
        "backup",
        help="the recovery code of locked backups; the box makes backups by itself",
        description="The recovery code of locked backups.  Nothing else is asked of you: the box backs itself up every "
        "night, and “systemctl start lantern-backup” makes a backup now.",
        epilog="Example: lantern backup code",
    )
    below = backup.add_subparsers(required=True, metavar="COMMAND")
    code = add_command(
        below,
        "code",
        _print_recovery_code,
        "make the recovery code, which is shown only this once",
        "lantern backup code",
    )
    code.add_argument("--new", action="store_true", help="another one, for backups from now on")
    restore = add_command(
        commands,
        "restore",
        _restore,
        "bring a clinic's locked backup onto this box, which replaces the old one",
        "lantern restore /media/clinic/lantern",
    )
    restore.description = (
        "Bring a clinic's locked backup onto this box, which replaces the old one.  A box that has cases already is "
        "refused: take a new one, or empty this one with “lantern factory-reset”."
    )
    restore.add_argument("folder", type=Path, metavar="FOLDER", help="that [backup] locked named on the old box")
    restore.add_argument(
        "--keep-settings", action="store_true", help="leave this box's settings and packs; only cases, images, accounts"
    )


def _print_recovery_code(options: argparse.Namespace) -> int:
    from firmware_app.appliance import locked_backup
    from firmware_app.core.state_dir import StateDir

    config = _load_config(options)
    state = StateDir(config.state.dir)
    state.prepare()
    code = locked_backup.make_recovery_code(state, new=options.new)
    if options.json:
        print(json.dumps({"code": code}))
    else:
        _say(config, N_("The recovery code is {code}"), code=code)
        _say(config, N_("Write it down, keep the paper away from the box. It is not shown again."))
    return _DONE


def _restore(options: argparse.Namespace) -> int:
    from firmware_app.appliance import locked_restore
    from firmware_app.core import run_status
    from firmware_app.core.console import ProgressLine
    from firmware_app.core.errors import AlreadyRunning
    from firmware_app.core.settings import DEFAULT_PATH
    from firmware_app.core.state_dir import StateDir

    config = _load_config(options)
    if any(
        run_status.is_running(StateDir(config.state.dir), name) for name in run_status.list_expected_processes(config)
    ):
        raise AlreadyRunning(state=str(config.state.dir))
    settings_at = None if options.keep_settings else options.config or DEFAULT_PATH
    locked_restore.require_restorable(StateDir(config.state.dir), options.folder)
    if settings_at is not None:
        _make_writable(settings_at)
    if sys.stdin.isatty():
        _say(config, N_("Type the recovery code from the paper:"))
    code = sys.stdin.readline()
    counter = ProgressLine("restored", not options.json)
    own = None if settings_at is None else config
    restored = locked_restore.restore_backup(
        StateDir(config.state.dir), options.folder, code, own=own, settings_at=settings_at, tell=counter
    )
    counter.clear()
    if options.json:
        print(json.dumps(asdict(restored), default=str))
    else:
        _tell(config, restored)
    return _DONE


def _make_writable(settings_at: Path) -> None:
    """Make the folder of the settings where there is none; raises `RESTORE_SETTINGS` where they cannot be written."""
    from firmware_app.cli.errors import RESTORE_SETTINGS

    folder = settings_at.parent
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise RESTORE_SETTINGS(path=str(folder), detail=error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK):
        raise RESTORE_SETTINGS(path=str(folder), detail=os.strerror(errno.EACCES))


def _tell(config: Config, restored: RestoreResult) -> None:
    language = printable_language(config.box.language)
    print(
        translate_plural(
            *NN_("Restored: the databases and {n} image.", "Restored: the databases and {n} images."),
            restored.images,
            language,
        )
    )
    if restored.damaged_sets:
        _say(
            config,
            N_("Damaged: {names}. The backup before it, {name}, was taken; what was entered since is lost."),
            names=", ".join(restored.damaged_sets),
            name=restored.set,
        )
    if restored.missing:
        print(
            translate_plural(
                *NN_(
                    "{n} image is missing in the backup or damaged there: its case has a reading and no picture.",
                    "{n} images are missing in the backup or damaged there: their cases have readings and no pictures.",
                ),
                restored.missing,
                language,
            )
        )
    if restored.packs:
        _say(config, N_("Models: {names}."), names=", ".join(restored.packs))
    if restored.broken_packs:
        names = ", ".join(restored.broken_packs)
        _say(config, N_("Models that are not whole in the backup; install them again: {names}."), names=names)
    if restored.settings is not None:
        _say(config, N_("The settings of the box {box} are taken, without its identity."), box=restored.settings.box)
        for path in restored.settings.missing:
            _say(config, N_("The settings name {path}, which no backup holds: put it there again."), path=str(path))
    _say(
        config,
        N_(
            "Now give the box its identity (“lantern provision”) and enrol it at the hospital with “--replace”: "
            "from then on the hospital refuses the old box."
        ),
    )


def _say(config: Config, sentence: str, **details: str) -> None:
    print(translate(sentence, printable_language(config.box.language)).format(**details))


def _load_config(options: argparse.Namespace) -> Config:
    from firmware_app.core.settings import load_config

    return load_config(options.config)
