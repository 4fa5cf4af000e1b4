"""The importer: one stick, one status for the viewer, one receipt.  It reads headers and renders nothing.

The unit lantern-import@ runs ``python -m firmware_app.appliance.processes.importer copy``, then ``… farewell`` when it
ends.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from firmware_app.appliance.processes import entry
from firmware_app.appliance.provisioning_answers import UNPROVISIONED
from firmware_app.cases import usb_import
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import StickError
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core import clock, run_status
from firmware_app.core.errors import AlreadyRunning, LanternError
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import NotKept
from firmware_app.ingest import stick_handover, stick_receipt
from firmware_app.ingest.errors import STICK_STOPPED
from firmware_app.ingest.intake import ImageIntake
from firmware_app.ingest.stick_copying import CopiedMarks, StickCopier
from firmware_app.ingest.stick_handover import MountMessage, ReceivedStick

log = logging.getLogger("lantern.stick")

MARKS = "marks"
HANDED = Path("/run/lantern/stick")
"""The folder where the importer's unit makes the mounter's socket visible."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = entry.make_parser("importer", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("copy").add_argument("folder", metavar="FOLDER", nargs="?", type=Path, default=HANDED)
    commands.add_parser("farewell")
    options = parser.parse_args(arguments)

    def body(config: Config, stop: threading.Event) -> int:
        if options.command == "copy":
            return copy(config, options.folder, stop)
        farewell(config)
        return 0

    return entry.run_entry(options, body)


def copy(config: Config, folder: Path, stop: threading.Event) -> int:
    """0 when the stick was copied to its end, or there was nothing to do; 1 otherwise."""
    with stick_handover.receive_stick(folder) as handed:
        ended = run(config, handed, stop)
    return 0 if ended is None or ended.stage in (StickStage.DONE, StickStage.EMPTY) else 1


def run(config: Config, handed: ReceivedStick, stop: threading.Event) -> StickStatus | None:
    """Copy the stick that the mounter has handed over; returns the final status, None when there is nothing to do.

    Sticks are copied one after the other.  Raises `StateUnusable` when the state cannot be written at all.
    """
    state = StateDir(config.state.dir)
    clock.start_clock(state, usb_import.STATUS_NAME)
    word = handed.word
    if word.refusal is None and handed.root is None:
        return None
    with ExitStack() as turn:
        while True:
            try:
                turn.enter_context(run_status.hold_process_lock(state, usb_import.STATUS_NAME))
                break
            except AlreadyRunning:
                if stop.wait(1.0):
                    return None
        begun = StickStatus(StickStage.SEARCHING, _now(), word.kind)
        cases: dict[str, bool] = {}
        refusal = word.refusal
        try:
            if refusal is None:
                handed.require_safe()
        except StickError as error:
            refusal = Reason.from_error(error)
        if refusal is not None:
            ended = replace(begun, stage=StickStage.REFUSED, reason=refusal)
        else:
            _offer_provisioning(config, state, handed.place)
            ended, cases = _copy(config, state, handed.place, word=word, begun=begun, stop=stop)
        return _conclude(config, state, ended, cases)


def farewell(config: Config) -> None:
    """Correct the status after the stick was taken out, or after the importer ended in any way."""
    state = StateDir(config.state.dir)
    clock.start_clock(state, usb_import.STATUS_NAME)
    status = usb_import.read_status(state)
    if status is None or run_status.is_running(state, usb_import.STATUS_NAME):
        return
    if status.is_under_way:  # the importer was killed
        usb_import.write_status(
            state, replace(status, stage=StickStage.UNFINISHED, reason=Reason.from_error(STICK_STOPPED()), ended=_now())
        )
    elif not status.taken_out:
        usb_import.write_status(state, replace(status, taken_out=True))


def _offer_provisioning(config: Config, state: StateDir, root: Path) -> None:
    """Offer the stick's provisioning files to a new box (docs/decisions/provisioning.md); other boxes ignore them."""
    if config.box.id == UNPROVISIONED and state.provision.is_dir():
        from firmware_app.appliance import first_start, provisioning_file

        for reason in provisioning_file.offer_from_stick(root, config, first_start.IdentityPaths.from_config(config)):
            log.info("%s", reason.text("en"))


def _copy(
    config: Config, state: StateDir, root: Path, word: MountMessage, begun: StickStatus, stop: threading.Event
) -> tuple[StickStatus, dict[str, bool]]:
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        clinical.require()
        door = ImageIntake(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
        marks = CopiedMarks(state.usb / MARKS, clinical.has_instance)
        copying = StickCopier(
            root=root, word=word, door=door, marks=marks, tell=lambda status: _write_status(state, status), stop=stop
        )
        ended = copying.run(begun)
        return ended, usb_import.UsbImports(clinical.database).list_cases(copying.met)
    except LanternError as error:
        return replace(begun, stage=StickStage.UNFINISHED, reason=Reason.from_error(error)), {}
    except sqlite3.Error as error:
        reason = Reason.from_error(NotKept(detail=getattr(error, "sqlite_errorname", type(error).__name__)))
        return replace(begun, stage=StickStage.UNFINISHED, reason=reason), {}
    finally:
        clinical.database.close()


def _conclude(config: Config, state: StateDir, ended: StickStatus, cases: dict[str, bool]) -> StickStatus:
    ended = replace(ended, ended=_now())
    try:
        number = stick_receipt.write_receipt(
            state.usb, stick_receipt.format_receipt(ended, config.box.name, cases, config.box.language)
        )
        ended = replace(ended, receipt=number)
    except OSError as error:
        log.warning("the receipt of a stick cannot be kept: %s", error.strerror)
    _write_status(state, ended)
    log.info(
        "a stick: %s, %d files, %d new, %d known, %d refused%s",
        ended.stage.value,
        ended.found,
        ended.new,
        ended.known,
        ended.refusals,
        f" ({ended.reason.code})" if ended.reason else "",
    )
    return ended


def _write_status(state: StateDir, status: StickStatus) -> None:
    """Write the status for people; a failure is only logged, because there may still be room for images."""
    try:
        usb_import.write_status(state, status)
    except OSError as error:
        log.warning("how the copying stands cannot be said: %s", error.strerror)


def _now() -> str:
    return clock.stamp_text("seconds")


if __name__ == "__main__":
    sys.exit(main())
