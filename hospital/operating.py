"""What the hospital's operator does beside the daily commands: the broker's files, a box that is lost, the copy."""

from __future__ import annotations

import argparse
import json
import logging
import threading
from collections.abc import Callable
from typing import Final

from firmware_app.errors import BrokerFilesOld
from hospital import broker, revocation
from hospital.house import House
from hospital.inbox import Inbox

log = logging.getLogger("lantern.hospital")

_HOUR_S: Final = 3600.0

_SAID: Final = {
    "in force": "The broker refuses it, and its open connection is ended; both were tried.",
    "not read": "But the broker still lets it in: it has not read the new list. Have it read it again with\n"
    "“systemctl reload lantern-hospital-broker” or kill -HUP, and repeat this command. Is its configuration that\n"
    "of an earlier version? “lantern-hospital broker” tells.",
    "no broker": "No broker could be tried. It goes by the list as soon as it is started.",
}

Command = Callable[..., argparse.ArgumentParser]
Open = Callable[[argparse.Namespace], House]


def begin(house: House, stop: threading.Event) -> None:
    """What `serve` does before it listens, and by itself until *stop*.  Raises `InboxNewer`."""
    inbox = Inbox(house.inbox_db)
    inbox.create()
    inbox.close()
    if not broker.is_current(house.broker):
        log.warning("%s", BrokerFilesOld(path=str(house.broker / "mosquitto.conf")))
    _renew(house)

    def keep_renewing() -> None:
        while not stop.wait(_HOUR_S):
            _renew(house)

    threading.Thread(target=keep_renewing, name="revocation list", daemon=True).start()


def _renew(house: House) -> None:
    try:
        if revocation.renew(house.tls):
            broker.reread(house.broker)
            log.info("the list of revoked certificates was renewed")
    except OSError as error:  # a full disk; there is half a year for the next attempt
        log.error("the list of revoked certificates could not be renewed: %s", error)


def add(commands: object, command: Command, opened: Open) -> None:
    """Add the operator's verbs to the parser.  *command* makes one, *opened* gives the folder that it is about."""
    files = command(
        commands, "broker", lambda options: _broker(options, opened(options)),
        "are the broker's files those of this version?", "lantern-hospital broker --update",
    )  # fmt: skip
    files.add_argument("--update", action="store_true", help="write them again; the former one is kept beside it")

    revoke = command(
        commands, "revoke", lambda options: _revoke(options, opened(options)),
        "cut a lost or stolen box off: its certificates, its open connection, its word",
        "lantern-hospital revoke clinic-7",
    )  # fmt: skip
    revoke.add_argument("box", metavar="BOX")
    revoke.add_argument("--broker", metavar="HOST", help="where this machine reaches the broker; default: as the boxes")
    revoke.add_argument("--broker-port", type=int, metavar="PORT")


def _broker(options: argparse.Namespace, house: House) -> int:
    file = house.broker / "mosquitto.conf"
    if options.update:
        revocation.renew(house.tls)
        broker.write(house.broker, house.tls, house.bundle().port)
    elif not broker.is_current(house.broker):
        raise BrokerFilesOld(path=str(file))
    if options.json:
        print(json.dumps({"config": str(file), "updated": options.update}))
    elif options.update:
        print(f"{file} is written; what it was is in {file.name}.before. Carry over lines of your own.")
        print("Now restart the broker: mosquitto takes the new settings only when it starts. Boxes lose nothing.")
    else:
        print(f"{file} is as this version writes it.")
    return 0


def _revoke(options: argparse.Namespace, house: House) -> int:
    from hospital import cutting_off

    bundle = house.bundle()
    done = cutting_off.revoke(house, options.box, options.broker or bundle.host, options.broker_port or bundle.port)
    if options.json:
        print(json.dumps({"box": options.box, "certificates": done.certificates, "broker": done.standing.value}))
    else:
        print(f"Box {options.box} is revoked: {done.certificates} certificates. What it sends is not counted any more.")
        print(_SAID[done.standing.value])
        print("To take it back:  lantern-hospital enrol box.json --replace")
        print("Was it in strangers' hands, install it anew first: its keys may have been copied.")
    return 1 if done.standing is cutting_off.Standing.NOT_READ else 0
