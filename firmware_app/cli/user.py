"""`lantern user`: accounts of the viewer, from the box's own console.

No password is ever typed here: a command prints a one-time code, and the person chooses the password in the browser.
What is done is audited under the name "console".
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from firmware_app.cli.terminal import DONE, FAILED, Commands, add_command, add_group, print_json, read_config, say
from firmware_app.core.language import N_

if TYPE_CHECKING:
    from firmware_app.cases.accounts import Accounts, User
    from firmware_app.core.settings import Config

_ROLES: Final = ("doctor", "technician", "auditor")


def open_accounts(config: Config) -> Accounts:
    """The accounts database of the box, made when it is not there yet."""
    from firmware_app.appliance import rescue
    from firmware_app.cases.accounts import Accounts
    from firmware_app.core import clock
    from firmware_app.core.state_dir import StateDir

    state = StateDir(config.state.dir)
    state.prepare()
    clock.start_clock(state, "console")
    rescue.rescue_database(state, state.accounts_db)  # perhaps no process runs yet that would repair it
    database = Accounts(state.accounts_db)
    database.create()
    return database


def find_account(name: str, config: Config) -> User:
    """The account in use that a person names; raises `ACCOUNT_UNKNOWN`."""
    from firmware_app.cases.errors import ACCOUNT_UNKNOWN

    found = open_accounts(config).find(name)
    if found is None or found.disabled:
        raise ACCOUNT_UNKNOWN()
    return found


def add_to(commands: Commands) -> None:
    """Add `user` with its commands to the parser."""
    below = add_group(commands, "user", "accounts of the viewer", "lantern user claim")
    add_command(below, "list", _list, "every account with its role", "lantern user list --json")
    add_command(below, "claim", _claim, "a one-time code for making the first account", "lantern user claim")
    add = add_command(
        below, "add", _add, "make an account and print its one-time code", "lantern user add li --role doctor"
    )
    add.add_argument("--role", choices=_ROLES, default="doctor", help="default: doctor")
    passwd = add_command(
        below, "passwd", _passwd, "a one-time code for choosing a new password", "lantern user passwd li"
    )
    disable = add_command(below, "disable", _disable, "keep an account out from now on", "lantern user disable li")
    for parser in (add, passwd, disable):
        parser.add_argument("name", metavar="NAME", help="of the account")


def _list(options: argparse.Namespace) -> int:
    config = read_config(options)
    users = open_accounts(config).list_users()
    for user in users:
        state = "disabled" if user.disabled else "in use" if user.has_password else "waits for its code"
        if options.json:
            print_json({"name": user.shown, "role": user.role.value, "state": state})
        else:
            print(f"{user.shown:<24}{user.role.value:<12}{state}")
    if not users and not options.json:
        say(config, N_("There is no account yet. “lantern user claim” prints the code for the first one."))
    return DONE


def _claim(options: argparse.Namespace) -> int:
    config = read_config(options)
    code = open_accounts(config).create_first_claim()
    if code is None:
        say(config, N_("There is an account already. “lantern user add NAME” makes another."))
        return FAILED
    _audit(config, "claim.issued")
    _print_code(options, config, code)
    return DONE


def _add(options: argparse.Namespace) -> int:
    from firmware_app.cases.accounts import Role

    config = read_config(options)
    code = open_accounts(config).add(options.name, Role(options.role))
    _audit(config, "user.added", account=options.name, role=options.role)
    _print_code(options, config, code)
    return DONE


def _passwd(options: argparse.Namespace) -> int:
    config = read_config(options)
    code = open_accounts(config).reset_password(options.name)
    _audit(config, "user.renewed", account=options.name)
    _print_code(options, config, code)
    return DONE


def _disable(options: argparse.Namespace) -> int:
    config = read_config(options)
    open_accounts(config).disable(options.name)
    _audit(config, "user.disabled", account=options.name)
    if not options.json:
        say(config, N_("The account is disabled and its sessions have ended."))
    return DONE


def _print_code(options: argparse.Namespace, config: Config, code: str) -> None:
    if options.json:
        print_json({"code": code})
    else:
        say(config, N_("{code}   (valid once, for 72 hours; open the viewer and choose “I have a code”)"), code=code)


def _audit(config: Config, action: str, **details: str) -> None:
    from firmware_app.cases.audit import CONSOLE, Audit
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core.state_dir import StateDir

    clinical = ClinicalDatabase(StateDir(config.state.dir).clinical_db)
    clinical.create()
    Audit(clinical.database).record(CONSOLE, action, **details)
    clinical.database.close()
