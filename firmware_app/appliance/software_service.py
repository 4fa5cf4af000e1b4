"""Root's side of a renewal by web: what the page asks, and what the channel offers by night.

    python -m firmware_app.appliance.software_service [--config FILE]     what `lantern-software.service` runs

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

from firmware_app.appliance import software_bundle, software_channel, software_record, software_requests
from firmware_app.appliance.errors import SOFTWARE_ADDRESS_INVALID, SOFTWARE_BY_HAND, SOFTWARE_NO_REPOSITORY
from firmware_app.appliance.software_bundle import InstalledSystem, read_installed_system
from firmware_app.appliance.software_channel import UpdateRequest
from firmware_app.appliance.software_requests import SoftwareRequest
from firmware_app.core import clock
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir

_NIGHT: Final = range(1, 5)
_TOLD_PERCENT: Final = 20
UPLOAD, CHANNEL = "upload", "channel"
CHOSEN: Final = register("software.chosen", N_("The box looks there for new software from now on."))
UNCHOSEN: Final = register("software.unchosen", N_("The box looks nowhere for new software any more."))


def carry_out_requests(config: Config, state: StateDir, machine: InstalledSystem) -> bool:
    """Do what the page asks, or what is due; True when another version is installed and is to be started."""
    request = software_requests.take_request(state)
    software_requests.remove_abandoned(state)
    software_channel.remove_leftovers(state)
    chosen = software_requests.read_channel_settings(config, state)
    if request is None:
        if not chosen.repository:
            return False
        request = SoftwareRequest("channel" if chosen.automatic and _is_night() else "look")
    if request.what == "upload":
        return _install_upload(state, machine, again=request.again)
    if request.what == "choose":
        _change_channel(config, state, machine, request)
        return False
    return _serve_channel_request(config.box.id, chosen.repository, state, machine, request)


def _install_upload(state: StateDir, machine: InstalledSystem, *, again: bool) -> bool:
    path, name = None, ""
    try:
        path = software_requests.take_upload(state)
        found = software_bundle.read_bundle(path)
        name = f"lantern-{found.version}.raucb"
        software_bundle.judge_bundle(found, machine, software_record.list_abandoned_versions(state), again=again)
        return install_file(state, found, UPLOAD, name)
    except LanternError as error:
        software_record.note_outcome(state, UPLOAD, name, error)
        _print_line(str(error))
        return False
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _change_channel(config: Config, state: StateDir, machine: InstalledSystem, request: SoftwareRequest) -> None:
    """Let the box look at another repository, when that has proved to be signed by whom the box trusts."""
    root = state.channel / ".given-root.json"
    try:
        if request.repository:
            if software_requests.ADDRESS.fullmatch(request.repository) is None:
                raise SOFTWARE_ADDRESS_INVALID()
            state.channel.mkdir(mode=0o755, exist_ok=True)
            root.write_text(request.root, "utf-8")
            wish = UpdateRequest(request.repository, root if request.root else None)
            _check_channel(config.box.id, state, machine, wish)
        software_requests.save_channel_settings(
            state, software_requests.ChannelSettings(request.repository, request.automatic)
        )
        software_record.note_outcome(
            state, CHANNEL, request.repository, Reason(CHOSEN if request.repository else UNCHOSEN)
        )
    except LanternError as error:
        software_record.note_outcome(state, CHANNEL, request.repository, error)
        _print_line(str(error))
    finally:
        root.unlink(missing_ok=True)


def _check_channel(box: str, state: StateDir, machine: InstalledSystem, request: UpdateRequest) -> None:
    answer = software_channel.check_repository(
        state, machine, box, software_record.list_abandoned_versions(state), request
    )
    software_record.note_offered(state, answer.offer.version, answer.offer.bytes, answer.refusal)


def _serve_channel_request(
    box: str, repository: str, state: StateDir, machine: InstalledSystem, request: SoftwareRequest
) -> bool:
    wish = UpdateRequest(repository, again=request.again)
    try:
        if not machine.is_flashed:
            raise SOFTWARE_BY_HAND()
        if not wish.repository:
            raise SOFTWARE_NO_REPOSITORY()
        if request.what != "look":
            return install_from_channel(state, machine, box, wish, CHANNEL)
        _check_channel(box, state, machine, wish)
    except LanternError as error:
        software_record.note_outcome(state, CHANNEL, "", error)
        _print_line(str(error))
    return False


def install_from_channel(
    state: StateDir, machine: InstalledSystem, box: str, request: UpdateRequest, origin: str
) -> bool:
    """Install what a signed repository offers this box; False where it offers nothing that is to be installed.

    Raises a `LanternError` where the repository or its file cannot be used.
    """
    left = software_record.list_abandoned_versions(state)
    with software_channel.lock_installation(state):
        software_record.note_progress(state, "fetching", "")
        answer = software_channel.fetch_update(
            state, machine, box, left=left, request=request, on_progress=lambda _done, _total: None
        )
        if origin == CHANNEL:
            software_record.note_offered(state, answer.offer.version, answer.offer.bytes, answer.refusal)
        if answer.path is None:
            assert answer.refusal is not None
            software_record.note_outcome(state, origin, answer.offer.file, answer.refusal)
            _print_line(str(answer.refusal))
            return False
        found = software_bundle.read_bundle(answer.path)
        software_bundle.judge_bundle(found, machine, left, again=request.again)
        return install_file(state, found, origin, answer.offer.file)


def install_file(state: StateDir, found: software_bundle.SoftwareBundle, origin: str, file: str) -> bool:
    """Install a file that was judged, and note each step for the page.  Raises `SoftwareNotInstalled`."""
    software_record.note_abandoned(state)
    software_record.note_progress(state, "installing", found.version)
    _print_line(f"{found.version} is being installed")
    software_bundle.install_bundle(found, _make_progress_recorder(state, found.version))
    software_record.note_outcome(state, origin, file, Reason(software_record.INSTALLED, {"version": found.version}))
    software_record.note_progress(state, "starting", found.version, 100)
    _print_line(f"{found.version} is installed; starting it")
    return True


def _make_progress_recorder(state: StateDir, version: str) -> Callable[[int], None]:
    """For the page each percent, for the screen each fifth."""
    told = 0

    def note(percent: int) -> None:
        nonlocal told
        software_record.note_progress(state, "installing", version, percent)
        if percent >= told + _TOLD_PERCENT:
            told = percent
            _print_line(f"{version}: {percent} %")

    return note


def _is_night() -> bool:
    stamp = clock.stamp()
    return stamp.trusted and stamp.at.astimezone().hour in _NIGHT


def _print_line(sentence: str) -> None:
    print(f"lantern: {sentence}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `lantern-software.service`."""
    parser = argparse.ArgumentParser(prog="python -m firmware_app.appliance.software_service")
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        state = StateDir(config.state.dir)
        clock.start_clock(state, "console")
        if carry_out_requests(config, state, read_installed_system()):
            subprocess.run(["systemctl", "reboot"], check=True)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
