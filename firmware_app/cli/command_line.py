"""The `lantern` command: parses, calls, prints.  Results go to stdout, logs and progress to stderr.

Exit status: 0 done, 1 failed with a sentence, 2 wrong usage, 3 something could not be judged or was refused,
130 Ctrl-C, 141 the reader of stdout (as in `| head`) has gone.
Imports happen inside each command, so that `lantern --help` and a C-ECHO after start are quick.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_app.cli import (
    calibration,
    case_earlier,
    case_export,
    case_report,
    case_send,
    clock,
    factory_reset,
    health,
    pack,
    provision,
    read,
    restore,
    software,
    terminal,
    user,
    watch,
    worklist,
)
from firmware_app.cli.read import NOT_DIAGNOSTIC as NOT_DIAGNOSTIC
from firmware_app.core import console, process
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, escape_controls, printable_language, translate
from firmware_app.core.version import version

if TYPE_CHECKING:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core.records import Case
    from firmware_app.core.settings import Config

_DONE, _FAILED, _INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point.  Every `LanternError` ends as one sentence on stderr and exit status 1."""
    return console.run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = argparse.Namespace(config=None, json=False)
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # so far, as `__main__` has it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _parser().parse_args(arguments, options)
        if options.json:
            console.use_json_encoding()
        logging.basicConfig(
            stream=sys.stderr,
            level=_log_level(os.environ.get("LANTERN_LOG", "INFO")),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        status: int = options.run(options)
    except LanternError as error:
        terminal.print_error(error, options)
        return _FAILED
    except sqlite3.Error as error:
        terminal.print_error(terminal.explain_store_error(error, options), options)
        return _FAILED
    except OSError as error:
        terminal.print_error(terminal.explain_state_error(error, options), options)
        return _FAILED
    except KeyboardInterrupt:
        print(
            translate(N_("Stopped."), printable_language(terminal.output_language(options), sys.stderr)),
            file=sys.stderr,
        )
        return _INTERRUPTED
    return status


def _log_level(name: str) -> int:
    """The level by *name*; INFO for an unknown one, because too much in the log is better than nothing."""
    return logging.getLevelNamesMapping().get(name.upper(), logging.INFO)


# --- commands -----------------------------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    with process.without_garbage_collection():
        from firmware_app.appliance import supervisor

        config = _config(options)
    if options.only == "viewer":
        supervisor.become_viewer(options.config)
    if options.only:
        return supervisor.run_process(options.only, config)

    def tell(event: supervisor.Event) -> None:
        if options.json:
            _print_json(dict(event))
        elif event["event"] == "ready":
            where = f", listening on port {event['port']}" if event.get("port") else ""
            print(f"{event['process']} is ready{where}", flush=True)

    if not options.json and sys.stdout.isatty():
        _tell_first_code(config)
    if not options.json:
        print(f"Lantern {version()}, state in {config.state.dir}. {NOT_DIAGNOSTIC} Ctrl-C stops it.", flush=True)
    return supervisor.supervise(config, options.config, tell)


def _tell_first_code(config: Config) -> None:
    """While there is no account, show the one-time code on the console; never in a log."""
    code = user.open_accounts(config).first_claim()
    if code:
        where = f"http://<this box>:{config.viewer.port}/claim"
        print(f"Open {where} and make the first account with the code {code}", flush=True)


def _config_check(options: argparse.Namespace) -> int:
    from firmware_app.core import config_check
    from firmware_app.core.settings import load_config_with_source

    config, source = load_config_with_source(options.config)
    findings = config_check.check_config(config, source)
    if options.json:
        told = [
            {"code": one.code, "key": one.key, "place": one.place, "text": one.text(config.box.language)}
            for one in findings
        ]
        _print_json({"valid": not findings, "findings": told})
        return _FAILED if findings else _DONE
    for finding in findings:
        print(escape_controls(f"{finding.code}: {finding.text(printable_language(config.box.language))}"))
    if findings:
        return _FAILED
    sentence = N_("The configuration is valid; the box's state is in {folder}.")
    print(translate(sentence, printable_language(config.box.language)).format(folder=config.state.dir))
    return _DONE


def _config_show(options: argparse.Namespace) -> int:
    from firmware_app.core.settings import describe_config

    config = _config(options)
    if options.json:
        _print_json(config.model_dump(mode="json"))
    else:
        print(describe_config(config), end="")
    return _DONE


def _case_list(options: argparse.Namespace) -> int:
    from firmware_app.results import case_text

    config = _config(options)
    clinical = _clinical(config)
    cases = list(clinical.cases())
    homeless = clinical.unassigned_files()
    if not options.json and (cases or homeless):
        print(case_text.format_heading())
    for case in [*cases, *([homeless] if homeless else [])]:
        if options.json:
            _print_case(case, config, as_json=True)
        else:
            print(case_text.format_row(case, printable_language(config.box.language)))
    if not options.json and not cases and not homeless:
        print(
            translate(
                N_("There is no case yet. Send an image to the box, or try “lantern read FILE”."),
                printable_language(config.box.language),
            )
        )
    return _DONE


def _case_show(options: argparse.Namespace) -> int:
    config = _config(options)
    _print_case(_clinical(config).case(options.case), config, as_json=options.json)
    return _DONE


def _audit_verify(options: argparse.Namespace) -> int:
    from firmware_app.cases.audit import Audit

    config = _config(options)
    audit = Audit(_clinical(config).database)
    whole, sentence = audit.verify(options.expect)
    if options.json:
        head = audit.head()
        _print_json(
            {
                "whole": whole,
                "code": sentence.code,
                "text": sentence.text(config.box.language),
                "head": str(head),
                **sentence.details,
            }
        )
    else:
        print(sentence.text(printable_language(config.box.language)))
    return _DONE if whole else _FAILED


# --- printing -----------------------------------------------------------------------------------------------------


def _print_json(value: Mapping[str, object]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _print_case(case: Case, config: Config, *, as_json: bool) -> None:
    from firmware_app.results import case_json, case_text

    if as_json:
        _print_json(case_json.case_to_json(case, config.box.language))
    else:
        print(case_text.format_page(case, printable_language(config.box.language)), flush=True)


# --- parsing ------------------------------------------------------------------------------------------------------


def _entry_hash(text: str) -> str:
    """A head of the audit as `audit verify` prints it (``SEQUENCE:HASH``) or as the hospital shows it (``HASH``)."""
    digest = text.rpartition(":")[2]
    if re.fullmatch(r"[0-9a-f]{64}", digest) is None:
        raise argparse.ArgumentTypeError("give the 64 characters of a head's hash")
    return digest


def _config(options: argparse.Namespace) -> Config:
    from firmware_app.core.settings import load_config

    return load_config(options.config)


def _clinical(config: Config) -> ClinicalDatabase:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core import clock as clock_module
    from firmware_app.core.state_dir import StateDir

    state = StateDir(config.state.dir)
    clock_module.start_clock(state, "console", writes=False)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    return clinical


class _TellVersion(argparse.Action):
    """Computes the version only when it is asked for: in a checkout that runs git."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"lantern {version()}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lantern",
        description=f"A box that reads images where there is no radiologist. {NOT_DIAGNOSTIC}",
        epilog="Example: lantern read film.dcm --json",
    )
    parser.add_argument("--version", action=_TellVersion, nargs=0, help="print the version and the commit, and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = _command(commands, "serve", _serve, "run the box until Ctrl-C", "lantern serve --config clinic.toml")
    processes = ("gateway", "reader", "viewer", "uplink", "sender")
    serve.add_argument("--only", choices=processes, help="run one process, as systemd does")

    read.add_to(commands, _command)
    watch.add_to(commands, _command)

    health.add_to(commands, _command)
    provision.add_to(commands, _command)

    config = commands.add_parser(
        "config", help="check or show the configuration", epilog="Example: lantern config check --config clinic.toml"
    )
    config_commands = config.add_subparsers(required=True, metavar="COMMAND")
    _command(
        config_commands,
        "check",
        _config_check,
        "check whether the configuration can be used",
        "lantern config check --config clinic.toml",
    )
    _command(config_commands, "show", _config_show, "every key with its value and what it means", "lantern config show")

    case = commands.add_parser(
        "case",
        help="list, show, report, send or export cases; earlier studies",
        epilog="Example: lantern case list --json",
    )
    case_commands = case.add_subparsers(required=True, metavar="COMMAND")
    _command(case_commands, "list", _case_list, "every case, the most urgent first", "lantern case list --json")
    show = _command(
        case_commands, "show", _case_show, "one case with all its readings", "lantern case show c-1f2e3d4c5b6a79880716"
    )
    show.add_argument("case", metavar="CASE", help="its reference, as `lantern case list` prints it")
    case_report.add_to(case_commands, _command)
    case_export.add_to(case_commands, _command)
    case_send.add_to(case_commands, _command)
    case_earlier.add_to(case_commands, _command)
    audit = commands.add_parser("audit", help="check the audit", epilog="Example: lantern audit verify")
    audit_commands = audit.add_subparsers(required=True, metavar="COMMAND")
    verify = _command(
        audit_commands,
        "verify",
        _audit_verify,
        "check that the audit is complete, or name its first bad entry",
        "lantern audit verify --json",
    )
    verify.add_argument(
        "--expect", type=_entry_hash, metavar="HASH", help="a head that the hospital knows; the audit must have it"
    )

    pack.add_to(commands, _command)
    software.add_to(commands, _command)
    calibration.add_to(commands, _command)
    user.add_to(commands, _command)
    clock.add_to(commands, _command)
    worklist.add_to(commands, _command)
    restore.add_to(commands, _command)
    factory_reset.add_to(commands, _command)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, help_text: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", epilog=f"Example: {example}"
    )
    parser.set_defaults(run=run)
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--json", action="store_true", help="one JSON object per line on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
