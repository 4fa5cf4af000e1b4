"""`lantern provision`: give the box its identity, by questions at the console, or from carried files.

lantern provision                                              questions at the console, in Chinese or English
lantern provision --file FOLDER                                the hospital's file, and the code on the label
lantern provision --id clinic-7 --hospital hospital.json       the keys alone, then …
lantern provision --enrolment FILE --write lantern.toml        … the hospital's answer
lantern provision --line HOST --code CODE                      ask over the line to be enrolled, by the label's code
lantern provision --label FILE                                 the label of this box, to print
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_app.appliance.errors import ANSWERS_UNWRITABLE, NOT_PROVISIONED, ProvisioningUndecided, TrustNeeded
from firmware_app.cli.errors import CONSOLE_NEEDED
from firmware_app.cli.terminal import Commands, add_command
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.appliance.first_start import IdentityPaths, ProvisioningResult
    from firmware_app.core.key_files import Tpm
    from firmware_app.core.settings import Config
    from firmware_app.uplink.messages.envelope import BoxBundle


_DONE, _FAILED = 0, 1
_ENROL: Final = "lantern-hospital enrol box.json"
_RESTART: Final = "systemctl restart lantern.target"
_IS_NOW: Final = N_("This box is now {box}; its configuration is in {config}.")
_BRING: Final = N_("Bring {bundle}, or the text or QR code above, to the hospital. It enrols the box with: {command}")
_THEN: Final = N_("With the file that the hospital gives back: {command}")
_KEYS_ARE: Final = N_("This is box {box}; its keys are made, and nothing else is written yet.")
_COMPARE: Final = N_("Compare both fingerprints by telephone.")
_ENROLLED: Final = N_("The hospital has enrolled this box, {box}.")
_WRITTEN: Final = N_("{config} is written. Start the box again: {command}")
_TO_WRITE: Final = N_("This belongs into its configuration:")
_NO_ROOM: Final = N_("This screen is too small for the QR code of {bundle}; on a larger one, ask again.")
_NO_CERTIFICATE: Final = N_("This box has no certificate yet, so its label has no fingerprint. Print it again later.")
_OWN: Final = N_("Fingerprint of this box: {fingerprint}")
_THEIRS: Final = N_("Fingerprint of the hospital: {fingerprint}")
_FIRST: Final = N_("Open {address} and make the first account with the code {code}")
_SEALED: Final = N_("The box's keys are sealed by this machine's security chip (TPM).")
_LABEL_CODE: Final = N_("Code on the label")
_ASKS: Final = N_("Or nothing is carried: this box asks over the line, and the hospital types the code of its label.")
_HAS_CERTIFICATE: Final = N_("The hospital has enrolled this box already; it asks for nothing.")
_LEFT: Final = N_("Nothing was written.")


def add_to(commands: Commands) -> None:
    """Add `provision` to the parser."""
    parser = add_command(
        commands,
        "provision",
        _provision,
        "give the box its identity and the hospital it reports to",
        "lantern provision",
    )
    step = parser.add_mutually_exclusive_group()
    step.add_argument("--file", type=Path, metavar="FILE", help="a provisioning file, or the folder that holds it")
    step.add_argument("--hospital", type=Path, metavar="FILE", help="first step: the hospital's public bundle")
    step.add_argument("--enrolment", type=Path, metavar="FILE", help="last step: the hospital's answer")
    step.add_argument(
        "--label", type=Path, metavar="FILE", help="write the label of this box there, as a page to print"
    )
    step.add_argument("--line", metavar="HOST[:PORT]", help="ask the broker there to be enrolled; with --code")
    parser.add_argument("--id", metavar="NAME", help="the box's id, for example clinic-7")
    parser.add_argument("--code", metavar="CODE", help="with --file or --line: the code on the box's label")
    parser.add_argument("--fingerprint", metavar="DIGITS", help="with --file: the hospital's, compared by telephone")
    parser.add_argument("--keys", type=Path, metavar="DIR", help="where the keys lie; default: line/ of the state")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the configuration that is written")
    parser.add_argument("--no-tpm", action="store_true", help="do not use the machine's security chip (TPM)")


def _provision(options: argparse.Namespace) -> int:
    from firmware_app.appliance.first_start import IdentityPaths
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir

    config = load_config(_find_source(options))
    clock.start_clock(StateDir(config.state.dir), "console")
    places = IdentityPaths.from_config(config, options.write or options.config, options.keys)
    try:
        return _select_step(options)(options, config, places)
    except EOFError:  # Ctrl-D at a question; all of them are asked before anything is written
        print(f"\n{translate(_LEFT, printable_language(config.box.language, sys.stderr))}", file=sys.stderr)
        return _FAILED


def _find_source(options: argparse.Namespace) -> Path | None:
    """The present configuration file: its settings are kept in the one that is written."""
    written: Path | None = options.write if options.write and options.write.exists() else None
    return options.config or written


def _select_step(options: argparse.Namespace) -> Callable[[argparse.Namespace, Config, IdentityPaths], int]:
    if options.file is not None:
        return _provision_by_file
    if options.hospital is not None:
        return _keys
    if options.enrolment is not None:
        return _complete
    if options.line is not None:
        return _ask_over_uplink
    if options.label is not None:
        return _label
    return _provision_by_dialogue


# --- a talk, a file ---------------------------------------------------------------------------------------------------


def _provision_by_dialogue(options: argparse.Namespace, config: Config, places: IdentityPaths) -> int:
    from dataclasses import replace

    from firmware_app.appliance import box_identity, first_start, network_name, provisioning_dialogue
    from firmware_app.appliance.provisioning_answers import Answers

    if options.json or not sys.stdin.isatty():
        raise CONSOLE_NEEDED()
    _require_writable(places.config, places.keys)
    kept = first_start.load_file_settings(_find_source(options), config)
    own = first_start.read_box_id(kept, places)
    default = replace(
        Answers.from_config(kept, network_name.read_hardware_name(), own or options.id), language=config.box.language
    )
    known = box_identity.load_hospital(places.keys)
    agreed = provisioning_dialogue.ask_answers(input, print, default, known, fixed=own is not None)
    if agreed is None:
        return _FAILED
    # The dialogue has asked whether the box changes its hospital.
    given = first_start.apply_answers(agreed.answers, agreed.hospital, kept, places, _find_chip(options), another=True)
    _print_result(options, given, places, first_start.offer_first_code(places, agreed.code), agreed.answers.language)
    return _DONE


def _provision_by_file(options: argparse.Namespace, config: Config, places: IdentityPaths) -> int:
    from firmware_app.appliance import first_start, provisioning_file, uplink_enrolment
    from firmware_app.appliance.provisioning_file import HospitalProof

    _require_writable(places.config, places.keys)
    proof, kept = (
        HospitalProof(options.code, options.fingerprint),
        first_start.load_file_settings(_find_source(options), config),
    )
    box = options.id or first_start.read_box_id(kept, places)
    known = provisioning_file.load_known_hospital(places)
    try:
        offer = provisioning_file.find_file(options.file, box, proof, known)
        provisioning_file.check_file(offer, kept, places, proof)
    except (ProvisioningUndecided, TrustNeeded):
        if proof.code is not None or not sys.stdin.isatty():
            raise
        proof = HospitalProof(_ask_label_code(config.box.language))
        offer = provisioning_file.find_file(options.file, box, proof, known)
    given = provisioning_file.apply_file(offer, kept, places, proof, _find_chip(options))
    code = first_start.offer_first_code(places, proof.code) if given.changed or proof.code else None
    language = _choose_language(config, offer.content.language)
    asks = False
    if proof.code and given.hospital is not None and options.keys is None:
        asks = uplink_enrolment.request_enrolment(places.state, proof.code, given.hospital.host, given.hospital.port)
    if options.json:
        _print_given(given, places, code, language)
    else:
        _print_result(options, given, places, code, language)
        if asks:
            _make_printer(language)(_ASKS)
    return _DONE


def _choose_language(config: Config, of_the_file: str) -> str:
    """The language that the file gives the box, unless the person at the console asks for another."""
    return config.box.language if "LANTERN_BOX__LANGUAGE" in os.environ else of_the_file


def _ask_label_code(language: str) -> str:
    return getpass.getpass(f"{translate(_LABEL_CODE, printable_language(language))}: ")


def _find_chip(options: argparse.Namespace) -> Tpm | None:
    from firmware_app.core import key_files

    return None if options.no_tpm else key_files.find_tpm()


def _require_writable(*wanted_places: Path) -> None:
    """Check that the places can be written, before a person answers ten questions."""
    for wanted in wanted_places:
        there = next(folder for folder in wanted.parents if folder.exists())
        if not os.access(there, os.W_OK):
            raise ANSWERS_UNWRITABLE(path=str(wanted), detail=os.strerror(13))


def _make_printer(language: str) -> Callable[..., None]:
    spoken = printable_language(language)

    def say(message: str, **values: str) -> None:
        print(translate(message, spoken).format(**values))

    return say


def _print_result(
    options: argparse.Namespace, given: ProvisioningResult, places: IdentityPaths, code: str | None, language: str
) -> None:
    from firmware_app.appliance import network_name

    say = _make_printer(language)
    bundle = str(places.keys / "box.json")
    _show_bundle(given.made, bundle, language)
    say(_IS_NOW, box=given.made.box, config=str(places.config))
    say(_OWN, fingerprint=given.made.fingerprint)
    if given.hospital is not None:
        say(_THEIRS, fingerprint=given.hospital.fingerprint)
    if given.hospital is not None and not given.config.uplink.enabled:
        say(_COMPARE)
        say(_BRING, bundle=bundle, command=_ENROL)
        say(_THEN, command=_format_completion_command(options, places))
    if given.sealed:
        say(_SEALED)
    if code is not None:
        say(_FIRST, address=network_name.make_page_address(given.config), code=code)
    for reason in given.undone:
        print(reason.text(printable_language(language, sys.stderr)), file=sys.stderr)


def _show_bundle(made: BoxBundle, bundle: str, language: str) -> None:
    """Print the box's public bundle for the hospital: as a QR code where the screen has room, and as text."""
    from firmware_app.appliance import box_identity

    drawn = box_identity.format_qr(made)
    lines = drawn.splitlines()
    room = shutil.get_terminal_size()
    if not sys.stdout.isatty() or (len(lines) < room.lines and max(map(len, lines)) <= room.columns):
        print(drawn)
    else:
        print(f"{translate(_NO_ROOM, printable_language(language)).format(bundle=bundle)}\n")
    print(f"{box_identity.format_text(made)}\n")


def _format_completion_command(options: argparse.Namespace, places: IdentityPaths) -> str:
    """The command to run when the hospital has answered."""
    keys = ["--keys", str(options.keys.absolute())] if options.keys else []
    return shlex.join(["lantern", "provision", "--enrolment", "FILE", *keys, "--write", str(places.config.absolute())])


def _print_given(given: ProvisioningResult, places: IdentityPaths, code: str | None, language: str) -> None:
    _print_json(
        {
            **_describe_bundle(given.made, places),
            "hospital": given.hospital.fingerprint if given.hospital else None,
            "config": str(places.config),
            "code": code,
            "changed": given.changed,
            "sealed": given.sealed,
            "undone": [{"code": reason.code, "text": reason.text(language)} for reason in given.undone],
        }
    )


def _describe_bundle(made: BoxBundle, places: IdentityPaths) -> dict[str, object]:
    return {"box": made.box, "bundle": str(places.keys / "box.json"), "fingerprint": made.fingerprint}


# --- step by step -----------------------------------------------------------------------------------------------------


def _keys(options: argparse.Namespace, config: Config, places: IdentityPaths) -> int:
    from firmware_app.appliance import box_identity

    _require_writable(places.keys)
    made, hospital = box_identity.begin_identity(
        places.keys, options.id or config.box.id, options.hospital, _find_chip(options)
    )
    if options.json:
        _print_json({**_describe_bundle(made, places), "hospital": hospital.fingerprint})
        return _DONE
    say, written = _make_printer(config.box.language), str(places.keys / "box.json")
    _show_bundle(made, written, config.box.language)
    say(_KEYS_ARE, box=made.box)
    say(_OWN, fingerprint=made.fingerprint)
    say(_THEIRS, fingerprint=hospital.fingerprint)
    say(_COMPARE)
    say(_BRING, bundle=written, command=_ENROL)
    say(_THEN, command=_format_completion_command(options, places))
    return _DONE


def _complete(options: argparse.Namespace, config: Config, places: IdentityPaths) -> int:
    from firmware_app.appliance import box_identity, first_start
    from firmware_app.core.settings import Config as Checked
    from firmware_app.core.settings import describe_config
    from firmware_app.core.state_dir import sync_directory, write_atomically

    _require_writable(places.keys, *([options.write] if options.write else []))
    kept = first_start.load_file_settings(_find_source(options), config)
    box = box_identity.complete_identity(places.keys, options.enrolment)
    settings = box_identity.make_settings(places.keys)
    if options.write:
        tree = kept.model_dump()
        for section, values in settings.items():
            tree[section].update(values)
        write_atomically(options.write, describe_config(Checked.model_validate(tree)).encode("utf-8"), 0o644)
        sync_directory(options.write.absolute().parent)
    if options.json:
        _print_json({"box": box, "settings": settings})
        return _DONE
    say = _make_printer(config.box.language)
    say(_ENROLLED, box=box)
    if options.write:
        say(_WRITTEN, config=str(options.write), command=_RESTART)
    else:
        say(_TO_WRITE)
        from firmware_app.core.settings import to_toml

        print(f"\n{to_toml(settings)}", end="")
    return _DONE


def _ask_over_uplink(options: argparse.Namespace, config: Config, places: IdentityPaths) -> int:
    """Ask over the line, for a box that has its keys."""
    from firmware_app.appliance import uplink_enrolment

    _require_writable(places.state.line_keys)
    host, port = uplink_enrolment.parse_broker(options.line)
    if options.code is None and not sys.stdin.isatty():
        raise CONSOLE_NEEDED()
    asks = uplink_enrolment.request_enrolment(
        places.state, options.code or _ask_label_code(config.box.language), host, port
    )
    if options.json:
        _print_json({"asks": asks, "broker": f"{host}:{port}"})
    else:
        _make_printer(config.box.language)(_ASKS if asks else _HAS_CERTIFICATE)
    return _DONE


def _label(options: argparse.Namespace, config: Config, places: IdentityPaths) -> int:
    from firmware_app.appliance import box_label, certificate_authority, first_start, network_name

    box = first_start.read_box_id(config, places)
    if box is None:
        raise NOT_PROVISIONED(folder=str(places.keys))
    address = f"https://{network_name.make_mdns_host(box)}.local/"
    fingerprint = certificate_authority.read_authority_fingerprint(places.state)
    drawn = box_label.make_label(box, config.box.name, address, fingerprint, config.box.language)
    try:
        options.label.write_text(drawn, "utf-8")
    except OSError as error:
        raise ANSWERS_UNWRITABLE(path=str(options.label), detail=error.strerror or str(error)) from None
    if options.json:
        _print_json({"box": box, "label": str(options.label), "address": address, "fingerprint": fingerprint})
        return _DONE
    print(options.label)
    if fingerprint is None:
        print(translate(_NO_CERTIFICATE, printable_language(config.box.language, sys.stderr)), file=sys.stderr)
    return _DONE


def _print_json(value: dict[str, object]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)
