"""What software a box runs, and why it left a slot of its disk, as the hospital may know it: a closed form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from firmware_app.uplink.messages.form import Many, Maybe, Message, Nested, OneOf, Text

MOST_PARTS: Final = 12
_VERSION: Final = Text(r"[0-9][A-Za-z0-9.+~-]{0,63}")
_MACHINE: Final = Text(r"[a-z0-9][a-z0-9_-]{0,39}")


class Slot(StrEnum):
    """One of the two places on a flashed disk."""

    A = "A"
    B = "B"


class LeftFor(StrEnum):
    """Why a slot was left."""

    UNSTARTED = "slot.unstarted"
    UNFIT = "slot.unfit"


@dataclass(frozen=True, slots=True)
class LeftSlot(Message):
    """A slot that was left; `parts` are the parts of the self-test that spoke against its version."""

    name: ClassVar = "left"
    slot: Annotated[Slot, OneOf(Slot)]
    version: Annotated[str | None, Maybe(_VERSION)]
    code: Annotated[LeftFor, OneOf(LeftFor)]
    parts: Annotated[tuple[str, ...], Many(Text(r"[a-z][a-z_-]{0,23}"), MOST_PARTS)]


@dataclass(frozen=True, slots=True)
class RunningSoftware(Message):
    """The kind of machine (null: neither flashed nor a package), the version, the slot, and the slot that was left."""

    name: ClassVar = "running"
    machine: Annotated[str | None, Maybe(_MACHINE)]
    version: Annotated[str, _VERSION]
    slot: Annotated[Slot | None, Maybe(OneOf(Slot))]
    left: Annotated[LeftSlot | None, Maybe(Nested(LeftSlot))]
