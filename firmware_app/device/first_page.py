"""What the first page asks for, and who does it: the viewer's user cannot write `/etc/lantern`, so it asks root.

    provision/request.json    written by the viewer; the path unit `lantern-provision.path` wakes up for it
    provision/result.json     written by root: what became of it
    provision/offered/        provisioning files that the importer found on a stick, one for each box

    python -m firmware_app.device.first_page [--config FILE] [--restart]      what `lantern-provision.service` runs

Root believes nothing of a request: it takes only one that the viewer's own user wrote, checks every answer again, and
gives a box that has an identity neither another one nor another hospital.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from firmware_app.config import Config, load
from firmware_app.device import first_start, provision, provisioning_file, sealing
from firmware_app.device.answers import UNPROVISIONED, Answers
from firmware_app.device.files import write_whole
from firmware_app.device.first_start import Given, Places
from firmware_app.device.provisioning_file import SUFFIX, Offer, Proof
from firmware_app.device.sealing import Chip
from firmware_app.errors import LanternError, ProvisionedAlready, ProvisioningElsewhere, RequestUnusable
from firmware_app.language import N_, register
from firmware_app.records import Reason
from firmware_app.store import timekeeping
from firmware_app.store.layout import StateDir, sync_directory
from firmware_app.uplink.envelope import HospitalBundle, seal_key
from firmware_app.uplink.form import MOST_BYTES
from firmware_app.uplink.summary import BOX_ID, decode

DONE: Final = register("provision.done", N_("This box is now {box}. It starts again by itself; that takes a minute."))
OFFERED: Final = register(
    "provision.offered",
    N_("A provisioning file for {box} was found. Open the box's page and give the code of its label."),
)
ASKED: Final = register("provision.asked", N_("A provisioning file for {box} was found; the box takes it now."))
VIEWER: Final = "lantern-viewer"
MOST_REQUEST: Final = 64 * 1024
_MOST_OFFERED: Final = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """What the first page asks: answers with a hospital's bundle (or none), or an offered file and its label's code."""

    answers: dict[str, str] = field(default_factory=dict)
    hospital: str = ""
    file: str = ""
    code: str = ""
    request: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a request."""

    request: str
    reason: Reason
    box: str = ""
    bundle: str = ""
    fingerprint: str = ""
    hospital: str = ""


# --- the viewer's and the importer's side -----------------------------------------------------------------------------


def open_to_all(config: Config, state: StateDir) -> bool:
    """Whether this is an installed box without an identity, whose first page may be shown."""
    return config.box.id == UNPROVISIONED and state.provision.is_dir()


def ask(state: StateDir, request: Request) -> None:
    """Hand *request* to root, in place of one that was not heard yet."""
    _replace(state.provision / "request.json", json.dumps(asdict(request)).encode())


def waits(state: StateDir) -> bool:
    """Whether a request was not answered yet."""
    return (state.provision / "request.json").exists()


def result(state: StateDir) -> Result | None:
    """What became of the last request."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads((state.provision / "result.json").read_text("utf-8"))
        return Result(**{**told, "reason": Reason(**told["reason"])})
    return None


def offers(state: StateDir) -> list[str]:
    """The ids of the boxes that files were found for."""
    folder = state.provision / "offered"
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))[:_MOST_OFFERED]


def offer(state: StateDir, box: str) -> Offer:
    """The file that was found for *box*; raises `ProvisioningUnreadable` and `ProvisioningForged`."""
    name = box if re.fullmatch(BOX_ID, box, re.ASCII) else "none"
    return provisioning_file.read(state.provision / "offered" / f"{name}{SUFFIX}")


def put_forward(path: Path, config: Config, places: Places) -> Reason:
    """The only file of a stick: it is kept for the first page, or taken at once where its hospital is known.

    For the importer.  Raises what `provisioning_file.read` raises, and its reasons against the file; on a box that has
    an identity `ProvisionedAlready`, whatever the file says.
    """
    return _decided(_kept(path, config, places), places, alone=True)


def from_stick(root: Path, config: Config, places: Places) -> Iterator[Reason]:
    """Put forward every provisioning file of a stick, and say of each what came of it.

    On a stick for many boxes nothing but the label says which file is this box's, unless one names this machine; so
    all are kept for the first page, and none is taken.  Nothing where the box has an identity: nobody looks then.
    """
    if not open_to_all(config, places.state):
        return
    found: list[Offer] = []
    told: list[Offer | Reason] = []
    try:
        for path in provisioning_file.files(root):
            if stat.S_ISREG(path.lstat().st_mode):
                try:
                    found.append(_kept(path, config, places))
                    told.append(found[-1])
                except LanternError as error:
                    told.append(Reason.of(error))
    except OSError as error:
        told.append(Reason.of(RequestUnusable(detail=error.strerror or str(error))))
    ours = provisioning_file.fitting(found)
    # One that cannot be used may be this box's, and what is left another's; one for another machine is no doubt.
    in_doubt = any(isinstance(one, Reason) and one.code != ProvisioningElsewhere.code for one in told)
    for one in told:
        if isinstance(one, Reason):
            yield one
        else:
            yield _decided(one, places, alone=ours == [one] and (bool(one.content.device) or not in_doubt))


def _kept(path: Path, config: Config, places: Places) -> Offer:
    """The file at *path*, which this box may take, laid down for the first page."""
    state = places.state
    if not open_to_all(config, state):
        raise ProvisionedAlready(box=config.box.id, folder=str(places.keys))
    found = provisioning_file.read(path)
    provisioning_file.examine(found, config, places, Proof(fingerprint=found.content.hospital.fingerprint))
    folder = state.provision / "offered"
    folder.mkdir(exist_ok=True)
    if len(offers(state)) < _MOST_OFFERED:
        with path.open("rb") as handle:  # behind its end it may be as long as the stick
            _replace(folder / f"{found.content.box}{SUFFIX}", handle.read(2 * MOST_BYTES))
    return found


def _decided(found: Offer, places: Places, *, alone: bool) -> Reason:
    """Have *found* taken where its hospital is known and it is *alone*; else whoever has its label decides."""
    taken = alone and provisioning_file.trusted(found, places)
    if taken and not waits(places.state):
        ask(places.state, Request(file=found.content.box))
    return Reason(ASKED if taken else OFFERED, {"box": found.content.box})


def _replace(path: Path, data: bytes) -> None:
    write_whole(path, data, 0o640)
    sync_directory(path.parent)


# --- root's side ------------------------------------------------------------------------------------------------------


def answer(config: Config, places: Places, chip: Chip | None = None) -> Result | None:
    """Do what is asked, write what became of it, and forget the request; None when nothing was asked."""
    folder, number, data = places.state.provision, "", None
    if not os.path.lexists(folder / "request.json"):
        return None
    try:
        data, owner = _heard(folder / "request.json")
        request = _parsed(data)
        number = request.request
        if not request.file:  # a file is signed, and who put it there does not matter
            _refuse_stranger(owner)
        made = _result(number, _done(request, config, places, chip))
    except LanternError as error:
        made = Result(number, Reason.of(error))
    told = {**asdict(made), "reason": {"code": made.reason.code, "details": dict(made.reason.details)}}
    _replace(folder / "result.json", json.dumps(told).encode())
    _forget(folder / "request.json", data)
    return made


def _done(request: Request, config: Config, places: Places, chip: Chip | None) -> Given:
    if request.file:
        found = offer(places.state, request.file)
        _refuse_provisioned(Answers.of_file(found.content), found.content.hospital, config, places)
        proof = Proof(code=request.code) if request.code else None
        return provisioning_file.take(found, config, places, proof, chip)
    answers, hospital = Answers.checked(request.answers), hospital_in(request.hospital)
    _refuse_provisioned(answers, hospital, config, places)
    return first_start.apply(answers, hospital, config, places, chip)


def _refuse_provisioned(answers: Answers, hospital: HospitalBundle | None, config: Config, places: Places) -> None:
    """A box with an identity takes nothing from here, but for what it was told just before it lost its power."""
    here = first_start.own_id(config, places)
    fresh = config.box.id == UNPROVISIONED and here in (None, answers.box)
    if not fresh and not first_start.is_told(answers, hospital, config, places):
        raise ProvisionedAlready(box=str(here), folder=str(places.keys))


def hospital_in(text: str) -> HospitalBundle | None:
    """The hospital's bundle as text that may be broken into lines; None for none.  Raises `RequestUnusable`."""
    if not text.strip():
        return None
    try:
        found = decode("".join(text.splitlines()).strip().encode("ascii"), HospitalBundle)
        seal_key(found.seal)
    except (LanternError, UnicodeEncodeError) as error:
        detail = error.code if isinstance(error, LanternError) else "hospital.json"
        raise RequestUnusable(detail=detail) from None
    return found


def _result(number: str, given: Given) -> Result:
    return Result(
        number, Reason(DONE, {"box": given.made.box}), given.made.box, provision.printed(given.made),
        given.made.fingerprint, given.hospital.fingerprint if given.hospital else "",
    )  # fmt: skip


def _heard(path: Path) -> tuple[bytes, int]:
    """The request and who wrote it; it is opened as what it is, never followed elsewhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RequestUnusable(detail=error.strerror or str(error)) from None
    with open(descriptor, "rb") as handle:  # noqa: PTH123 - the descriptor was opened with care
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return b"", -1
        return handle.read(MOST_REQUEST + 1), found.st_uid


def _forget(path: Path, heard: bytes | None) -> None:
    """Take the request away, unless another one (a second click) has come while it was answered: that is the next."""
    with suppress(RequestUnusable):
        if heard is not None and _heard(path)[0] != heard:
            return
    path.unlink(missing_ok=True)


def _refuse_stranger(owner: int) -> None:
    """Answers count when the viewer's own user, or root, wrote them down; on a laptop it is the same user."""
    known = {0, os.geteuid()}
    with suppress(KeyError):
        known.add(pwd.getpwnam(VIEWER).pw_uid)
    if owner not in known:
        raise RequestUnusable(detail="it was written by another user")


def _parsed(data: bytes) -> Request:
    try:
        told: Any = json.loads(data)
        request = Request(**told) if len(data) <= MOST_REQUEST else None
    except (ValueError, TypeError, RecursionError):
        request = None
    if request is None or not _is_text(request):
        raise RequestUnusable(detail="its form is wrong")
    return request


def _is_text(request: Request) -> bool:
    plain = (request.hospital, request.file, request.code, request.request)
    given = request.answers
    return all(isinstance(one, str) for one in plain) and (
        isinstance(given, dict) and all(isinstance(part, str) for pair in given.items() for part in pair)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `lantern-provision.service`: 0 done or nothing asked, 1 refused with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m firmware_app.device.first_page", description="Answer a request.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--restart", action="store_true", help="have systemd start the box again when it is done")
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
        timekeeping.begin(StateDir(config.state.dir), "console")
        found = answer(config, Places.of(config, options.config), sealing.chip())
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    if found is None:
        return 0
    print(found.reason.text("en"), flush=True)
    if found.reason.code != DONE:
        return 1
    if options.restart:
        subprocess.run(["systemctl", "--no-block", "restart", "lantern.target"], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
