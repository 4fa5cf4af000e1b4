"""The operator's rarer commands: the broker's files, revoking a lost box, backup and restore."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from firmware_app.core.errors import LanternError
from hospital import broker, certificate_authority
from hospital.errors import BROKER_FILES_OLD
from hospital.hospital_site import HospitalSite
from hospital.inbox import copies, inbox_tables, rescue

log = logging.getLogger("lantern.hospital")

_LOOK_S: Final = 15.0
_COPY_LOOK_S: Final = 600.0

_REVOCATION_MESSAGES: Final = {
    "in force": "The broker refuses its certificates, and its open connection is ended; both were tried.",
    "not read": "But the broker still lets it in: it has not read the new list. Have it read it again with\n"
    "“systemctl reload lantern-hospital-broker” or kill -HUP, and repeat this command. Is its configuration that\n"
    "of an earlier version? “lantern-hospital broker” tells.",
    "no broker": "No broker is running. It goes by the list as soon as it is started.",
    "not reached": "But the broker could not be reached as {address} ({reason}), so an open connection of the box may\n"
    "still stand. Restart the broker, or name its address with --broker and repeat this command.",
}

Command = Callable[..., argparse.ArgumentParser]
Open = Callable[[argparse.Namespace], HospitalSite]


def prepare_to_serve(site: HospitalSite, stop: threading.Event) -> None:
    """What `serve` does before it listens, and by itself until *stop*.  Raises `INBOX_NEWER`."""
    rescue.rescue_inbox(site)
    with closing(site.open_inbox()) as inbox:
        for loss in inbox_tables.list_unseen_losses(inbox.connection):
            log.error("%s (%s UTC)", loss.text(), loss.at[:16])
    if not broker.are_broker_files_current(site.broker):
        log.warning("%s", BROKER_FILES_OLD(path=str(site.broker / "mosquitto.conf")))
    watch = DateWatch(site)
    watch.check()

    def check_until_stopped() -> None:
        copy_at = 0.0
        while not stop.wait(_LOOK_S):
            watch.check()
            if time.monotonic() >= copy_at:
                copy_at = time.monotonic() + _COPY_LOOK_S
                copy_inbox(site)

    threading.Thread(target=check_until_stopped, name="dates and copies", daemon=True).start()


def copy_inbox(site: HospitalSite) -> None:
    """Copy the inbox when a copy is due; say why where none could be made."""
    try:
        copies.make_due_copy(site)
    except LanternError as error:
        log.error("%s", error)


class DateWatch:
    """Looks at the dates of certificates and revocation list, which a clock that was ahead or behind makes wrong.  It
    renews the list, and says what it cannot mend."""

    def __init__(self, site: HospitalSite) -> None:
        self._site = site
        self._said: set[str] = set()

    def check(self) -> None:
        """Look once; each thing is said once until it is right again."""
        try:
            wrong = self._site.renew_list()
        except (OSError, ValueError, sqlite3.Error, LanternError) as error:  # a full disk, a damaged key
            wrong = None
            self._log_new([f"the list of revoked certificates could not be renewed: {error}"])
        if wrong is not None:
            log.error("%s The list was written again now.", wrong)
        left = [str(error) for error in certificate_authority.find_date_faults(self._site.tls)]
        self._log_new(left)

    def _log_new(self, sentences: list[str]) -> None:
        for sentence in sentences:
            if sentence.partition(":")[0] not in self._said:
                log.error("%s", sentence)
        self._said = {sentence.partition(":")[0] for sentence in sentences}


def add_operator_commands(commands: object, command: Command, opened: Open) -> None:
    """Add the operator's verbs to the parser.  *command* makes one, *opened* gives the folder that it is about."""
    files = command(
        commands,
        "broker",
        lambda options: _broker(options, opened(options)),
        "run the brokers, or look whether their files are right and of this version",
        "lantern-hospital broker --run",
    )
    what = files.add_mutually_exclusive_group()
    what.add_argument("--update", action="store_true", help="write them again; the former one is kept beside it")
    what.add_argument(
        "--run",
        action="store_true",
        dest="keeps",
        help="run the brokers until Ctrl-C, and start again what ends or hangs",
    )
    files.add_argument(
        "--only", choices=("line", "enrolment"), help="with --run: the one for the boxes, or where they are enrolled"
    )

    inbox = command(
        commands,
        "inbox",
        lambda options: _inbox(options, opened(options)),
        "was the inbox lost or rebuilt?",
        "lantern-hospital inbox --seen",
    )
    inbox.add_argument("--seen", action="store_true", help="everybody concerned knows: end the alarm")

    command(
        commands,
        "clock-is-right",
        lambda options: _clock_is_right(options, opened(options)),
        "this machine's clock is right, though most boxes speak against it",
        "lantern-hospital clock-is-right",
    )
    revoke = command(
        commands,
        "revoke",
        lambda options: _revoke(options, opened(options)),
        "cut off a lost or stolen box: revoke its certificates, end its connection, stop counting what it sends",
        "lantern-hospital revoke clinic-7",
    )
    revoke.add_argument("box", metavar="BOX")
    revoke.add_argument(
        "--broker",
        metavar="HOST",
        help="where this machine reaches the broker; default: this machine where it runs here, else as the boxes",
    )
    revoke.add_argument("--broker-port", type=int, metavar="PORT")

    copy = command(
        commands,
        "backup",
        lambda options: _backup(options, opened(options)),
        "one file with keys, certificates, boxes and the inbox; “serve” may run",
        "lantern-hospital backup /mnt/backup",
    )
    copy.add_argument("file", type=Path, metavar="FILE|DIR", help="a folder gets a file named after the time")

    restore = command(
        commands,
        "restore",
        lambda options: _restore(options, opened(options)),
        "put a backup back, with a sealing key that boxes take",
        "lantern-hospital restore lantern-hospital-20261121-031500.tar",
    )
    which = restore.add_mutually_exclusive_group(required=True)
    which.add_argument("file", type=Path, nargs="?", metavar="FILE")
    which.add_argument("--in-place", action="store_true", help="the folder itself was put back from a copy of it")
    restore.set_defaults(makes_hospital=True)


def _backup(options: argparse.Namespace, site: HospitalSite) -> int:
    from hospital import backup

    file = backup.write_backup(site, options.file)
    if options.json:
        print(json.dumps({"backup": str(file), "bytes": file.stat().st_size}))
    else:
        print(f"{file} holds the hospital, {file.stat().st_size / 1e6:.1f} MB. Keep it as secret as its keys.")
    return 0


def _restore(options: argparse.Namespace, site: HospitalSite) -> int:
    from hospital import backup

    if options.in_place:
        site.require()
    done = backup.restore_in_place(site) if options.in_place else backup.restore_backup(site, options.file)
    if options.json:
        print(json.dumps(dataclasses.asdict(done)))
        return 0
    said = f" of {done.made}" if done.made else ""
    print(f"The hospital{said} is in {site.root}: {done.boxes} boxes, {done.cases} case revisions.")
    print(f"Sealing key number {done.serial} is in use; the boxes take it when they next connect. And note:")
    print("- if another copy was restored within the last ten minutes, run now: lantern-hospital keys rotate;")
    print("- what was received and confirmed after the copy was made is not here, and boxes do not send it again;")
    print("- a box that was enrolled since then is enrolled again: lantern-hospital enrol box.json;")
    print("- a box that was revoked since then is revoked again: lantern-hospital revoke BOX;")
    print("- cases on sticks that were sealed to the key before cannot be opened; have them exported again.")
    print("Start the broker anew, then lantern-hospital serve.")
    return 0


def _broker(options: argparse.Namespace, site: HospitalSite) -> int:
    file = site.broker / "mosquitto.conf"
    port = site.load_bundle().port
    if options.keeps:
        from hospital import supervisor

        return supervisor.run_brokers(site, [options.only] if options.only else list(supervisor.BROKER_CONFIGS))
    if options.update:
        site.renew_list()
        site.write_broker(port)
    elif not broker.are_broker_files_current(site.broker):
        raise BROKER_FILES_OLD(path=str(file))
    wrong = certificate_authority.find_date_faults(site.tls)
    if options.json:
        codes = [error.code for error in wrong]
        print(json.dumps({"config": str(file), "updated": options.update, "faults": codes}))
    elif options.update:
        print(f"{file} is written; what it was is in {file.name}.before. Carry over lines of your own.")
        print(
            "Now restart the broker and “lantern-hospital serve”: both take the new settings only when they start. "
            "Boxes lose nothing."
        )
    else:
        print(f"{file} is as this version writes it.")
    for error in () if options.json else wrong:
        print(error, file=sys.stderr)
    return 1 if wrong else 0


def _inbox(options: argparse.Namespace, site: HospitalSite) -> int:
    site.load_bundle()  # a folder without a hospital gets no inbox
    with closing(site.open_inbox()) as inbox:
        happened = inbox_tables.list_unseen_losses(inbox.connection)
        if options.seen:
            with inbox.transaction() as connection:
                inbox_tables.mark_losses_seen(connection)
    for loss in happened:
        said = {"at": loss.at, "code": loss.code, "text": loss.text()}
        print(json.dumps(said) if options.json else f"{loss.at[:16]} UTC  {loss.text()}")
    if not happened and not options.json:
        print("Nothing has happened to the inbox.")
    return 1 if happened and not options.seen else 0


def _clock_is_right(options: argparse.Namespace, site: HospitalSite) -> int:
    site.clock_word.unlink(missing_ok=True)  # another user may have made it
    site.clock_word.touch(mode=0o644)
    if options.json:
        print(json.dumps({"clock_is_right": True}))
    else:
        print("Noted for 30 days. Receipts carry the time again, also those of a “serve” that runs.")
    return 0


def _revoke(options: argparse.Namespace, site: HospitalSite) -> int:
    from hospital import box_revocation

    bundle = site.load_bundle()
    given = options.broker is not None or options.broker_port is not None
    address = (options.broker or bundle.host, options.broker_port or bundle.port) if given else None
    done = box_revocation.revoke_box(site, options.box, address)
    if options.json:
        print(json.dumps({"box": options.box, "certificates": done.certificates, "broker": done.broker.value}))
    else:
        print(f"Box {options.box} is revoked: what it sends is not counted any more.")
        print(_REVOCATION_MESSAGES[done.broker.value].format(address=done.address, reason=done.reason))
        print("To take it back:  lantern-hospital enrol box.json --replace")
        print("If strangers may have had it, reinstall it first: its keys may have been copied.")
    return (
        0 if done.broker in (box_revocation.RevocationCheck.IN_FORCE, box_revocation.RevocationCheck.NO_BROKER) else 1
    )
