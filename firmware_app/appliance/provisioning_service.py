"""Root's side of the first page, and of the hospital's answer that the uplink has put down.

    python -m firmware_app.appliance.provisioning_service [--config FILE] [--restart]     what
    `lantern-provision.service` runs

The viewer's user cannot write `/etc/lantern`. Root checks every answer again, and gives a box that has an identity
neither another one nor another hospital.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from firmware_app.appliance import box_identity, first_start, provisioning_file, provisioning_request, uplink_enrolment
from firmware_app.appliance.errors import PROVISIONED_ALREADY, START_NEEDED, RequestUnusable
from firmware_app.appliance.first_start import IdentityPaths, ProvisioningResult
from firmware_app.appliance.provisioning_answers import UNPROVISIONED, Answers
from firmware_app.appliance.provisioning_file import HospitalProof
from firmware_app.appliance.provisioning_request import FirstRequest, FirstResult
from firmware_app.core import clock, key_files, programs, requests
from firmware_app.core.errors import LanternError
from firmware_app.core.key_files import Tpm
from firmware_app.core.language import N_, register
from firmware_app.core.programs import ProgramFailed
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir, clear_away
from firmware_app.uplink.messages.envelope import HospitalBundle
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import decode

DONE: Final = register("provision.done", N_("This box is now {box}. It starts again by itself; that takes a minute."))
ENROLLED: Final = register(
    "provision.enrolled", N_("The hospital has enrolled this box, {box}, over the line. It starts again by itself.")
)
_RESTART_S: Final = 10.0


def answer_request(
    config: Config, places: IdentityPaths, chip: Callable[[], Tpm | None] = lambda: None
) -> FirstResult | None:
    """Carry out the request, write its result and remove it; None when there is no request that can be used."""
    path = provisioning_request.request_path(places.state)
    request = requests.read_message(path, FirstRequest)
    if request is None:
        clear_away(path)
        return None
    try:
        given = _carry_out(request, config, places, chip())
        made = _result(request.request, given, asks=places.state.enrol_call.exists())
    except LanternError as error:
        made = FirstResult(request=request.request, reason=Reason.from_error(error))
    try:
        provisioning_request.write_result(places.state, made)
    finally:  # a request that stays starts root again and again; another click has brought another one
        if requests.read_message(path, FirstRequest) == request:
            clear_away(path)
    return made


def _carry_out(request: FirstRequest, config: Config, places: IdentityPaths, chip: Tpm | None) -> ProvisioningResult:
    if not request.answers:
        offered = provisioning_file.find_offer(places.state, request.code)
        named = offered.content.hospital
        _refuse_provisioned(Answers.from_provisioning(offered.content), named, config, places)
        given = provisioning_file.apply_file(offered, config, places, HospitalProof(code=request.code), chip)
        uplink_enrolment.request_enrolment(places.state, request.code, named.host, named.port)
        return given
    answers, hospital = Answers.from_text(request.answers), parse_hospital(request.hospital)
    broker = uplink_enrolment.parse_broker(request.line) if request.line else None
    _refuse_provisioned(answers, hospital, config, places)
    given = first_start.apply_answers(answers, hospital, config, places, chip)
    if broker is not None:
        uplink_enrolment.request_enrolment(places.state, request.code, *broker)
    return given


def _refuse_provisioned(
    answers: Answers, hospital: HospitalBundle | None, config: Config, places: IdentityPaths
) -> None:
    """A box with an identity refuses every request but a repeat of the one before a power cut."""
    here = first_start.read_box_id(config, places)
    fresh = config.box.id == UNPROVISIONED and here in (None, answers.box)
    if not fresh and not first_start.has_answers(answers, hospital, config, places):
        raise PROVISIONED_ALREADY(box=str(here), folder=str(places.keys))


def parse_hospital(text: str) -> HospitalBundle | None:
    """The hospital's bundle as text that may be broken into lines; None for none.  Raises `RequestUnusable`."""
    if not text.strip():
        return None
    try:
        hospital = decode("".join(text.splitlines()).strip().encode("ascii"), HospitalBundle)
        parse_seal_key(hospital.seal)
    except (LanternError, UnicodeEncodeError) as error:
        detail = error.code if isinstance(error, LanternError) else "hospital.json"
        raise RequestUnusable(detail=detail) from None
    return hospital


def _result(number: str, given: ProvisioningResult, *, asks: bool) -> FirstResult:
    return FirstResult(
        request=number,
        reason=Reason(DONE, {"box": given.made.box}),
        box=given.made.box,
        bundle=box_identity.format_text(given.made),
        fingerprint=given.made.fingerprint,
        hospital=given.hospital.fingerprint if given.hospital else "",
        undone=given.undone,
        asks=asks,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `lantern-provision.service`: 0 done or nothing asked, 1 refused with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m firmware_app.appliance.provisioning_service")
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--restart", action="store_true", help="have systemd start the box again when it is done")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        clock.start_clock(StateDir(config.state.dir), "console")
        places = IdentityPaths.from_config(config, options.config)
        kept = first_start.load_file_settings(options.config, config)
        box = uplink_enrolment.take_answer(kept, places)
        outcome = None if box else answer_request(kept, places, key_files.find_tpm)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # the answer itself cannot be written
        print(RequestUnusable(detail=error.strerror or str(error)), file=sys.stderr)
        return 1
    if outcome is not None:
        print(outcome.text("en"), flush=True)
        if outcome.reason.code != DONE:
            return 1
    elif box is None:
        return 0
    else:
        print(Reason(ENROLLED, {"box": box}).text("en"), flush=True)
    return _start_again(places.state, outcome) if options.restart else 0


def _start_again(state: StateDir, outcome: FirstResult | None) -> int:
    try:
        programs.run_program("systemctl", "--no-block", "restart", "lantern.target", seconds=_RESTART_S)
    except ProgramFailed as error:
        needed = START_NEEDED(detail=str(error))
        print(needed, file=sys.stderr)
        if outcome is not None:
            with suppress(OSError):
                told = outcome.model_copy(update={"undone": (*outcome.undone, Reason.from_error(needed))})
                provisioning_request.write_result(state, told)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
