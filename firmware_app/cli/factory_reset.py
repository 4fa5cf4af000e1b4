"""`lantern factory-reset`: deletes the box to its first start, and says what is gone and what is not."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_app.cli.terminal import Commands, add_command
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.appliance.factory_reset import ResetOutcome, ResetPlan
    from firmware_app.core.settings import Config
    from firmware_app.core.state_dir import StateDir

_DONE = 0
_STOP_S: Final = 180.0
_SYSTEMD: Final = Path("/run/systemd/system")  # sd_booted(3)
_Say = Callable[..., None]

_GOES: Final = N_(
    "This deletes for good, in {state}: every image and result, the accounts, the audit, the settings, the installed "
    "models, the box's keys, and the backups in the box."
)
_GOES_ELSEWHERE: Final = N_("The unencrypted backups in {path} are deleted too.")
_STAYS: Final = N_(
    "It does not delete what the hospital and the PACS have received, sticks, and the folder that the box watches."
)
_STAYS_LOCKED: Final = N_(
    "It does not delete the encrypted backups in {path}. The recovery code on paper opens them: destroy the paper or "
    "that folder if nobody is to read them again."
)
_STAYS_KEY: Final = N_(
    "It does not delete {path}, which the settings name and which lies outside of the box's folders."
)
_TYPE: Final = N_("Type the id of this box, {box}, to delete it: ")
_GOES_ON: Final = N_("A factory reset was begun before; it goes on.")
_GONE: Final = N_("The box is deleted. It starts as a new one, without identity.")
_VOLUME: Final = N_(
    "The key of the encrypted volume {device} is erased. Switch the machine off now: until then its memory holds the "
    "key."
)
_NOT_ENCRYPTED: Final = N_(
    "The disk is not encrypted: deleted files may be found with a laboratory's tools. Destroy the disk if that matters."
)
_BACKUP_LEFT: Final = N_("NOT deleted, for its disk is not there: the unencrypted backups in {path}. Erase that disk.")
_HOSPITAL: Final = N_("At the hospital, take the box off the list: lantern-hospital revoke {box}")


def add_to(commands: Commands) -> None:
    """Add `factory-reset` to the parser."""
    parser = add_command(
        commands,
        "factory-reset",
        _reset,
        "delete everything of this clinic and begin as a new box (root)",
        "lantern factory-reset",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask for the box's id")


def _reset(options: argparse.Namespace) -> int:
    from firmware_app.appliance import factory_reset
    from firmware_app.cli.errors import RESET_NEEDS_ROOT
    from firmware_app.core.settings import DEFAULT_PATH, load_config
    from firmware_app.core.state_dir import StateDir

    if os.geteuid() != 0:
        raise RESET_NEEDS_ROOT()
    config = load_config(options.config)
    state = StateDir(config.state.dir)
    say = _make_printer(config, options.json)
    path = options.config or DEFAULT_PATH
    plan = factory_reset.make_plan(config, path, state)
    if factory_reset.is_begun(state):
        say(_GOES_ON)
    else:
        _announce(plan, state, say)
        if not options.yes:
            _ask(plan.box, config)
        _stop(config, state)
    outcome = factory_reset.reset(config, path, state)
    if options.json:
        told = {**asdict(outcome), "kept": [{"code": reason.code, **reason.details} for reason in outcome.kept]}
        print(json.dumps(told, ensure_ascii=False))
    else:
        _tell(outcome, config, say)
    return _DONE


def _announce(plan: ResetPlan, state: StateDir, say: _Say) -> None:
    say(_GOES, state=str(state.root))
    if plan.backup:
        say(_GOES_ELSEWHERE, path=plan.backup)
    say(_STAYS)
    if plan.locked:
        say(_STAYS_LOCKED, path=plan.locked)
    for path in plan.elsewhere:
        say(_STAYS_KEY, path=path)


def _ask(box: str, config: Config) -> None:
    """Have a person type the box's id; raises `RESET_NOT_NAMED`."""
    from firmware_app.cli.errors import RESET_NOT_NAMED

    if sys.stdin.isatty():
        print(translate(_TYPE, printable_language(config.box.language)).format(box=box), end="", flush=True)
    if sys.stdin.readline().strip() != box:
        raise RESET_NOT_NAMED(box=box)


def _stop(config: Config, state: StateDir) -> None:
    """End the box; raises `AlreadyRunning` where a process of it does not end, or is not systemd's."""
    from firmware_app.core import programs, run_status
    from firmware_app.core.errors import AlreadyRunning
    from firmware_app.core.programs import ProgramFailed

    try:
        if _SYSTEMD.is_dir():
            programs.run_program("systemctl", "stop", "lantern.target", "lantern-*", seconds=_STOP_S)
    except ProgramFailed:
        raise AlreadyRunning(state=str(state.root)) from None
    if any(
        run_status.is_running(state, name)
        for name in {*run_status.list_expected_processes(config), *run_status.ALL_PROCESSES, "supervisor"}
    ):
        raise AlreadyRunning(state=str(state.root))


def _tell(outcome: ResetOutcome, config: Config, say: _Say) -> None:
    from firmware_app.appliance.provisioning_answers import UNPROVISIONED

    say(_GONE)
    if outcome.device:
        say(_VOLUME, device=outcome.device)
    elif not outcome.kept:
        say(_NOT_ENCRYPTED)
    for reason in outcome.kept:
        print(reason.text(printable_language(config.box.language)))
    if outcome.backup_left:
        say(_BACKUP_LEFT, path=str(outcome.plan.backup))
    if outcome.plan.locked:
        say(_STAYS_LOCKED, path=outcome.plan.locked)
    if outcome.plan.box != UNPROVISIONED:
        say(_HOSPITAL, box=outcome.plan.box)


def _make_printer(config: Config, quiet: bool) -> _Say:
    language = printable_language(config.box.language)

    def say(message: str, **values: str) -> None:
        if not quiet:
            print(translate(message, language).format(**values))

    return say
