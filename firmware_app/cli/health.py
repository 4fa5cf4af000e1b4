"""`lantern status`, `lantern doctor` and `lantern selftest`: the state of the box, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from firmware_app.cli.terminal import Commands, add_command, print_json
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.appliance.checks.check import Check
    from firmware_app.core.settings import Config

_DONE, _FAILED = 0, 1


def add_to(commands: Commands) -> None:
    """Add the three to the parser."""
    status = add_command(
        commands, "status", _status, "which processes run, their ports, and the queue", "lantern status --json"
    )
    status.add_argument("--qr", action="store_true", help="also a QR code with which a phone learns to trust the page")
    doctor = add_command(commands, "doctor", _doctor, "examine the box and say what to do", "lantern doctor")
    doctor.add_argument("--no-dial", action="store_true", help="ask no archive (PACS): tell what the sender found")
    add_command(
        commands,
        "selftest",
        _selftest,
        "test every part of the box at its real work, and keep the result",
        "lantern selftest",
    )


def _status(options: argparse.Namespace) -> int:
    from firmware_app.appliance import doctor
    from firmware_app.core import clock
    from firmware_app.core.state_dir import StateDir

    config = _load_config(options)
    clock.start_clock(StateDir(config.state.dir), "console", writes=False)
    status = doctor.collect_status(config)
    if options.json:
        print_json(status)
    else:
        print(doctor.format_status(status))
    if options.qr:
        _print_card(options)
    return _DONE if status["running"] else _FAILED


def _print_card(options: argparse.Namespace) -> None:
    from firmware_app.appliance import tls_front
    from firmware_app.core.state_dir import StateDir

    config = _load_config(options)
    without = translate(N_("The page has no certificate here."), printable_language(config.box.language, sys.stderr))
    print(tls_front.format_page_card(config, StateDir(config.state.dir)) or without, file=sys.stderr)


def _doctor(options: argparse.Namespace) -> int:
    from firmware_app.appliance import doctor
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config_with_source
    from firmware_app.core.state_dir import StateDir

    config, source = load_config_with_source(options.config)
    clock.start_clock(StateDir(config.state.dir), "console", writes=False)
    checks = doctor.run_checks(config, source, dials=not options.no_dial)
    for check in checks:
        if options.json:
            print_json({**_to_object(check, config), "at": check.at, "case": check.case})
        else:
            about = "".join(f"{fact}  " for fact in (check.at, check.case) if fact)
            print(
                f"{check.result:<5}{check.name:<12}{about}{check.reason.text(printable_language(config.box.language))}"
            )
    return _FAILED if any(check.result == "fail" for check in checks) else _DONE


def _selftest(options: argparse.Namespace) -> int:
    from firmware_app.appliance import selftest
    from firmware_app.core import clock, console
    from firmware_app.core.state_dir import StateDir

    config = _load_config(options)
    clock.start_clock(StateDir(config.state.dir), "care")
    with console.show_progress("tested") as advance:
        checks = selftest.run_selftest(config, advance)
    for check in checks:
        if options.json:
            print_json(_to_object(check, config))
        else:
            print(f"{check.result:<5}{check.name:<12}{check.reason.text(printable_language(config.box.language))}")
    return _FAILED if any(check.result == "fail" for check in checks) else _DONE


def _to_object(check: Check, config: Config) -> dict[str, object]:
    from firmware_app.appliance.checks import list_check_names
    from firmware_app.core.language import LANGUAGES

    name = list_check_names().get(check.name, check.name)
    return {
        "check": check.name,
        "result": check.result,
        "code": check.reason.code,
        "text": check.reason.text(config.box.language),
        "titles": {language: translate(name, language) for language in LANGUAGES},
        "texts": {language: check.reason.text(language) for language in LANGUAGES},
    }


def _load_config(options: argparse.Namespace) -> Config:
    from firmware_app.core.settings import load_config

    return load_config(options.config)
