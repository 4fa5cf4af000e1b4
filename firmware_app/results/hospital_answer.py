"""What the county hospital is known to have of a case: its summary is sealed, under way, received, or was refused.

The line carries the hospital's signed receipt and nothing else back: not who looked at the case, nor what they say.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from firmware_app.cases.clinical_db import Clinical
from firmware_app.core import clock, presence
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import OPEN, Exchange

SEALED: Final = register("hospital.sealed", N_("County hospital: the sealed summary waits on this box to be sent."))
SENT: Final = register(
    "hospital.sent", N_("County hospital: the sealed summary was given to the line; no receipt has come back yet.")
)
RECEIVED: Final = register("hospital.received", N_("County hospital: it has received the summary and signed for it."))
EARLIER: Final = register(
    "hospital.earlier",
    N_("County hospital: it has signed for an earlier state of this case; the summary of this one is still to go."),
)
SET_ASIDE: Final = register(
    "hospital.set_aside",
    N_("County hospital: the summary was not taken. It is set aside on this box; call the technician."),
)
LINE_DOWN: Final = register(
    "hospital.line_down",
    N_("The line to the hospital is interrupted at the moment; nothing is lost, and it is sent later."),
)


@dataclass(frozen=True, slots=True)
class HospitalAnswer:
    """The state of the newest revision, the time of the last receipt, and what is wrong with the line it waits for."""

    state: Reason
    at: clock.Stamp | None
    line: Reason | None


def of_case(config: Config, state: StateDir, clinical: Clinical, case: str) -> HospitalAnswer | None:
    """None where the box has no line to a hospital, or nothing of the case was ever to be sent."""
    if not config.uplink.enabled:
        return None
    connection = clinical.database.connection
    signed = connection.execute(
        "SELECT revision, at FROM hospital_receipts WHERE case_reference = ?", (case,)
    ).fetchone()
    newest = connection.execute(
        "SELECT relayed, seq FROM outbox WHERE case_reference = ? ORDER BY revision DESC LIMIT 1", (case,)
    ).fetchone()
    at = clock.parse(signed["at"]) if signed is not None else None
    if newest is None:
        if signed is None:
            return None  # read before there was a line, or before the box kept the time of receipts
        row = connection.execute("SELECT revision, fresh FROM cases WHERE reference = ?", (case,)).fetchone()
        is_newest = row is not None and row["revision"] <= signed["revision"] and not row["fresh"]
        return HospitalAnswer(Reason(RECEIVED if is_newest else EARLIER), at, None)
    quarantined, is_open = _line(state, newest["seq"])
    if quarantined:
        return HospitalAnswer(Reason(SET_ASIDE), at, None)
    told = EARLIER if at is not None else SENT if newest["relayed"] and is_open else SEALED
    return HospitalAnswer(Reason(told), at, None if is_open else Reason(LINE_DOWN))


def _line(state: StateDir, seq: int | None) -> tuple[bool, bool]:
    """Whether the message of this number is set aside, and whether the line is open."""
    exchange = Exchange(state.exchange_db)
    try:
        exchange.require()
        row = exchange.database.connection.execute(
            "SELECT 1 FROM outgoing WHERE seq = ? AND state = 'quarantined'", (seq,)
        ).fetchone()
        reason = exchange.line().reason
        is_open = reason is not None and reason.code == OPEN and presence.is_running(state, "uplink")
        return row is not None, is_open
    except (LanternError, sqlite3.DatabaseError):
        return False, False
    finally:
        exchange.database.close()
