"""What the hospital is told of the box's software."""

from __future__ import annotations

from firmware_app.appliance.updates import record
from firmware_app.appliance.updates.machine import Machine
from firmware_app.appliance.updates.record import Left
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.messages.software import MOST_PARTS, LeftFor, LeftSlot, RunningSoftware, Slot


def told(state: StateDir, machine: Machine) -> RunningSoftware | None:
    """In its closed form; None where the version has none."""
    if not RunningSoftware.takes(version=machine.version):
        return None
    left, slot = record.left(state), next((one for one in Slot if one == machine.slot), None)
    return RunningSoftware(machine.kind or None, machine.version, slot, _left(left) if left is not None else None)


def _left(left: Left) -> LeftSlot | None:
    slot = next((one for one in Slot if one == left.slot), None)
    if slot is None:
        return None
    version = left.version if LeftSlot.takes(version=left.version) else None
    parts = tuple(one for one in left.parts if LeftSlot.takes(parts=(one,)))
    return LeftSlot(slot, version, LeftFor(left.code), parts[:MOST_PARTS])
