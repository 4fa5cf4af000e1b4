"""`lantern clock`: the box's time and why it trusts it, and how a person confirms it."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firmware_app.cli.terminal import Commands, add_command
from firmware_app.core.language import printable_language

if TYPE_CHECKING:
    from firmware_app.core.settings import Config

_DONE = 0


def add_to(commands: Commands) -> None:
    """Add `clock` with its commands to the parser."""
    parser = commands.add_parser("clock", help="the box's time", epilog="Example: lantern clock show")
    below = parser.add_subparsers(required=True, metavar="COMMAND")
    add_command(below, "show", _show, "the time, and where the box has it from", "lantern clock show --json")
    set_ = add_command(
        below, "set", _set, "confirm the machine's clock, or set the box's time", 'lantern clock set "2026-11-21 11:15"'
    )
    set_.add_argument(
        "time",
        nargs="?",
        metavar="TIME",
        help="in the box's time zone unless it names one; default: the machine's clock",
    )
    set_.add_argument("--back", action="store_true", help="allow a time before one that a confirmed clock has shown")


def _show(options: argparse.Namespace) -> int:
    from firmware_app.core import clock as clock_module
    from firmware_app.core.state_dir import StateDir

    config = _load_config(options)
    clock_module.start_clock(StateDir(config.state.dir), "console", writes=False)
    _tell(options, config)
    return _DONE


def _set(options: argparse.Namespace) -> int:
    from firmware_app.core import clock
    from firmware_app.core import clock as clock_module
    from firmware_app.core.state_dir import StateDir

    config = _load_config(options)
    state = StateDir(config.state.dir)
    state.prepare()
    clock_module.start_clock(state, "console")
    moment = datetime.now(UTC) if options.time is None else parse_time(options.time)
    before = clock.stamp()
    confirm_time(moment, back=options.back)
    _audit_change(config, before)
    _tell(options, config)
    return _DONE


def parse_time(text: str) -> datetime:
    """The moment in *text*, in the machine's time zone unless it names one; raises `TIME_UNCLEAR`."""
    from firmware_app.cli.errors import TIME_UNCLEAR

    try:
        if ":" not in text:  # a date alone would mean midnight
            raise ValueError(text)
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise TIME_UNCLEAR(given=text[:40]) from None


def confirm_time(moment: datetime, *, back: bool = False) -> None:
    """Set the time to a person's *moment*.  Raises `TIME_OUT_OF_RANGE` and, unless *back*, `TIME_GOES_BACK`."""
    from firmware_app.cli.errors import TIME_GOES_BACK, TIME_OUT_OF_RANGE
    from firmware_app.core import clock
    from firmware_app.core.clock import SLACK_S, ImplausibleTime, TimeSource
    from firmware_app.core.clock_memory import EARLIEST, LATEST

    certain = clock.current_clock().memory().find_earliest()
    if EARLIEST <= moment.timestamp() < certain - SLACK_S and not back:
        raise TIME_GOES_BACK(given=_format_minute(moment), certain=_format_minute(datetime.fromtimestamp(certain, UTC)))
    try:
        clock.current_clock().learn(moment.timestamp(), TimeSource.PERSON)
    except ImplausibleTime:
        bounds = [f"{datetime.fromtimestamp(one, UTC):%Y-%m-%d}" for one in (EARLIEST, LATEST)]
        raise TIME_OUT_OF_RANGE(given=_format_minute(moment), earliest=bounds[0], latest=bounds[1]) from None


def _format_minute(moment: datetime) -> str:
    from firmware_app.core.clock import Stamp

    return Stamp(moment, trusted=True).minute


def _audit_change(config: Config, before: object) -> None:
    from firmware_app.cases.audit import CONSOLE, Audit
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core.clock import Stamp
    from firmware_app.core.state_dir import StateDir

    assert isinstance(before, Stamp)
    clinical = ClinicalDatabase(StateDir(config.state.dir).clinical_db)
    clinical.create()
    Audit(clinical.database).record(CONSOLE, "clock.set", before=before.text("seconds"))
    clinical.database.close()


def _tell(options: argparse.Namespace, config: Config) -> None:
    from firmware_app.appliance.checks import system_clock
    from firmware_app.core import clock

    if options.json:
        print(json.dumps(system_clock.status()))
    else:
        print(system_clock.describe_clock(clock.current_clock().status()).text(printable_language(config.box.language)))


def _load_config(options: argparse.Namespace) -> Config:
    from firmware_app.core.settings import load_config

    return load_config(options.config)
