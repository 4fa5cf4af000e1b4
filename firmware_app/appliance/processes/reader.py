"""The reader process: reads the images that the door has recorded, closes revisions, passes summaries to the uplink.

It has no network.  Only its child processes touch pixels and models (`reading/children/`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from firmware_app.appliance import software_bundle, software_record
from firmware_app.appliance.checks.maintenance import list_troubles
from firmware_app.cases.clinical_db import ClinicalDatabase, ClockChanges
from firmware_app.core import run_status
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.monitoring.drift import DriftReport
from firmware_app.monitoring.local_performance import PerformanceReport
from firmware_app.monitoring.performance_drops import PerformanceDropTest
from firmware_app.reading import trial_runner
from firmware_app.reading.faults import WriteStopped
from firmware_app.reading.reader import Reader
from firmware_app.results.archive_queue import SendingQueue
from firmware_app.uplink.exchange.exchange_db import BoxHealth
from firmware_app.uplink.messages.box_reports import ClinicFigures, DriftWatch, SoftwareState
from firmware_app.uplink.outbox import Outbox

if TYPE_CHECKING:
    from firmware_app.uplink.relay import Relay

log = logging.getLogger("lantern.reader")

POLL_SECONDS: Final = 0.025
_LOOK_SECONDS: Final = 0.25  # for events without a commit: the end of a quiet time, a child that died while idle
Ready = Callable[[Mapping[str, str | int | None]], None]


def run(config: Config, ready: Ready, stop: threading.Event) -> None:
    """Body of the reader process: calls *ready* when both children are started, then reads until *stop*.

    The caller holds the lock that makes it the only reader of this state.
    """
    state = StateDir(config.state.dir)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    relay = _relay(config, state, clinical)
    reader = Reader(config, state, clinical, stop=stop)
    try:
        ready(reader.warm())
        _watch(reader, clinical, relay, config=config, ready=ready, stop=stop)
    except WriteStopped:
        log.warning("stopped while the database could not be written; the unwritten images are read again")
    finally:
        reader.close()
        if relay is not None:
            relay.close()
        clinical.database.close()


def _relay(config: Config, state: StateDir, clinical: ClinicalDatabase) -> Relay | None:
    if not config.uplink.enabled:
        return None
    from firmware_app.uplink.relay import Relay  # imports cryptography, 5 MB

    return Relay.of(config, state, clinical)


def _watch(
    reader: Reader, clinical: ClinicalDatabase, relay: Relay | None, config: Config, ready: Ready, stop: threading.Event
) -> None:
    """Read new images; an idle box only polls `PRAGMA data_version`."""
    if "sender" not in run_status.expected_processes(config):  # else the sender does it
        reader.patience.carry_out(lambda: SendingQueue(clinical.database).set_up({}))
    times, state, told = ClockChanges(clinical), StateDir(config.state.dir), PerformanceReport(clinical, config)
    watch, software = DriftReport(clinical, config), software_bundle.read_installed_system()
    falling, trials = PerformanceDropTest(clinical, config), reader.trials
    assert trials is not None

    outbox = Outbox(clinical.database)

    def conclude() -> None:
        reader.patience.carry_out(times.look)
        reader.patience.carry_out(
            lambda: clinical.close_revisions(
                config.reader.quiet_seconds, report=outbox.put if config.uplink.enabled else None, advise=reader.advise
            )
        )
        reader.patience.carry_out(falling.look)
        if relay is not None:
            faults = [*falling.codes(reader.packs()), *trials.codes(), *list_troubles(state)]
            reports = [ClinicFigures.draft(told.figures()), *map(DriftWatch.draft, watch.places())]
            if (running := software_record.report_software(state, software)) is not None:
                reports.append(SoftwareState.draft(running))
            relay.step(BoxHealth.of(faults, reader.packs(), tuple(reports)))

    def gone_back() -> bool:
        if changed := trial_runner.apply_pack_changes(config, clinical.database):
            log.warning("a pack was changed: the reader starts anew with it")
        return changed

    seen, looked = None, 0.0
    while not stop.is_set():
        mark = clinical.database.change_mark()
        if mark != seen:
            while not stop.is_set() and reader.step():
                conclude()
                if gone_back():
                    return
            seen = mark if reader.patience.carry_out(reader.clips.step) is False else None
        if (relay is not None and relay.called()) or time.monotonic() - looked > _LOOK_SECONDS:
            reader.warm()
            conclude()
            if gone_back() or trials.tend():
                return
            if reader.look_again() or reader.measure():
                ready(reader.warm())
                seen = None
            looked = time.monotonic()
        stop.wait(POLL_SECONDS)
