"""`lantern software`: what runs, what the signed channel offers, and how a person installs it at the console."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_app.appliance.errors import SOFTWARE_NO_REPOSITORY, SoftwareCurrent
from firmware_app.cli.errors import SOFTWARE_NOT_HERE
from firmware_app.cli.terminal import Commands, add_command, print_json
from firmware_app.core.language import printable_language

if TYPE_CHECKING:
    from firmware_app.appliance.software_bundle import InstalledSystem
    from firmware_app.appliance.software_channel import UpdateOffer, UpdateRequest
    from firmware_app.core.settings import Config
    from firmware_app.core.state_dir import StateDir

_DONE, _FAILED = 0, 1


def add_to(commands: Commands) -> None:
    """Add `software` with its commands to the parser."""
    software = commands.add_parser(
        "software", help="the box's own software: what runs, what is offered", epilog="Example: lantern software status"
    )
    below = software.add_subparsers(required=True, metavar="COMMAND")
    add_command(
        below,
        "status",
        _status,
        "the version and slot that run, and why another slot was left",
        "lantern software status --json",
    )
    check = add_command(
        below,
        "check",
        _check,
        "what the signed channel offers this box; nothing is installed",
        "lantern software check --repository /media/stick/lantern-software",
    )
    install = add_command(
        below,
        "install",
        _install,
        "fetch what the signed channel offers this box, check and install it",
        "lantern software install",
    )
    for parser in (check, install):
        parser.add_argument(
            "--repository",
            metavar="PLACE",
            help="a folder, or an http(s) address; default: as [software] repository says",
        )
        parser.add_argument("--root", type=Path, metavar="FILE", help="the publisher's root.json; needed once")
        parser.add_argument("--version", metavar="VERSION", help="default: the latest that is for this box")
    install.add_argument("--again", action="store_true", help="also a version that this box has left before")


def _status(options: argparse.Namespace) -> int:
    from firmware_app.appliance import software_record
    from firmware_app.appliance.checks import installed_software

    config, state, machine = _open(options)
    language = config.box.language if options.json else printable_language(config.box.language)
    left, last, offered = (
        software_record.read_abandoned_slot(state),
        software_record.read_outcome(state),
        software_record.read_offered(state),
    )
    if options.json:
        print_json(
            {
                "version": machine.version,
                "machine": machine.kind,
                "slot": machine.slot,
                "left": {
                    "slot": left.slot,
                    "version": left.version,
                    "code": left.code,
                    "parts": list(left.parts),
                    "text": left.reason.text(language),
                }
                if left
                else None,
                "left_versions": sorted(software_record.list_abandoned_versions(state)),
                "offered": {
                    "version": offered.version,
                    "bytes": offered.bytes,
                    "at": offered.at,
                    "code": offered.reason.code if offered.reason else None,
                }
                if offered
                else None,
                "last": {
                    "origin": last.origin,
                    "file": last.file,
                    "at": last.at,
                    "code": last.reason.code,
                    "text": last.reason.text(language),
                }
                if last
                else None,
            }
        )
        return _DONE
    for check in installed_software.check_software(state, machine):
        print(check.reason.text(language))
    if offered:
        print(offered.reason.text(language) if offered.reason else f"Version {offered.version} is offered.")
    if last:
        print(f"{last.at} {last.origin}: {last.reason.text(language)}")
    return _DONE


def _check(options: argparse.Namespace) -> int:
    from firmware_app.appliance import software_channel, software_record

    config, state, machine = _open(options)
    request = _make_request(config, options)
    answer = software_channel.check_repository(
        state, machine, config.box.id, software_record.list_abandoned_versions(state), request
    )
    _print_offer(options, config, answer, installed=False)
    return _DONE


def _install(options: argparse.Namespace) -> int:
    from firmware_app.appliance import software_bundle, software_channel, software_record, software_service

    config, state, machine = _open(options)
    request = _make_request(config, options)
    if not machine.kind:
        raise SOFTWARE_NOT_HERE()
    with software_channel.lock_installation(state):
        answer = software_channel.fetch_update(
            state,
            machine,
            config.box.id,
            left=software_record.list_abandoned_versions(state),
            request=request,
            on_progress=_show,
        )
        if answer.path is not None and machine.is_packaged:
            done = subprocess.run(["apt-get", "install", "--yes", str(answer.path)], check=False, stdout=sys.stderr)
            if done.returncode:
                return _FAILED  # apt has said why
        elif answer.path is not None:
            found = software_bundle.read_bundle(answer.path)
            software_bundle.judge_bundle(
                found, machine, software_record.list_abandoned_versions(state), again=request.again
            )
            software_service.install_file(state, found, software_service.CHANNEL, answer.offer.file)
    if answer.refusal is not None and not isinstance(answer.refusal, SoftwareCurrent):
        raise answer.refusal
    _print_offer(options, config, answer, installed=answer.path is not None)
    if answer.path is not None and machine.is_flashed:
        print("Start the box anew when nobody is waiting for a reading: systemctl reboot", file=sys.stderr)
    return _DONE


def _print_offer(options: argparse.Namespace, config: Config, answer: UpdateOffer, *, installed: bool) -> None:
    offer, refusal = answer.offer, answer.refusal
    if options.json:
        print_json(
            {
                "version": offer.version,
                "machine": offer.machine,
                "bytes": offer.bytes,
                "sha256": offer.sha256,
                "percent": offer.ring.percent,
                "for_this_box": refusal is None,
                "installed": installed,
                "code": refusal.code if refusal else None,
                "text": refusal.text(config.box.language) if refusal else None,
                "age_judged": answer.age_judged,
            }
        )
        return
    if refusal is not None:
        print(refusal.text(printable_language(config.box.language)))
    elif installed:
        print(f"{offer.version} is installed.")
    else:
        print(f"{offer.version} ({offer.bytes / 1e6:.0f} MB) is offered to this box.")
    if not answer.age_judged:
        print("How old the repository is was not judged: the box's clock is not confirmed.", file=sys.stderr)


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rfetching {total / 1e6:.0f} MB" + (": done\n" if done == total else " …"), end="", file=sys.stderr)


def _make_request(config: Config, options: argparse.Namespace) -> UpdateRequest:
    from firmware_app.appliance import software_requests
    from firmware_app.appliance.software_channel import UpdateRequest
    from firmware_app.core.state_dir import StateDir

    repository = (
        options.repository or software_requests.read_channel_settings(config, StateDir(config.state.dir)).repository
    )
    if not repository:
        raise SOFTWARE_NO_REPOSITORY()
    return UpdateRequest(repository, options.root, options.version, getattr(options, "again", False))


def _open(options: argparse.Namespace) -> tuple[Config, StateDir, InstalledSystem]:
    from firmware_app.appliance.software_bundle import read_installed_system
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir

    config = load_config(options.config)
    state = StateDir(config.state.dir)
    clock.start_clock(state, "console", writes=False)
    return config, state, read_installed_system()
