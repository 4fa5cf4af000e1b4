"""What the box remembers of its software, in ``run/``, for the doctor, the page and the hospital.

``slot.json``      written at each start (`appliance.boot_slot`): the versions known to be good; the slot that was left,
                   and why
``software.json``  versions that were left before, what is being done, what the channel offers, and how it last ended

`report_software` puts it into the closed form in which the hospital gets it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from firmware_app.appliance.software_bundle import InstalledSystem
from firmware_app.core import clock, run_status
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.messages.box_reports import (
    MOST_SELF_TEST_PARTS,
    DiskSlot,
    LeftSlot,
    RunningSoftware,
    SlotLeftReason,
)

SLOT: Final = "slot"
NAME: Final = "software"
UNSTARTED, UNFIT = "slot.unstarted", "slot.unfit"
_MOST: Final = 20
_STALE_S: Final = 1800.0
INSTALLED: Final = register("software.installed", N_("Version {version} is installed; the box starts it now."))

register(
    UNFIT,
    N_(
        "Version {version} in slot {slot} was left: in its self-test these parts failed: {parts}. The version before "
        "runs. Tell whoever gave you the box these words; a later version is taken as usual."
    ),
)
register(
    UNSTARTED,
    N_(
        "Version {version} in slot {slot} was left: it did not start three times. The version before runs. Tell "
        "whoever gave you the box these words; a later version is taken as usual."
    ),
)


@dataclass(frozen=True, slots=True)
class AbandonedSlot:
    """A slot that was left; `parts` are the parts of the self-test that spoke against it."""

    slot: str
    version: str
    code: str
    parts: tuple[str, ...]

    @property
    def reason(self) -> Reason:
        """As a sentence."""
        version, parts = self.version or "–", ", ".join(self.parts) or "–"
        return Reason(self.code, {"slot": self.slot, "version": version, "parts": parts})


@dataclass(frozen=True, slots=True)
class UpdateProgress:
    """What is under way: `step` is ``fetching``, ``installing`` or ``starting``."""

    step: str
    version: str
    percent: int


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """How the last try ended; `origin` is ``stick``, ``upload`` or ``channel``, `file` what was tried."""

    origin: str
    file: str
    reason: Reason
    at: str


@dataclass(frozen=True, slots=True)
class OfferedVersion:
    """What the channel offered when it was last looked at: `reason` says why it is not installed, None: it may be."""

    version: str
    bytes: int
    reason: Reason | None
    at: str


def read_abandoned_slot(state: StateDir) -> AbandonedSlot | None:
    """The slot that was left last, until a later version is good."""
    content = run_status.read_check_result(state, SLOT).get("left")
    if not isinstance(content, dict) or content.get("code") not in (UNSTARTED, UNFIT):
        return None
    parts = tuple(part for part in str(content.get("parts") or "").split(", ") if part)
    return AbandonedSlot(
        str(content.get("slot") or "?"), str(content.get("version") or ""), str(content["code"]), parts
    )


def list_abandoned_versions(state: StateDir) -> frozenset[str]:
    """Every version that this box has left, as far as it remembers."""
    known = run_status.read_check_result(state, NAME).get("left")
    before = [str(one) for one in known] if isinstance(known, list) else []
    now = read_abandoned_slot(state)
    return frozenset(one for one in (*before, now.version if now else "") if one)


def read_progress(state: StateDir) -> UpdateProgress | None:
    """What is under way; None when nothing is, or whoever did it has died."""
    content = run_status.read_check_result(state, NAME).get("doing")
    try:
        if content["boot"] != clock.boot_id() or time.monotonic() - float(content["since"]) > _STALE_S:  # type: ignore[index]
            return None
        return UpdateProgress(str(content["step"]), str(content["version"]), int(content["percent"]))  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None


def read_outcome(state: StateDir) -> UpdateOutcome | None:
    """How the last try ended."""
    content = run_status.read_check_result(state, NAME).get("outcome")
    reason = run_status.reason_from_object(content)
    if reason is None or not isinstance(content, dict):
        return None
    origin, file, at = (str(content.get(key) or "") for key in ("origin", "file", "at"))
    return UpdateOutcome(origin, file, reason, at)


def read_offered(state: StateDir) -> OfferedVersion | None:
    """What the channel offered when it was last looked at."""
    content = run_status.read_check_result(state, NAME).get("offered")
    if not isinstance(content, dict):
        return None
    reason = run_status.reason_from_object(content.get("reason"))
    try:
        return OfferedVersion(str(content["version"]), int(content["bytes"]), reason, str(content["at"]))
    except (KeyError, TypeError, ValueError):
        return None


# --- root's side ------------------------------------------------------------------------------------------------------


def note_abandoned(state: StateDir) -> None:
    """Before another version comes: keep which one was left, for the next slot that is left takes its place."""
    _update_record(state, left=sorted(list_abandoned_versions(state))[-_MOST:])


def note_progress(state: StateDir, step: str, version: str, percent: int = 0) -> None:
    since = {"boot": clock.boot_id(), "since": time.monotonic()}
    _update_record(state, doing={"step": step, "version": version, "percent": percent, **since})


def note_outcome(state: StateDir, origin: str, file: str, error: LanternError | Reason) -> None:
    reason = error if isinstance(error, Reason) else Reason.from_error(error)
    at = clock.stamp_text("seconds")
    _update_record(
        state, doing=None, outcome={"origin": origin, "file": file, "at": at, **run_status.reason_to_object(reason)}
    )


def note_offered(state: StateDir, version: str, size: int, error: LanternError | None) -> None:
    reason = run_status.reason_to_object(Reason.from_error(error)) if error else None
    _update_record(
        state, offered={"version": version, "bytes": size, "reason": reason, "at": clock.stamp_text("seconds")}
    )


def _update_record(state: StateDir, **values: Any) -> None:
    content: Mapping[str, Any] = run_status.read_check_result(state, NAME)
    run_status.write_check_result(state, NAME, {**content, **values})


def report_software(state: StateDir, machine: InstalledSystem) -> RunningSoftware | None:
    """In its closed form; None where the version has none."""
    if not RunningSoftware.accepts(version=machine.version):
        return None
    left, slot = (
        read_abandoned_slot(state),
        next((disk_slot for disk_slot in DiskSlot if disk_slot == machine.slot), None),
    )
    return RunningSoftware(
        machine.kind or None, machine.version, slot, _report_abandoned(left) if left is not None else None
    )


def _report_abandoned(left: AbandonedSlot) -> LeftSlot | None:
    slot = next((disk_slot for disk_slot in DiskSlot if disk_slot == left.slot), None)
    if slot is None:
        return None
    version = left.version if LeftSlot.accepts(version=left.version) else None
    parts = tuple(part for part in left.parts if LeftSlot.accepts(parts=(part,)))
    return LeftSlot(slot, version, SlotLeftReason(left.code), parts[:MOST_SELF_TEST_PARTS])
