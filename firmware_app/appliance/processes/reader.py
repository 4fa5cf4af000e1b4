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
    relay = _open_relay(config, state, clinical)
    reader = Reader(config, state, clinical, stop=stop)
    try:
        ready(reader.warm())
        _read_until_stopped(reader, clinical, relay, config=config, ready=ready, stop=stop)
    except WriteStopped:
        log.warning("stopped while the database could not be written; the unwritten images are read again")
    finally:
        reader.close()
        if relay is not None:
            relay.close()
        clinical.database.close()


def _open_relay(config: Config, state: StateDir, clinical: ClinicalDatabase) -> Relay | None:
    if not config.uplink.enabled:
        return None
    from firmware_app.uplink.relay import Relay  # imports cryptography, 5 MB

    return Relay.from_config(config, state, clinical)


def _read_until_stopped(
    reader: Reader, clinical: ClinicalDatabase, relay: Relay | None, config: Config, ready: Ready, stop: threading.Event
) -> None:
    """Read new images; an idle box only polls `PRAGMA data_version`."""
    if "sender" not in run_status.list_expected_processes(config):  # else the sender does it
        reader.patience.execute(lambda: SendingQueue(clinical.database).set_archives({}))
    times, state, told = ClockChanges(clinical), StateDir(config.state.dir), PerformanceReport(clinical, config)
    watch, software = DriftReport(clinical, config), software_bundle.read_installed_system()
    falling, trials = PerformanceDropTest(clinical, config), reader.trials
    assert trials is not None

    outbox = Outbox(clinical.database)

    def conclude() -> None:
        reader.patience.execute(times.check)
        reader.patience.execute(
            lambda: clinical.close_revisions(
                config.reader.quiet_seconds, report=outbox.put if config.uplink.enabled else None, advise=reader.advise
            )
        )
        reader.patience.execute(falling.run_if_changed)
        if relay is not None:
            faults = [*falling.list_codes(reader.list_packs()), *trials.list_codes(), *list_troubles(state)]
            reports = [ClinicFigures.draft(told.list_figures()), *map(DriftWatch.draft, watch.list_sites())]
            if (running := software_record.report_software(state, software)) is not None:
                reports.append(SoftwareState.draft(running))
            relay.step(BoxHealth.from_facts(faults, reader.list_packs(), tuple(reports)))

    def gone_back() -> bool:
        if changed := trial_runner.apply_pack_changes(config, clinical.database):
            log.warning("a pack was changed: the reader starts anew with it")
        return changed

    seen, looked = None, 0.0
    while not stop.is_set():
        mark = clinical.database.read_change_mark()
        if mark != seen:
            while not stop.is_set() and reader.step():
                conclude()
                if gone_back():
                    return
            seen = mark if reader.patience.execute(reader.clips.step) is False else None
        if (relay is not None and relay.has_changes()) or time.monotonic() - looked > _LOOK_SECONDS:
            reader.warm()
            conclude()
            if gone_back() or trials.advance():
                return
            if reader.retry_packs() or reader.advance_benchmark():
                ready(reader.warm())
                seen = None
            looked = time.monotonic()
        stop.wait(POLL_SECONDS)
