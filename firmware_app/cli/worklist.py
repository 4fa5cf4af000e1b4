"""`lantern worklist`: registered patients, whom the imaging machines are told, from the box's own console.

As in `lantern calibration`, whoever registers or cancels names an account of the viewer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware_app.cli import user
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.cases.registrations import Registration, Registrations
    from firmware_app.core.settings import Config

_DONE = 0
_MOST = 1000
_Run = Callable[[argparse.Namespace], int]
_Parser = argparse.ArgumentParser
Command = Callable[["argparse._SubParsersAction[_Parser]", str, _Run, str, str], _Parser]


def add_to(commands: argparse._SubParsersAction[_Parser], command: Command) -> None:
    """Add `worklist` with its commands to the parser; *command* makes one as the rest of `lantern` does."""
    worklist = commands.add_parser(
        "worklist",
        help="registered patients, whom the imaging machines are told",
        epilog="Example: lantern worklist list --json",
    )
    below = worklist.add_subparsers(required=True, metavar="COMMAND")
    command(below, "list", _list, "every registered patient, the newest first", "lantern worklist list --json")
    add = command(
        below,
        "add",
        _add,
        "register a patient for an examination",
        "lantern worklist add --id 11010519491231002X --name 王小明 --examination chest --account li",
    )
    add.add_argument("--id", required=True, metavar="NUMBER", help="the patient's number, or the ID card's")
    add.add_argument("--name", required=True, metavar="NAME", help="as it is written: 王小明")
    add.add_argument("--spelled", default="", metavar="PINYIN", help="family name first; default: from the name")
    add.add_argument("--birth-date", default="", metavar="DATE", help="1958-07-31; an ID card's number has it")
    add.add_argument("--age", default="", metavar="AGE", help="45Y, 18M, 3W or 5D, where nobody knows the birth date")
    add.add_argument("--sex", choices=("M", "F", "O", ""), default="", help="an ID card's number has it")
    add.add_argument("--examination", required=True, metavar="CODE", help="chest, abdomen, breast_us, …")
    add.add_argument("--same-person", action="store_true", help="the number was registered with other data before")
    cancel = command(
        below, "cancel", _cancel, "take an entry off the list", "lantern worklist cancel L2K7M9QX4T --account li"
    )
    cancel.add_argument("accession", metavar="ACCESSION", help="its number, as `lantern worklist list` prints it")
    for parser in (add, cancel):
        parser.add_argument("--account", required=True, metavar="NAME", help="the account of the person who does it")


def _list(options: argparse.Namespace) -> int:
    config, registrations, close = _open(options)
    entries = registrations.latest(_MOST)
    for entry in entries:
        _print(entry, config, as_json=options.json)
    if not entries and not options.json:
        _say(config, N_("Nobody is registered yet. Register a patient on the page “Registration” of the viewer."))
    close()
    return _DONE


def _add(options: argparse.Namespace) -> int:
    from firmware_app.cases.registration_entry import check_registration
    from firmware_app.core import clock

    config, registrations, close = _open(options)
    person = user.find_account(options.account, config)
    form = {
        "patient_id": options.id,
        "name": options.name,
        "spelled": options.spelled,
        "birth_date": options.birth_date,
        "age": options.age,
        "sex": options.sex,
        "examination": options.examination,
    }
    new = check_registration(form, clock.now().astimezone())
    _print(registrations.add(new, person.shown, same_person=options.same_person), config, as_json=options.json)
    close()
    return _DONE


def _cancel(options: argparse.Namespace) -> int:
    config, registrations, close = _open(options)
    registrations.cancel(options.accession, user.find_account(options.account, config).shown)
    _print(registrations.entry(options.accession), config, as_json=options.json)
    close()
    return _DONE


def _open(options: argparse.Namespace) -> tuple[Config, Registrations, Callable[[], None]]:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.cases.registrations import Registrations
    from firmware_app.core import clock as clock_module
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir

    config = load_config(options.config)
    state = StateDir(config.state.dir)
    clock_module.start_clock(state, "console", writes=False)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    return config, Registrations(clinical.database), clinical.database.close


def _print(entry: Registration, config: Config, *, as_json: bool) -> None:
    from firmware_app.dicom.worklist import EXAMINATIONS

    one = entry.registered
    state = "cancelled" if entry.cancelled else "imaged" if entry.case is not None else "waiting"
    if as_json:
        values = {name: getattr(one, name) for name in type(one).__slots__}
        print(json.dumps({**values, "state": state, "case": entry.case, "actor": entry.actor}, ensure_ascii=False))
        return
    examination = EXAMINATIONS[one.examination].text(printable_language(config.box.language))
    when = f"{one.scheduled[:4]}-{one.scheduled[4:6]}-{one.scheduled[6:8]} {one.scheduled[8:10]}:{one.scheduled[10:12]}"
    print(f"{one.accession}  {when}  {state:<10}{one.patient_id}  {one.name}  {one.age}  {one.sex}  {examination}")


def _say(config: Config, sentence: str) -> None:
    print(translate(sentence, printable_language(config.box.language)))
