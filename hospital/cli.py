"""The `lantern-hospital` command: parses, calls, prints.  Results go to stdout, logs to stderr.

Exit status: 0 done, 1 failed with a sentence, 2 wrong usage, 130 Ctrl-C, 141 the reader of stdout has closed the pipe.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import shlex
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from firmware_app import __version__
from firmware_app.core import console, notify, programs
from firmware_app.core.errors import PORT_TAKEN, LanternError
from firmware_app.uplink.messages.enrolment import enrolment_port
from firmware_app.uplink.messages.envelope import HospitalBundle
from hospital import list_commands, operator_commands, supervisor
from hospital.broker import format_box_acl
from hospital.errors import INBOX_DAMAGED, InboxUnwritten
from hospital.hospital_site import HospitalSite
from hospital.inbox import receiver_status
from hospital.inbox.receiver_status import InboxProblem

_DONE, _FAILED = 0, 1
_OPEN_PAGE: Final = (
    "hospital.page_open: The page has no log-in: whoever reaches {address} sees the boxes and their urgent cases, and "
    "may type codes. Leave out --page-host, and put a web server with a log-in in front (its name: --page-name)."
)
_BOX_CONFIG: Final = "/etc/lantern/lantern.toml"  # of an installed box


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point.  Every `LanternError` ends as one sentence on stderr and exit status 1."""
    return console.run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else None
    if options.json:
        console.use_json_encoding()
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("LANTERN_LOG", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        status: int = options.run(options)
    except LanternError as error:
        print(error, file=sys.stderr)
        return _FAILED
    except (sqlite3.Error, OSError) as error:
        why = receiver_status.explain_write_error(_site(options).inbox_db, error)
        if isinstance(error, OSError) and isinstance(why, InboxUnwritten):  # not of the disk: a pipe, a missing file
            raise
        print(why, file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return status


# --- commands -----------------------------------------------------------------------------------------------------


def _keys_new(options: argparse.Namespace) -> int:
    site = _site(options)
    bundle = site.set_up(options.host, options.port)
    if options.json:
        _print_json({"bundle": str(site.bundle_file), "fingerprint": bundle.fingerprint, "serial": bundle.serial})
        return _DONE
    print(f"The hospital's keys are made in {site.root}. Keep that folder secret, and keep a copy of it.")
    print(f"Give {site.bundle_file} to every box; its fingerprint is {bundle.fingerprint}.")
    where = ["--dir", str(options.dir.absolute())] if options.dir else []
    for words in (["broker", "--run"], ["serve"]):
        print(f"Start with  {shlex.join(['lantern-hospital', *words, *where])}")
    return _DONE


def _keys_rotate(options: argparse.Namespace) -> int:
    site = _site(options)
    bundle = site.rotate()
    if options.json:
        _print_json({"bundle": str(site.bundle_file), "fingerprint": bundle.fingerprint, "serial": bundle.serial})
    else:
        print(f"Sealing key number {bundle.serial} is in use; the one before is destroyed. “serve” tells every box.")
    return _DONE


def _keys_list(options: argparse.Namespace) -> int:
    from hospital import keyring

    site = _site(options)
    keys, bundle = keyring.load_keys(site.keys), site.load_bundle()
    rows = [{"key": key.hex(), "state": "retired"} for key in sorted(keys.retired)]
    rows.append({"key": keys.current.hex(), "state": "in use"})
    for row in rows:
        _print_json(row) if options.json else print(f"{row['key']}  {row['state']}")
    if not options.json:
        print(f"number {keys.serial}, bundle {bundle.fingerprint}")
    return _DONE


def _enrol(options: argparse.Namespace) -> int:
    site = _site(options)
    if options.csv is not None or options.new is not None:
        return _prepare(options, site)
    if options.code is not None:
        return list_commands.enrol_by_code(options, site)
    for bundle in options.bundle:
        _enrol_one(options, site, bundle)
    return _DONE


def _enrol_one(options: argparse.Namespace, site: HospitalSite, bundle: Path) -> None:
    box, written = site.enrol(bundle, replace=options.replace)
    lines = format_box_acl(box.box)
    if options.json:
        _print_json({"box": box.box, "fingerprint": box.fingerprint, "enrolment": str(written), "acl": lines})
        return
    print(f"Box {box.box} is enrolled. Compare its fingerprint with the box's own: {box.fingerprint}")
    print(f"Carry {written.absolute()} back to it. On the box, in the folder where that file is then:\n")
    print(f"  lantern provision --enrolment {written.name} --write {_BOX_CONFIG}")
    print("  systemctl restart lantern.target\n")
    print("The broker's ACL of “keys new” already covers it. An ACL of your own needs:\n")
    print(lines, end="")


def _prepare(options: argparse.Namespace, site: HospitalSite) -> int:
    """Files for boxes that will be enrolled when they are there."""
    from hospital import new_boxes

    wanted = [(1, dict(options.new))] if options.new is not None else new_boxes.read_box_list(options.csv)
    name = options.csv.name if options.csv is not None else "--new"
    out: Path = options.out or Path("boxes-to-be")
    made = new_boxes.write_provisioning_files(site, name, wanted, out, options.days)
    sheet = out / new_boxes.LABEL_SHEET
    for box in made if options.json else ():
        _print_json({"box": box.box, "file": str(box.file), "code": box.code, "kept": box.kept, "labels": str(sheet)})
    if not options.json:
        print(f"{len(made)} files are in {out}, {sum(box.kept for box in made)} of them as they were.")
        print(f"Print {sheet} and keep it like a key: it holds the code of every box. Put it on no stick.")
        print(
            f"Put the files *{new_boxes.SUFFIX} on a stick. The first page of each box asks for the code of its label;"
        )
        print("or at its console, with the folder of the stick:\n\n  lantern provision --file FOLDER --code CODE\n")
        print("A box that reaches the broker asks by itself: type the code of its label on the page, or here:\n")
        print(f"  {_format_enrol_command(options, '--code', 'CODE')}\n")
        print("Otherwise bring its box.json here, and enrol the box in the folder where it lies:\n")
        print(f"  {_format_enrol_command(options, 'box.json')}\n")
    return _DONE


def _format_enrol_command(options: argparse.Namespace, *by: str) -> str:
    """The command that enrols a box once it has its keys, by its label's code or its bundle."""
    where = ["--dir", str(options.dir.absolute())] if options.dir else []
    return shlex.join(["lantern-hospital", "enrol", *by, *where])


def _parse_days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError("give 1 to 3650 days")
    return int(text)


def _parse_pair(text: str) -> tuple[str, str]:
    """``clinic=清河卫生院``."""
    from hospital import new_boxes

    name, separator, value = text.partition("=")
    if not separator or name not in new_boxes.LIST_COLUMNS:
        raise argparse.ArgumentTypeError(f"give NAME=VALUE; the names are {', '.join(new_boxes.LIST_COLUMNS)}")
    return name, value


def _serve(options: argparse.Namespace) -> int:
    site = _site(options)
    bundle = site.load_bundle()
    if options.words is not None and not supervisor.is_watched():  # typed, not called by a program of its own
        return supervisor.supervise_serve(options.words)
    programs.end_with_supervisor(signal.SIGKILL)
    with site.hold_serving_lock():
        return _serve_alone(options, site, bundle)


def _serve_alone(options: argparse.Namespace, site: HospitalSite, bundle: HospitalBundle) -> int:
    from hospital.enrolment_listener import EnrolmentListener
    from hospital.receiver import Receiver

    stop, live = supervisor.StopSignal(), InboxProblem()
    operator_commands.prepare_to_serve(site, stop)
    receiver = Receiver(
        site,
        host=options.broker or bundle.host,
        port=options.broker_port or bundle.port,
        tls=not options.plain,
        live=live,
    )
    EnrolmentListener(site, options.broker or bundle.host, enrolment_port(options.broker_port or bundle.port)).start(
        stop
    )
    page = None if options.no_page else _serve_page(site, options, live)
    notify.ready("at work")

    def listening() -> None:
        if options.json:
            _print_json({"event": "listening", "page": page})
        else:
            print(f"Listening to the broker.{f' The page is at {page}' if page else ''}", flush=True)

    try:
        receiver.serve(stop, listening)
    except sqlite3.DatabaseError as error:  # the receiver itself waits for a locked or full one
        raise INBOX_DAMAGED(detail=str(error)) from None
    finally:
        stop.set()  # also for what runs beside the receiver
    return _DONE


def _serve_page(site: HospitalSite, options: argparse.Namespace, live: InboxProblem) -> str:
    from waitress.server import create_server

    from hospital.page.app import create_app

    app = create_app(site, timedelta(minutes=options.silent_minutes), options.page_name or None, live)
    try:
        listener = socket.create_server((options.page_host, options.page_port))
    except OSError:
        raise PORT_TAKEN(host=options.page_host, port=options.page_port) from None
    address = listener.getsockname()[0]
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        print(_OPEN_PAGE.format(address=address), file=sys.stderr)
    server = create_server(app, sockets=[listener], threads=4)
    thread = threading.Thread(target=server.run, name="page", daemon=True)
    thread.start()
    notify.depend_on(thread.is_alive)
    return f"http://{options.page_host}:{listener.getsockname()[1]}/"


def _open(options: argparse.Namespace) -> int:
    from hospital import sealed_cases

    case = sealed_cases.open_sealed_case(_site(options), options.file, options.out)
    if options.json:
        _print_json({"box": case.box, "folder": str(case.folder), "images": case.images})
    else:
        print(f"{case.images} images, sealed by box {case.box}, are in {case.folder}.")
    return _DONE


# --- parsing ------------------------------------------------------------------------------------------------------


def _site(options: argparse.Namespace) -> HospitalSite:
    """The hospital's folder; raises `KEYS_MISSING` where there is no hospital, unless the command makes one."""
    site = HospitalSite(options.dir if options.dir is not None else _default_folder())
    if not options.makes_hospital:
        site.require()
    return site


def _default_folder() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/lantern-hospital")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "lantern-hospital"


def _print_json(value: Mapping[str, object]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


_ENROLLING: Final = """\
Example: lantern-hospital enrol box.json
Example: lantern-hospital enrol --csv boxes.csv --out boxes-to-be
Example: lantern-hospital enrol --code 2345-6789-ABCD

The list names its columns in its first line. It may be a spreadsheet's CSV, in UTF-8 or GB18030:

  box,clinic,ae_title,calling
  clinic-7,清河卫生院,LANTERN,DX1;US1
  clinic-8,东山卫生院,LANTERN,

box            small letters, digits and hyphens; it stays for good
clinic         the clinic's name, as it stands on reports
language       zh_CN, en or another that the box has; default: zh_CN
zone           the time zone; default: Asia/Shanghai
ae_title       what the X-ray machine calls the box; default: LANTERN
calling        AE titles that may send, with ; between them; default: any
device         six digits of the one machine that it is for, as its own screen shows
               them (lantern-DIGITS.local); default: whichever the label's code opens

box and clinic must be there, the others may be left out. The columns pacs_host, pacs_port and
pacs_ae_title of an earlier list are accepted and not used.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lantern-hospital",
        description="Receives the sealed summaries of the boxes. Not for diagnostic use without a doctor.",
        epilog="Example: lantern-hospital keys new --host mqtt.hospital.example",
    )
    parser.add_argument("--version", action="version", version=f"lantern-hospital {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keys = commands.add_parser(
        "keys", help="make, rotate or list the keys", epilog="Example: lantern-hospital keys list"
    )
    of_keys = keys.add_subparsers(required=True, metavar="COMMAND")
    new = _command(
        of_keys,
        "new",
        _keys_new,
        "make the hospital's keys, certificates and broker files",
        "lantern-hospital keys new --host mqtt.hospital.example",
    )
    new.add_argument("--host", required=True, help="name or address under which boxes reach the broker")
    new.add_argument("--port", type=int, default=8883, help="default: 8883")
    new.set_defaults(makes_hospital=True)
    _command(of_keys, "rotate", _keys_rotate, "replace the sealing key", "lantern-hospital keys rotate")
    _command(of_keys, "list", _keys_list, "the sealing keys, old ones first", "lantern-hospital keys list")

    enrol = _command(
        commands,
        "enrol",
        _enrol,
        "admit a box: its bundle in, its certificate out",
        "lantern-hospital enrol clinic-7.box.json",
    )
    enrol.formatter_class = argparse.RawDescriptionHelpFormatter
    enrol.epilog = _ENROLLING
    which = enrol.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "bundle", type=Path, nargs="*", metavar="FILE", default=[], help="what “lantern provision” wrote"
    )
    which.add_argument("--csv", type=Path, metavar="FILE", help="make provisioning files for the boxes of a list")
    which.add_argument(
        "--new",
        type=_parse_pair,
        nargs="+",
        metavar="NAME=VALUE",
        help="make one, as in box=clinic-7 clinic=清河卫生院",
    )
    which.add_argument("--code", metavar="CODE", help="enrol the box that asks over the line: the code of its label")
    enrol.add_argument("--out", type=Path, metavar="DIR", help="where provisioning files go; default: boxes-to-be")
    enrol.add_argument(
        "--days", type=_parse_days, default=90, metavar="N", help="how long provisioning files hold; default: 90"
    )
    enrol.add_argument("--replace", action="store_true", help="a box of that id was lost or provisioned again")

    serve = _command(
        commands, "serve", _serve, "receive and count until Ctrl-C", "lantern-hospital serve --page-port 8090"
    )
    serve.add_argument("--broker", metavar="HOST", help="where this machine reaches the broker; default: as the boxes")
    serve.add_argument("--broker-port", type=int, metavar="PORT")
    serve.add_argument("--plain", action="store_true", help="no TLS; only for a broker on this very machine")
    serve.add_argument("--page-host", default="127.0.0.1", metavar="HOST", help="default: this machine only")
    serve.add_argument("--page-port", type=int, default=8090, metavar="PORT", help="0 takes any free port")
    serve.add_argument("--page-name", action="append", metavar="NAME", help="a host name the page answers to")
    serve.add_argument("--no-page", action="store_true")
    serve.add_argument("--silent-minutes", type=float, default=15, metavar="N", help="then a box counts as silent")

    opening = _command(
        commands,
        "open",
        _open,
        "open a case that a box sealed onto a stick",
        "lantern-hospital open c-1f2e3d4c5b6a79880716.lantern-sealed --out cases",
    )
    opening.add_argument("file", type=Path, metavar="FILE", help="what “lantern case export --stick” wrote")
    opening.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder is made in it")

    operator_commands.add_operator_commands(commands, _command, _site)
    list_commands.add_list_commands(commands, _command, _site)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, help_text: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", epilog=f"Example: {example}"
    )
    parser.set_defaults(run=run, makes_hospital=False)
    parser.add_argument("--dir", type=Path, help="the hospital's folder; default: /var/lib/lantern-hospital")
    parser.add_argument("--json", action="store_true", help="one JSON object per line on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
