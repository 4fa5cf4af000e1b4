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
from firmware_app.appliance.provisioning.answers import UNPROVISIONED
from firmware_app.cases import media, stick_status
from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.stick_status import StickStage, StickStatus
from firmware_app.core import clock, presence
from firmware_app.core.clock import timekeeping
from firmware_app.core.errors import AlreadyRunning, LanternError, NotKept, StickError, StickStopped
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.accept import Door
from firmware_app.ingest.stick import handover, receipt, space
from firmware_app.ingest.stick.copied_marks import Memory
from firmware_app.ingest.stick.copying import Copying
from firmware_app.ingest.stick.handover import Handed, Word
from firmware_app.ingest.stick.search import search
from firmware_app.ingest.stick.signals import Signal, Signals

log = logging.getLogger("lantern.stick")

MARKS = "marks"
HANDED = Path("/run/lantern/stick")
"""The folder where the importer's unit makes the mounter's socket visible."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = entry.parser("importer", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("copy").add_argument("folder", metavar="FOLDER", nargs="?", type=Path, default=HANDED)
    commands.add_parser("farewell")
    options = parser.parse_args(arguments)

    def body(config: Config, stop: threading.Event) -> int:
        if options.command == "copy":
            return copy(config, options.folder, stop)
        farewell(config)
        return 0

    return entry.run(options, body)


def copy(config: Config, folder: Path, stop: threading.Event) -> int:
    """0 when the stick was copied to its end, or there was nothing to do; 1 otherwise."""
    with handover.taken(folder) as handed:
        ended = run(config, handed, stop)
    return 0 if ended is None or ended.stage in (StickStage.DONE, StickStage.EMPTY) else 1


def run(config: Config, handed: Handed, stop: threading.Event, signals: Signals | None = None) -> StickStatus | None:
    """Copy the stick that the mounter has handed over; returns the final status, None when there is nothing to do.

    Sticks are copied one after the other.  Raises `StateUnusable` when the state cannot be written at all.
    """
    signals = signals or Signals()
    state = StateDir(config.state.dir)
    timekeeping.begin(state, stick_status.NAME)
    word = handed.word
    if word.refusal is None and handed.root is None:
        return None
    with ExitStack() as turn:
        while True:
            try:
                turn.enter_context(presence.held(state, stick_status.NAME))
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
            refusal = Reason.of(error)
        if refusal is not None:
            ended = replace(begun, stage=StickStage.REFUSED, reason=refusal)
        else:
            _put_forward(config, state, handed.place, word)
            signals.give(Signal.COPYING)
            ended, cases = _copy(config, state, handed.place, word, begun, stop)
        return _conclude(config, state, ended, cases, signals)


def farewell(config: Config, signals: Signals | None = None) -> None:
    """Correct the status and the light after the stick was taken out, or after the importer ended in any way."""
    state = StateDir(config.state.dir)
    timekeeping.begin(state, stick_status.NAME)
    status = stick_status.read(state)
    if status is None or presence.is_running(state, stick_status.NAME):
        return
    if status.is_under_way:  # the importer was killed
        stick_status.write(
            state, replace(status, stage=StickStage.UNFINISHED, reason=Reason.of(StickStopped()), ended=_now())
        )
        (signals or Signals()).give(Signal.ATTENTION)
    elif not status.taken_out:
        stick_status.write(state, replace(status, taken_out=True))
        if status.stage in (StickStage.DONE, StickStage.EMPTY):
            (signals or Signals()).give(Signal.DARK)


def _put_forward(config: Config, state: StateDir, root: Path, word: Word) -> None:
    """Offer the stick's provisioning files to a new box (docs/decisions/provisioning.md); other boxes ignore them."""
    if config.box.id == UNPROVISIONED and state.provision.is_dir():
        from firmware_app.appliance.provisioning import first_start, offered_files

        try:
            shown = search(root)
            whole = not (shown.unread or shown.overfull) and space.is_all_listed(root, word.kind)
        except StickError:  # the stick was pulled; the copying reports it
            return
        for reason in offered_files.from_stick(root, config, first_start.IdentityPaths.of(config), whole=whole):
            log.info("%s", reason.text("en"))


def _copy(
    config: Config, state: StateDir, root: Path, word: Word, begun: StickStatus, stop: threading.Event
) -> tuple[StickStatus, dict[str, bool]]:
    clinical = Clinical(state.clinical_db)
    try:
        clinical.require()
        door = Door(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
        marks = Memory(state.usb / MARKS, clinical.knows)
        copying = Copying(root, word, door, marks, lambda status: _tell(state, status), stop)
        ended = copying.run(begun)
        return ended, media.Media(clinical.database).cases_of(copying.met)
    except LanternError as error:
        return replace(begun, stage=StickStage.UNFINISHED, reason=Reason.of(error)), {}
    except sqlite3.Error as error:
        reason = Reason.of(NotKept(detail=getattr(error, "sqlite_errorname", type(error).__name__)))
        return replace(begun, stage=StickStage.UNFINISHED, reason=reason), {}
    finally:
        clinical.database.close()


def _conclude(
    config: Config, state: StateDir, ended: StickStatus, cases: dict[str, bool], signals: Signals
) -> StickStatus:
    ended = replace(ended, ended=_now())
    try:
        number = receipt.write(state.usb, receipt.text(ended, config.box.name, cases, config.box.language))
        ended = replace(ended, receipt=number)
    except OSError as error:
        log.warning("the receipt of a stick cannot be kept: %s", error.strerror)
    _tell(state, ended)
    signals.give(Signal.DONE if ended.stage is StickStage.DONE else Signal.ATTENTION)
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


def _tell(state: StateDir, status: StickStatus) -> None:
    """Write the status for people; a failure is only logged, because there may still be room for images."""
    try:
        stick_status.write(state, status)
    except OSError as error:
        log.warning("how the copying stands cannot be said: %s", error.strerror)


def _now() -> str:
    return clock.text("seconds")


if __name__ == "__main__":
    sys.exit(main())
