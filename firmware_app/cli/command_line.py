"""The `lantern` command: parses, calls, prints.  Results go to stdout, logs and progress to stderr.

Exit status: 0 done, 1 failed with a sentence, 2 wrong usage, 3 something could not be judged or was refused,
130 Ctrl-C, 141 the reader of stdout (as in `| head`) has gone.
Imports happen inside each command, so that `lantern --help` and a C-ECHO after start are quick.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from firmware_app.cli import (
    calibration,
    case,
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
from firmware_app.cli.terminal import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_DIAGNOSTIC,
    Commands,
    add_command,
    add_group,
    open_clinical,
    print_json,
    read_config,
    say,
)
from firmware_app.core import console, process
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, escape_controls, printable_language, translate
from firmware_app.core.version import version

if TYPE_CHECKING:
    from firmware_app.core.settings import Config

_VERBS: Final = (
    read,
    watch,
    health,
    provision,
    case,
    pack,
    software,
    calibration,
    user,
    clock,
    worklist,
    restore,
    factory_reset,
)


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
        return FAILED
    except sqlite3.Error as error:
        terminal.print_error(terminal.explain_store_error(error, options), options)
        return FAILED
    except OSError as error:
        terminal.print_error(terminal.explain_state_error(error, options), options)
        return FAILED
    except KeyboardInterrupt:
        print(
            translate(N_("Stopped."), printable_language(terminal.output_language(options), sys.stderr)),
            file=sys.stderr,
        )
        return INTERRUPTED
    return status


def _log_level(name: str) -> int:
    """The level by *name*; INFO for an unknown one, because too much in the log is better than nothing."""
    return logging.getLevelNamesMapping().get(name.upper(), logging.INFO)


# --- commands -----------------------------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    with process.without_garbage_collection():
        from firmware_app.appliance import supervisor

        config = read_config(options)
    if options.only == "viewer":
        supervisor.exec_viewer(options.config)
    if options.only:
        return supervisor.run_process(options.only, config)

    def tell(event: supervisor.Event) -> None:
        if options.json:
            print_json(dict(event))
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
    code = user.open_accounts(config).create_first_claim()
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
            {
                "code": config_finding.code,
                "key": config_finding.key,
                "place": config_finding.place,
                "text": config_finding.text(config.box.language),
            }
            for config_finding in findings
        ]
        print_json({"valid": not findings, "findings": told})
        return FAILED if findings else DONE
    for finding in findings:
        print(escape_controls(f"{finding.code}: {finding.text(printable_language(config.box.language))}"))
    if findings:
        return FAILED
    say(config, N_("The configuration is valid; the box's state is in {folder}."), folder=config.state.dir)
    return DONE


def _config_show(options: argparse.Namespace) -> int:
    from firmware_app.core.settings import describe_config

    config = read_config(options)
    if options.json:
        print_json(config.model_dump(mode="json"))
    else:
        print(describe_config(config), end="")
    return DONE


def _audit_verify(options: argparse.Namespace) -> int:
    from firmware_app.cases.audit import Audit

    config = read_config(options)
    with open_clinical(config) as clinical:
        audit = Audit(clinical.database)
        whole, sentence = audit.verify(options.expect)
        head = audit.read_head()
    if options.json:
        print_json(
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
    return DONE if whole else FAILED


# --- parsing ------------------------------------------------------------------------------------------------------


def _entry_hash(text: str) -> str:
    """A head of the audit as `audit verify` prints it (``SEQUENCE:HASH``) or as the hospital shows it (``HASH``)."""
    digest = text.rpartition(":")[2]
    if re.fullmatch(r"[0-9a-f]{64}", digest) is None:
        raise argparse.ArgumentTypeError("give the 64 characters of a head's hash")
    return digest


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

    serve = add_command(commands, "serve", _serve, "run the box until Ctrl-C", "lantern serve --config clinic.toml")
    processes = ("gateway", "reader", "viewer", "uplink", "sender")
    serve.add_argument("--only", choices=processes, help="run one process, as systemd does")
    for verb in _VERBS:
        verb.add_to(commands)
    _add_config(commands)
    _add_audit(commands)
    return parser


def _add_config(commands: Commands) -> None:
    below = add_group(
        commands, "config", "check or show the configuration", "lantern config check --config clinic.toml"
    )
    add_command(
        below,
        "check",
        _config_check,
        "check whether the configuration can be used",
        "lantern config check --config clinic.toml",
    )
    add_command(below, "show", _config_show, "every key with its value and what it means", "lantern config show")


def _add_audit(commands: Commands) -> None:
    below = add_group(commands, "audit", "check the audit", "lantern audit verify")
    verify = add_command(
        below,
        "verify",
        _audit_verify,
        "check that the audit is complete, or name its first bad entry",
        "lantern audit verify --json",
    )
    verify.add_argument(
        "--expect", type=_entry_hash, metavar="HASH", help="a head that the hospital knows; the audit must have it"
    )


if __name__ == "__main__":
    sys.exit(main())
