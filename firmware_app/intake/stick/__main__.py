"""``python -m firmware_app.intake.stick mount NAME`` for the mounter, ``… copy`` and ``… farewell`` for the importer.

NAME is the kernel's, as in sdb1.  The units lantern-mount@ and lantern-import@ call this; while [usb] enabled is false
nothing is mounted and nothing copied.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from firmware_app.config import Config, load
from firmware_app.device import notify
from firmware_app.errors import LanternError, StickError, StickInUse
from firmware_app.intake.stick import folders, handover, importer, mounter
from firmware_app.records import Reason
from firmware_app.store.stick_status import Stage

log = logging.getLogger("lantern.stick")

FILES = "files"
HANDED = Path("/run/lantern/stick")
"""Where the importer's unit shows it the mounter's socket."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m firmware_app.intake.stick", description=__doc__)
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("mount").add_argument("name", metavar="NAME")
    commands.add_parser("copy").add_argument("folder", metavar="FOLDER", nargs="?", type=Path, default=HANDED)
    commands.add_parser("farewell")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("LANTERN_LOG", "INFO").upper(),
        format="%(levelname)s %(name)s: %(message)s",
    )
    try:
        config = load(options.config)
        stop = _stop()
        if options.command == "mount":
            mount(config, options.name, stop)
        elif options.command == "farewell":
            importer.farewell(config)
        else:
            return copy(config, options.folder, stop)
    except (LanternError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _stop() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def mount(config: Config, name: str, stop: threading.Event) -> None:
    """Look at /dev/*name*, mount it and hand it over until *stop*; so is a refusal, for a person to hear."""
    folder = handover.folder_of(config.usb.mount_root, name)
    folder.mkdir(parents=True, exist_ok=True)
    device, place = Path("/dev", name), folder / FILES
    with _attached(device, place) if config.usb.enabled else nullcontext(handover.Word()) as word:
        handover.offer(folder, word, place if word.kind else None, stop, lambda: notify.ready(word.kind or "-"))


@contextmanager
def _attached(device: Path, place: Path) -> Iterator[handover.Word]:
    """The word on *device*, which is mounted at *place* unless it is refused.

    Afterwards nothing is mounted and the device is not sealed any more, whatever went wrong and wherever; the seal of
    a disk that the box runs from is not ours to break.
    """
    is_ours = True
    try:
        try:
            kind = mounter.attach(device, place)
            word = handover.Word(kind.value, mounter.number(device), folders=folders.look(device, kind))
        except StickInUse as error:
            log.info("%s", error)
            is_ours, word = False, handover.Word()
        except StickError as error:
            log.warning("%s", error)
            word = handover.Word(refusal=Reason.of(error))
        yield word
    finally:
        try:
            mounter.detach(place)
        finally:
            if is_ours:
                mounter.release(device)


def copy(config: Config, folder: Path, stop: threading.Event) -> int:
    """0 when the stick was copied to its end, or there was nothing to do; 1 otherwise."""
    with handover.taken(folder) as handed:
        ended = importer.run(config, handed, stop)
    return 0 if ended is None or ended.stage is Stage.DONE else 1


if __name__ == "__main__":
    sys.exit(main())
