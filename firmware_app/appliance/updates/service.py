"""Root's side of a renewal by web: what the page asks, and what the channel offers by night.

    python -m firmware_app.appliance.updates.service [--config FILE]     what `lantern-software.service` runs

A flashed box alone has this service (systemd/image/units).  It is started by the page's request, and a few times a day
by a timer: then it looks what the configured channel offers, and installs it where `[software] automatic` says so, in
the small hours of the clinic's clock.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from firmware_app.appliance.updates import bundle, channel, handover, record, settings
from firmware_app.appliance.updates.channel import Wish
from firmware_app.appliance.updates.handover import Request
from firmware_app.appliance.updates.machine import Machine, here
from firmware_app.core import clock
from firmware_app.core.clock import timekeeping
from firmware_app.core.errors import LanternError, SoftwareAddressInvalid, SoftwareByHand, SoftwareNoRepository
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, load
from firmware_app.core.state_dir import StateDir

_NIGHT: Final = range(1, 5)
_TOLD_PERCENT: Final = 20
UPLOAD, CHANNEL = "upload", "channel"
CHOSEN: Final = register("software.chosen", N_("The box looks there for new software from now on."))
UNCHOSEN: Final = register("software.unchosen", N_("The box looks nowhere for new software any more."))


def run(config: Config, state: StateDir, machine: Machine) -> bool:
    """Do what the page asks, or what is due; True when another version is installed and is to be started."""
    request = handover.take(state)
    handover.clear_forgotten(state)
    channel.tidy(state)
    chosen = settings.chosen(config, state)
    if request is None:
        if not chosen.repository:
            return False
        request = Request("channel" if chosen.automatic and _is_night() else "look")
    if request.what == "upload":
        return _upload(state, machine, again=request.again)
    if request.what == "choose":
        _choose(config, state, machine, request)
        return False
    return _channel(config.box.id, chosen.repository, state, machine, request)


def _upload(state: StateDir, machine: Machine, *, again: bool) -> bool:
    path, name = None, ""
    try:
        path = handover.take_upload(state)
        found = bundle.read(path)
        name = f"lantern-{found.version}.raucb"
        bundle.judge(found, machine, record.left_versions(state), again=again)
        return renew(state, found, UPLOAD, name)
    except LanternError as error:
        record.note_done(state, UPLOAD, name, error)
        _tell(str(error))
        return False
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _choose(config: Config, state: StateDir, machine: Machine, request: Request) -> None:
    """Let the box look at another repository, when that has proved to be signed by whom the box trusts."""
    root = state.channel / ".given-root.json"
    try:
        if request.repository:
            if settings.ADDRESS.fullmatch(request.repository) is None:
                raise SoftwareAddressInvalid
            state.channel.mkdir(mode=0o755, exist_ok=True)
            root.write_text(request.root, "utf-8")
            wish = Wish(request.repository, root if request.root else None)
            _look(config.box.id, state, machine, wish)
        settings.keep(state, settings.Chosen(request.repository, request.automatic))
        record.note_done(state, CHANNEL, request.repository, Reason(CHOSEN if request.repository else UNCHOSEN))
    except LanternError as error:
        record.note_done(state, CHANNEL, request.repository, error)
        _tell(str(error))
    finally:
        root.unlink(missing_ok=True)


def _look(box: str, state: StateDir, machine: Machine, wish: Wish) -> None:
    answer = channel.check(state, machine, box, record.left_versions(state), wish)
    record.note_offered(state, answer.offer.version, answer.offer.bytes, answer.refusal)


def _channel(box: str, repository: str, state: StateDir, machine: Machine, request: Request) -> bool:
    wish = Wish(repository, again=request.again)
    try:
        if not machine.flashed:
            raise SoftwareByHand
        if not wish.repository:
            raise SoftwareNoRepository
        if request.what != "look":
            return by_channel(state, machine, box, wish, CHANNEL)
        _look(box, state, machine, wish)
    except LanternError as error:
        record.note_done(state, CHANNEL, "", error)
        _tell(str(error))
    return False


def by_channel(state: StateDir, machine: Machine, box: str, wish: Wish, origin: str) -> bool:
    """Install what a signed repository offers this box; False where it offers nothing that is to be installed.

    Raises a `LanternError` where the repository or its file cannot be used.
    """
    left = record.left_versions(state)
    with channel.alone(state):
        record.note_doing(state, "fetching", "")
        answer = channel.fetch(state, machine, box, left, wish, lambda _done, _total: None)
        if origin == CHANNEL:
            record.note_offered(state, answer.offer.version, answer.offer.bytes, answer.refusal)
        if answer.path is None:
            assert answer.refusal is not None
            record.note_done(state, origin, answer.offer.file, answer.refusal)
            _tell(str(answer.refusal))
            return False
        found = bundle.read(answer.path)
        bundle.judge(found, machine, left, again=wish.again)
        return renew(state, found, origin, answer.offer.file)


def renew(state: StateDir, found: bundle.Bundle, origin: str, file: str) -> bool:
    """Install a file that was judged, and note each step for the page.  Raises `SoftwareNotInstalled`."""
    record.note_left(state)
    record.note_doing(state, "installing", found.version)
    _tell(f"{found.version} is being installed")
    bundle.install(found, _progress(state, found.version))
    record.note_done(state, origin, file, Reason(record.INSTALLED, {"version": found.version}))
    record.note_doing(state, "starting", found.version, 100)
    _tell(f"{found.version} is installed; starting it")
    return True


def _progress(state: StateDir, version: str) -> Callable[[int], None]:
    """For the page each percent, for the screen each fifth."""
    told = 0

    def note(percent: int) -> None:
        nonlocal told
        record.note_doing(state, "installing", version, percent)
        if percent >= told + _TOLD_PERCENT:
            told = percent
            _tell(f"{version}: {percent} %")

    return note


def _is_night() -> bool:
    stamp = clock.stamp()
    return stamp.trusted and stamp.at.astimezone().hour in _NIGHT


def _tell(sentence: str) -> None:
    print(f"lantern: {sentence}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `lantern-software.service`."""
    parser = argparse.ArgumentParser(prog="python -m firmware_app.appliance.updates.service")
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
        state = StateDir(config.state.dir)
        timekeeping.begin(state, "console")
        if run(config, state, here()):
            subprocess.run(["systemctl", "reboot"], check=True)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
