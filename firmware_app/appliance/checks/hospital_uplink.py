"""The state of the line to the hospital, in sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import UPLINK_OPEN, Exchange, UplinkStatus

ORDER: Final = 150
NAMES: Final = {"line": N_("Line to the hospital")}
HANDBOOK: Final = Section(N_("The line to the hospital"), ("line.*", "uplink.*"))
OFF: Final = register(
    "line.off", N_("The line to the hospital is switched off. “lantern provision” prepares this box for one.")
)
AWAITED: Final = register(
    "line.awaited",
    N_(
        "The hospital has not enrolled this box yet, so the line is closed. Bring {bundle} to the hospital; with the "
        "file that it gives back: “lantern provision --enrolment FILE --write /etc/lantern/lantern.toml”, then restart "
        "the box."
    ),
)
NOT_TRIED: Final = register(
    "line.not_tried", N_("The line to the hospital was not opened yet. It is opened while the box runs.")
)
ALL_SENT: Final = register("line.all_sent", N_("The hospital has every summary of this box."))
WAITING: Final = register(
    "line.waiting",
    N_("Summaries that wait for the hospital's receipt: {outgoing}, urgent ones: {urgent}. None is lost."),
)
QUARANTINED: Final = register(
    "line.quarantined", N_("Summaries that the broker or the hospital refused, set aside here: {quarantined}.")
)


def read_uplink_state(config: Config, state: StateDir) -> UplinkStatus | None:
    """The record that the uplink keeps; None when the line is off or was never prepared."""
    return _read_status(state) if config.uplink.enabled else None


def _read_status(state: StateDir) -> UplinkStatus | None:
    if not state.exchange_db.exists():
        return None
    exchange = Exchange(state.exchange_db)
    try:
        exchange.require()
        return exchange.read_status()
    except (LanternError, sqlite3.DatabaseError):
        return None
    finally:
        exchange.database.close()


def status(config: Config, state: StateDir) -> dict[str, Any] | None:
    """What `lantern status --json` prints under ``line``."""
    line = read_uplink_state(config, state)
    if line is None:
        return None
    return {
        "code": line.reason.code if line.reason else None,
        "since": line.since,
        "outgoing": line.outgoing,
        "urgent": line.urgent,
        "quarantined": line.quarantined,
    }


def _find_unsent_bundle(config: Config) -> Path | None:
    """What the hospital still needs to enrol this box; None when it has enrolled it, or when there is no hospital.

    Judged by the configuration alone: the viewer shows this sentence and may not read the box's keys.
    """
    uplink = config.uplink
    return uplink.hospital.with_name("box.json") if uplink.hospital is not None and uplink.tls_cert is None else None


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """The checks of the line."""
    for works, reason in _list_reasons(config, state):
        yield Check("line", "ok" if works else "warn", reason)


def _list_reasons(config: Config, state: StateDir) -> Iterator[tuple[bool, Reason]]:
    if not config.uplink.enabled:
        asks = _read_status(state) if config.uplink.tls_cert is None else None
        if asks is not None and asks.reason is not None:  # the uplink runs, and asks over the line to be enrolled
            yield False, asks.reason
        awaited = _find_unsent_bundle(config)
        yield (True, Reason(OFF)) if awaited is None else (False, Reason(AWAITED, {"bundle": str(awaited)}))
        return
    line = read_uplink_state(config, state)
    if line is None or line.reason is None:
        yield False, Reason(NOT_TRIED)
        return
    yield line.reason.code == UPLINK_OPEN, line.reason
    if line.outgoing:
        yield False, Reason(WAITING, {"outgoing": line.outgoing, "urgent": line.urgent})
    else:
        yield True, Reason(ALL_SENT)
    if line.quarantined:
        yield False, Reason(QUARANTINED, {"quarantined": line.quarantined})
