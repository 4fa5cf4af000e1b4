"""The mounter, the only part of the USB import that runs as root: ``python -m firmware_app.appliance.processes.mounter
NAME``.

NAME is the kernel's device name, as in sdb1.  The unit lantern-mount@ runs it.  While [usb] enabled is false nothing is
mounted.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from firmware_app.appliance.processes import entry
from firmware_app.cases.errors import StickError
from firmware_app.core import notify
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.ingest import stick_handover, stick_mounting
from firmware_app.ingest.errors import StickInUse

log = logging.getLogger("lantern.stick")

FILES = "files"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = entry.make_parser("mounter", __doc__)
    parser.add_argument("name", metavar="NAME")
    options = parser.parse_args(arguments)

    def body(config: Config, stop: threading.Event) -> int:
        mount(config, options.name, stop)
        return 0

    return entry.run_entry(options, body)


def mount(config: Config, name: str, stop: threading.Event) -> None:
    """Probe /dev/*name*, mount it and offer it to the importer until *stop*; a refusal is offered in the same way."""
    folder = stick_handover.find_socket_folder(config.usb.mount_root, name)
    folder.mkdir(parents=True, exist_ok=True)
    device, place = Path("/dev", name), folder / FILES
    with (
        _mount_for_importer(device, place) if config.usb.enabled else nullcontext(stick_handover.MountMessage()) as word
    ):
        stick_handover.offer_stick(
            folder, word, place if word.kind else None, stop, lambda: notify.ready(word.kind or "-")
        )


@contextmanager
def _mount_for_importer(device: Path, place: Path) -> Iterator[stick_handover.MountMessage]:
    """The message for the importer about *device*, which is mounted at *place* unless it is refused.

    Afterwards nothing is mounted and the device is writable again, after any error too.  A disk that the box runs from
    is left as it is.
    """
    is_ours = True
    try:
        try:
            kind = stick_mounting.mount_stick(device, place)
            word = stick_handover.MountMessage(kind.value, stick_mounting.read_device_number(device))
        except StickInUse as error:
            log.info("%s", error)
            is_ours, word = False, stick_handover.MountMessage()
        except StickError as error:
            log.warning("%s", error)
            word = stick_handover.MountMessage(refusal=Reason.from_error(error))
        yield word
    finally:
        try:
            stick_mounting.unmount_stick(place)
        finally:
            if is_ours:
                stick_mounting.make_writable(device)


if __name__ == "__main__":
    sys.exit(main())
