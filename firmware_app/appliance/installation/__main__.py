"""`python3 -m firmware_app.appliance.installation install|install-hospital|uninstall`, as the Makefile calls it.

`configure` and `withdraw`, and the same for the hospital, are for the scripts of the Debian packages (systemd/debian).

It runs on the system's own Python with nothing installed.  A box whose source is gone is removed with
`/opt/lantern/venv/bin/python -m firmware_app.appliance.installation uninstall`.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from firmware_app.appliance.errors import REMOVAL_UNSURE
from firmware_app.appliance.installation import installer, uninstaller
from firmware_app.appliance.installation.product import BOX, HOSPITAL
from firmware_app.appliance.installation.programs import ProgramSource
from firmware_app.appliance.installation.target_system import TargetSystem, terminal_language
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, translate

# OpenVINO's wheels for ARM ask for a newer C library than some boards have.
EXTRAS = {"x86_64": "intel,tflite", "aarch64": "tflite"}
_PUT = {
    f"{verb}{product.verb}": (put, product)
    for verb, put in (("install", installer.install), ("configure", installer.configure))
    for product in (BOX, HOSPITAL)
}
_WITHDRAW = {f"withdraw{product.verb}": product for product in (BOX, HOSPITAL)}
_SURE = N_("Type “remove” to go on:")
_NOTHING_REMOVED = N_("Nothing was removed.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; every `LanternError` ends as one sentence on stderr and exit status 1."""
    options = _parser().parse_args(arguments)
    os.umask(0o022)
    machine = TargetSystem(Path(os.path.abspath(options.destdir or "/")))  # noqa: PTH100 - a link in it is meant
    try:
        if options.what in _PUT:
            wheels = options.wheels.resolve() if options.wheels else None
            put, product = _PUT[options.what]
            put(product, machine, ProgramSource(options.source.resolve(), wheels, options.extras))
            return 0
        if options.what in _WITHDRAW:
            uninstaller.withdraw(_WITHDRAW[options.what], machine)
            return 0
        return _uninstall(machine, uninstaller.parse_kept("" if options.purge else options.keep), sure=options.sure)
    except LanternError as error:
        print(error.text(terminal_language()), file=sys.stderr)
        return 1


def _uninstall(machine: TargetSystem, keep: set[str], *, sure: bool) -> int:
    lost = uninstaller.announce_removal(machine, keep)
    if lost and not sure:
        if not sys.stdin.isatty():
            raise REMOVAL_UNSURE()
        if _read_answer() != "remove":
            machine.print_message(_NOTHING_REMOVED)
            return 1
    uninstaller.uninstall(machine, keep)
    return 0


def _read_answer() -> str:
    """What the person typed; empty where the terminal is closed."""
    try:
        return input(f"{translate(_SURE, terminal_language())} ").strip()
    except (EOFError, KeyboardInterrupt, UnicodeDecodeError):
        print()
        return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m firmware_app.appliance.installation",
        description="Put Lantern on this machine, or take it away.",
    )
    parser.add_argument("--destdir", metavar="DIR", help="install into DIR, which is to become a machine's /")
    what = parser.add_subparsers(dest="what", required=True, metavar="install|install-hospital|uninstall|…")
    extras = EXTRAS.get(platform.machine(), "")
    for name, told in (
        ("install", "make this machine a box; done twice it changes nothing"),
        ("install-hospital", "make this machine a hospital's computer; done twice it changes nothing"),
        ("configure", "what dpkg leaves to do when it has unpacked the package"),
        ("configure-hospital", "the same for the hospital's package"),
    ):
        install = what.add_parser(name, help=told)
        install.add_argument("--source", type=Path, metavar="DIR", default=Path(), help="the unpacked Lantern")
        install.add_argument(
            "--wheels", type=Path, metavar="DIR", help="take everything from DIR, nothing from the internet"
        )
        install.add_argument("--extras", default=extras, help=f"of the programs; here: {extras or 'none'}")
    what.add_parser("withdraw", help="what is to be done before dpkg removes the package")
    what.add_parser("withdraw-hospital", help="the same for the hospital's package")
    uninstall = what.add_parser("uninstall", help="take the box away")
    uninstall.add_argument("--keep", default="state,config", metavar="WORDS", help="default: state,config")
    uninstall.add_argument("--purge", action="store_true", help="keep nothing")
    uninstall.add_argument("--sure", action="store_true", help="do not ask before anything goes for good")
    return parser


if __name__ == "__main__":
    sys.exit(main())
