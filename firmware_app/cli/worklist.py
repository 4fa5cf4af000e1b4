"""`lantern worklist`: registered patients, whom the imaging machines are told, from the box's own console.

As in `lantern calibration`, whoever registers or cancels names an account of the viewer.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from firmware_app.cli import user
from firmware_app.cli.terminal import (
    DONE,
    Commands,
    add_command,
    add_group,
    open_clinical,
    print_json,
    read_config,
    say,
)
from firmware_app.core.language import N_, printable_language

if TYPE_CHECKING:
    from firmware_app.cases.registrations import Registration
    from firmware_app.core.settings import Config

_MOST = 1000


def add_to(commands: Commands) -> None:
    """Add `worklist` with its commands to the parser."""
    below = add_group(
        commands, "worklist", "registered patients, whom the imaging machines are told", "lantern worklist list --json"
    )
    add_command(below, "list", _list, "every registered patient, the newest first", "lantern worklist list --json")
    add = add_command(
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
    cancel = add_command(
        below, "cancel", _cancel, "take an entry off the list", "lantern worklist cancel L2K7M9QX4T --account li"
    )
    cancel.add_argument("accession", metavar="ACCESSION", help="its number, as `lantern worklist list` prints it")
    for parser in (add, cancel):
        parser.add_argument("--account", required=True, metavar="NAME", help="the account of the person who does it")


def _list(options: argparse.Namespace) -> int:
    from firmware_app.cases.registrations import Registrations

    config = read_config(options)
    with open_clinical(config) as clinical:
        entries = Registrations(clinical.database).list_latest(_MOST)
    for entry in entries:
        _print(entry, config, as_json=options.json)
    if not entries and not options.json:
        say(config, N_("Nobody is registered yet. Register a patient on the page “Registration” of the viewer."))
    return DONE


def _add(options: argparse.Namespace) -> int:
    from firmware_app.cases.registration_entry import check_registration
    from firmware_app.cases.registrations import Registrations
    from firmware_app.core import clock

    config = read_config(options)
    form = {
        "patient_id": options.id,
        "name": options.name,
        "spelled": options.spelled,
        "birth_date": options.birth_date,
        "age": options.age,
        "sex": options.sex,
        "examination": options.examination,
    }
    with open_clinical(config) as clinical:
        person = user.find_account(options.account, config).shown
        new = check_registration(form, clock.now().astimezone())
        entry = Registrations(clinical.database).add(new, person, same_person=options.same_person)
    _print(entry, config, as_json=options.json)
    return DONE


def _cancel(options: argparse.Namespace) -> int:
    from firmware_app.cases.registrations import Registrations

    config = read_config(options)
    with open_clinical(config) as clinical:
        registrations = Registrations(clinical.database)
        registrations.cancel(options.accession, user.find_account(options.account, config).shown)
        entry = registrations.require_entry(options.accession)
    _print(entry, config, as_json=options.json)
    return DONE


def _print(entry: Registration, config: Config, *, as_json: bool) -> None:
    from firmware_app.dicom.worklist import EXAMINATIONS

    one = entry.registered
    state = "cancelled" if entry.cancelled else "imaged" if entry.case is not None else "waiting"
    if as_json:
        values = {name: getattr(one, name) for name in type(one).__slots__}
        print_json({**values, "state": state, "case": entry.case, "actor": entry.actor})
        return
    examination = EXAMINATIONS[one.examination].text(printable_language(config.box.language))
    when = f"{one.scheduled[:4]}-{one.scheduled[4:6]}-{one.scheduled[6:8]} {one.scheduled[8:10]}:{one.scheduled[10:12]}"
    print(f"{one.accession}  {when}  {state:<10}{one.patient_id}  {one.name}  {one.age}  {one.sex}  {examination}")
