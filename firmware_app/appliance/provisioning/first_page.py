"""Root's side of the first page: the viewer's user cannot write `/etc/lantern`, so it asks by a file (`first_request`).

    python -m firmware_app.appliance.provisioning.first_page [--config FILE] [--restart]     what
    `lantern-provision.service` runs

The same service takes the hospital's answer that the uplink has put down (`enrolment`).

Root believes nothing of a request: it takes only one that nobody but the viewer can have written, checks every answer
again, and gives a box that has an identity neither another one nor another hospital.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from firmware_app.appliance.provisioning import (
    box_identity,
    enrolment,
    first_request,
    first_start,
    offered_files,
    signed_file,
)
from firmware_app.appliance.provisioning.answers import UNPROVISIONED, Answers
from firmware_app.appliance.provisioning.first_request import FirstRequest, FirstResult
from firmware_app.appliance.provisioning.first_start import IdentityPaths, Provisioned
from firmware_app.appliance.provisioning.signed_file import Proof
from firmware_app.core import system_program, tpm
from firmware_app.core.clock import timekeeping
from firmware_app.core.errors import LanternError, ProvisionedAlready, RequestUnusable, StartNeeded
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, load
from firmware_app.core.state_dir import StateDir
from firmware_app.core.system_program import ProgramFailed
from firmware_app.core.tpm import Chip
from firmware_app.uplink.messages.envelope import HospitalBundle
from firmware_app.uplink.messages.keys import seal_key
from firmware_app.uplink.messages.summary import decode

DONE: Final = register("provision.done", N_("This box is now {box}. It starts again by itself; that takes a minute."))
ENROLLED: Final = register(
    "provision.enrolled", N_("The hospital has enrolled this box, {box}, over the line. It starts again by itself.")
)
_RESTART_S: Final = 10.0


def answer(config: Config, places: IdentityPaths, chip: Callable[[], Chip | None] = lambda: None) -> FirstResult | None:
    """Carry out the request, write its result and remove it; None when there is no request."""
    if not first_request.waits(places.state):
        return None
    number, heard = "", None
    try:
        heard = first_request.heard(places.state)
        request = heard.request()
        number = request.request
        if not request.file:  # a file is signed, and who put it there does not matter
            heard.require_viewer()
        given = _done(request, config, places, chip())
        made = replace(_result(number, given), asks=places.state.enrol_call.exists())
    except LanternError as error:
        made = FirstResult(number, Reason.of(error))
    try:
        first_request.tell(places.state, made)
    finally:  # a request that stays wakes root again and again
        first_request.forget(places.state, heard)
    return made


def _done(request: FirstRequest, config: Config, places: IdentityPaths, chip: Chip | None) -> Provisioned:
    if request.file:
        counts = signed_file.counting(places)
        offered = offered_files.offer(places.state, request.file, request.code, counts)
        _refuse_provisioned(Answers.of_file(offered.content), offered.content.hospital, config, places)
        proof = Proof(code=request.code) if request.code else None
        given = signed_file.take(offered, config, places, proof, chip)
        if request.code:
            named = offered.content.hospital
            enrolment.ask(places.state, request.code, named.host, named.port)
        return given
    answers, hospital = Answers.checked(request.answers), hospital_in(request.hospital)
    broker = enrolment.broker_in(request.line) if request.line else None
    _refuse_provisioned(answers, hospital, config, places)
    given = first_start.apply(answers, hospital, config, places, chip)
    if broker is not None:
        enrolment.ask(places.state, request.code, *broker)
    return given


def _refuse_provisioned(
    answers: Answers, hospital: HospitalBundle | None, config: Config, places: IdentityPaths
) -> None:
    """A box with an identity refuses every request but a repeat of the one before a power cut."""
    here = first_start.own_id(config, places)
    fresh = config.box.id == UNPROVISIONED and here in (None, answers.box)
    if not fresh and not first_start.is_told(answers, hospital, config, places):
        raise ProvisionedAlready(box=str(here), folder=str(places.keys))


def hospital_in(text: str) -> HospitalBundle | None:
    """The hospital's bundle as text that may be broken into lines; None for none.  Raises `RequestUnusable`."""
    if not text.strip():
        return None
    try:
        hospital = decode("".join(text.splitlines()).strip().encode("ascii"), HospitalBundle)
        seal_key(hospital.seal)
    except (LanternError, UnicodeEncodeError) as error:
        detail = error.code if isinstance(error, LanternError) else "hospital.json"
        raise RequestUnusable(detail=detail) from None
    return hospital


def _result(number: str, given: Provisioned) -> FirstResult:
    return FirstResult(
        number,
        Reason(DONE, {"box": given.made.box}),
        given.made.box,
        box_identity.printed(given.made),
        given.made.fingerprint,
        given.hospital.fingerprint if given.hospital else "",
        given.undone,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `lantern-provision.service`: 0 done or nothing asked, 1 refused with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m firmware_app.appliance.provisioning.first_page")
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--restart", action="store_true", help="have systemd start the box again when it is done")
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
        timekeeping.begin(StateDir(config.state.dir), "console")
        places = IdentityPaths.of(config, options.config)
        kept = first_start.on_file(options.config, config)
        box = enrolment.take(kept, places)
        outcome = None if box else answer(kept, places, tpm.chip)
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
        system_program.run("systemctl", "--no-block", "restart", "lantern.target", seconds=_RESTART_S)
    except ProgramFailed as error:
        needed = StartNeeded(detail=str(error))
        print(needed, file=sys.stderr)
        if outcome is not None:
            with suppress(OSError):
                first_request.tell(state, replace(outcome, undone=(*outcome.undone, Reason.of(needed))))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
