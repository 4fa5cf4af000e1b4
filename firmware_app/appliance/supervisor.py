"""`lantern serve`: one small supervisor and the processes it keeps alive.

Each process is `lantern serve --only NAME`, so that systemd can start them without the supervisor.  The viewer is
another package, which nothing here may import: it is started as ``python -m web.server``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from firmware_app.appliance import database_repair, rescue
from firmware_app.appliance.provisioning_request import ProvisioningRunner
from firmware_app.core import clock, database_health, notify, process, programs, run_status
from firmware_app.core.errors import LanternError
from firmware_app.core.programs import SupervisedProcess
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir

log = logging.getLogger("lantern.service")

_FIRST = ("gateway", "reader")
_HEAD_START_S = 1.0
_LOOK_S = 0.02
_STOP_S = 10.0
_BALLAST_S = 10.0

Event = Mapping[str, str | int | None]
Ready = Callable[[run_status.Facts], None]
Body = Callable[[Config, Ready, threading.Event], None]


class StopSignal(threading.Event):
    """Set by SIGTERM and SIGINT.  It waits in slices: a signal that the kernel delivers to another thread does not end
    an untimed wait of the main thread, and the handler would never run.

    Every main loop asks it, so asking it is also the process's sign of life."""

    _SLICE_S = 0.2

    def __init__(self, must_end: Callable[[], bool] = lambda: False) -> None:
        """*must_end* is polled: whether the process should end without a signal."""
        super().__init__()
        self._must_end, self._asked, self._ending = must_end, time.monotonic(), False

    def is_set(self) -> bool:
        notify.ping_watchdog()
        if time.monotonic() - self._asked > self._SLICE_S:
            self._asked = time.monotonic()
            self._ending = self._must_end()  # not `set`: the signal handler may call it at the same moment
        return self._ending or super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = self._SLICE_S if deadline is None else min(self._SLICE_S, deadline - time.monotonic())
            if left <= 0:
                break
            super().wait(left)
        return self.is_set()


def _install_stop_signal(must_end: Callable[[], bool] = lambda: False) -> StopSignal:
    stop = StopSignal(must_end)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


# --- one process --------------------------------------------------------------------------------------------------


def run_process(name: str, config: Config, body: Body | None = None) -> int:
    """Run `lantern serve --only NAME` until SIGTERM or SIGINT.  Returns the exit status.

    *body* is the process's code where this module may not import it.  Raises `STORE_DAMAGED` when it ended because a
    database must be rebuilt.
    """
    programs.end_with_supervisor()
    notify.set_status("starting")
    state = StateDir(config.state.dir)
    mine = database_repair.list_needed_databases(state, name)
    if name != "uplink":  # the uplink's user may not make these folders, and does not need them
        _make_room(state)
        state.prepare()
    clock.start_clock(state, name)
    with run_status.hold_process_lock(state, name):
        stop = _install_stop_signal(lambda: database_health.has_any_damage_note(mine))
        run_status.withdraw_announcement(state, name)  # the record of a killed predecessor
        for database in () if programs.is_supervised() else mine:  # the supervisor has checked before the start
            if database_repair.may_rebuild(state, database):
                database_repair.prepare_database(state, database)
        try:
            with rescue.stop_on_damage(state, mine):
                (body or _load_body(name))(config, lambda facts: _announce_ready(state, name, facts), stop)
        except LanternError as error:
            run_status.record_failure(state, name, error)
            raise
        run_status.withdraw_announcement(state, name)
    if not programs.is_supervised():
        database_repair.mark_clean(mine)
    return 0


def _make_room(state: StateDir) -> None:
    if state.make_room():
        log.warning("the disk is full: the reserved space was given up, so that the databases can be opened")


def _announce_ready(state: StateDir, name: str, facts: run_status.Facts) -> None:
    run_status.announce_process(state, name, facts)
    notify.ready("at work")


def _load_body(name: str) -> Body:
    """The process's own code, imported only by the process that runs it."""
    with process.without_garbage_collection():
        if name == "gateway":
            from firmware_app.appliance.processes import gateway

            return gateway.run
        if name == "uplink":
            from firmware_app.appliance.processes import uplink

            return uplink.run
        if name == "sender":
            from firmware_app.appliance.processes import sender

            return sender.run
        from firmware_app.appliance.processes import reader

        return reader.run


def exec_viewer(config_path: Path | None) -> NoReturn:
    """Run `lantern serve --only viewer`: exec the viewer, which keeps this process's pid and systemd unit."""
    command = _build_command("viewer", config_path)
    os.execv(command[0], command)


# --- the supervisor -----------------------------------------------------------------------------------------------


def supervise(config: Config, config_path: Path | None, tell: Callable[[Event], None]) -> int:
    """Run every process of the box until SIGTERM or SIGINT.  *tell* gets started, ready, ended and stopped events."""
    stop = _install_stop_signal()
    state = StateDir(config.state.dir)
    _make_room(state)
    state.prepare()
    clock.start_clock(state, "supervisor")
    with run_status.hold_process_lock(state, "supervisor"):
        care = database_repair.DatabaseRepair(state, stop)
        care.repair_all()
        kept = [
            SupervisedProcess(name, _build_command(name, config_path))
            for name in run_status.list_expected_processes(config)
        ]
        _give_head_start(kept)
        identity = ProvisioningRunner(state, config_path)
        try:
            ballast_due = 0.0
            while not stop.is_set():
                if identity.is_done():
                    log.info("the box was given an identity or its certificate; its processes start again")
                    try:
                        config = load_config(config_path)
                    except LanternError as error:  # a typo of this minute; the processes start with what they can read
                        log.error("the configuration cannot be read: %s", error.code)
                    _stop_all(kept)
                    kept = [
                        SupervisedProcess(name, _build_command(name, config_path))
                        for name in run_status.list_expected_processes(config)
                    ]
                    _give_head_start(kept)
                if due := care.list_due():
                    _stop_all(
                        [
                            supervised_process
                            for supervised_process in kept
                            if set(due) & set(database_repair.list_needed_databases(state, supervised_process.name))
                        ]
                    )
                    care.repair(due)
                for supervised_process in kept:
                    if supervised_process.process is not None or care.may_run(supervised_process.name):
                        _check_process(supervised_process, state, tell)
                if time.monotonic() >= ballast_due:  # also made again after a full disk had released it
                    with suppress(OSError):  # a failing disk must not end the supervisor: the viewer reports it
                        state.prepare_ballast(config.retention.ballast_mb)
                    ballast_due = time.monotonic() + _BALLAST_S
                stop.wait(_LOOK_S)
        finally:
            identity.stop()
            _stop_all(kept)
            for supervised_process in kept:
                run_status.clear_failure(state, supervised_process.name)
            database_repair.mark_clean(state.databases)
    tell({"event": "stopped"})
    return 0


def _build_command(name: str, config_path: Path | None) -> list[str]:
    chosen = ["--config", str(config_path)] if config_path else []
    if name == "viewer":
        return [sys.executable, "-m", "web.server", *chosen]
    return [sys.executable, "-m", "firmware_app", "serve", "--only", name, *chosen]


def _check_process(one: SupervisedProcess, state: StateDir, tell: Callable[[Event], None]) -> None:
    """Handle one process: start it when it is due, report when it is ready, notice when it hangs or has ended."""
    if one.process is None:
        if time.monotonic() >= one.due:
            one.start()
        return
    status = one.poll_exit()
    if status is not None:
        log.warning("%s ended with status %d; it is started again in %.1f s", one.name, status, one.delay)
        tell({"event": "ended", "process": one.name, "status": status})
        return
    if one.is_hung(time.monotonic()):
        log.error("%s hangs: it gave no sign of life for %.0f s and is killed", one.name, one.patience_s)
        one.process.kill()
        return
    if (
        one.announced is None
        and (announced := run_status.read_announcement(state, one.name))
        and announced.get("pid") == one.process.pid
    ):
        one.announced = one.process.pid
        for other in one.followers:
            other.due = 0.0
        one.followers = ()
        tell({"event": "ready", **announced})


def _give_head_start(kept: list[SupervisedProcess]) -> None:
    """Give gateway and reader the CPU until the port is open, because a modality waits for less time than people."""
    kept[0].followers = tuple(
        supervised_process for supervised_process in kept if supervised_process.name not in _FIRST
    )
    for other in kept[0].followers:
        other.due = time.monotonic() + _HEAD_START_S


def _stop_all(kept: list[SupervisedProcess]) -> None:
    """SIGTERM to all, then SIGKILL to those that have not ended in time."""
    for supervised_process in kept:
        if supervised_process.process is not None:
            supervised_process.process.terminate()
    deadline = time.monotonic() + _STOP_S
    for supervised_process in kept:
        if not supervised_process.wait_for_exit(deadline):
            log.warning("%s did not stop in %.0f s and was killed", supervised_process.name, _STOP_S)
