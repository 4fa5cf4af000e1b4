"""What a box reports beside its cases, as the hospital may know it: figures of its packs, drift, and software.

`SiteFigures` says how a pack does on one imaging device: numbers of confirmed images.  `SiteDrift` says whether the
images of a device have changed: shares, medians and how far they moved.  The device is a digest under a secret of the
box: it tells one device from another and says nothing of either.  Nothing of a single image is in here.

`RunningSoftware` says what software a box runs, and why it left a slot of its disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from firmware_app.core.records import LocalState
from firmware_app.uplink.messages.message import Many, Maybe, Message, Nested, OneOf, Text, Whole

MOST_SITE_FIGURES: Final = 4
"""Packs on machines that one message tells of: as many as always fit an envelope of form 2."""
_COUNT: Final = Whole(0, 10**9)
_ESTIMATE: Final = Many(Whole(0, 100), 3)
"""Value, lower and upper 95 % bound in hundredths; empty where the films do not say."""
Hundredths = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SiteFigures(Message):
    """One finding of a pack on one imaging machine."""

    name: ClassVar = "place"
    pack: Annotated[str, Text(r"[a-z0-9][a-z0-9-]{0,39}")]
    version: Annotated[str, Text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")]
    machine: Annotated[str, Text(r"m-[0-9a-f]{20}")]
    finding: Annotated[str, Text(r"[a-z][a-z0-9_]{0,63}")]
    state: Annotated[LocalState, OneOf(LocalState)]
    threshold: Annotated[int, Whole(0, 10_000)]  # in force, at the pack's own prevalence, in ten-thousandths
    read: Annotated[int, _COUNT]
    confirmed: Annotated[int, _COUNT]
    positives: Annotated[int, _COUNT]
    auc: Annotated[Hundredths, _ESTIMATE]
    sensitivity: Annotated[Hundredths, _ESTIMATE]
    specificity: Annotated[Hundredths, _ESTIMATE]


MOST_SITE_DRIFTS: Final = 16
"""Packs on machines that a box tells of, one message each."""
MOST_MEASURES: Final = 12
_SCALE: Final = 10_000
_MOST: Final = 10**9
_NUMBER: Final = Whole(-_MOST, _MOST)


class MeasureTrend(StrEnum):
    """Whether a measure has changed."""

    STEADY = "steady"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class MeasureDrift(Message):
    """One measure of a machine's films: in its first ones and now, in ten-thousandths; `psi` in hundredths."""

    name: ClassVar = "measure"
    measure: Annotated[str, Text(r"[a-z][a-z_]{0,15}")]
    first: Annotated[int, _NUMBER]
    now: Annotated[int, _NUMBER]
    psi: Annotated[int, Whole(0, 9999)]
    state: Annotated[MeasureTrend, OneOf(MeasureTrend)]

    @staticmethod
    def scaled(number: float) -> int:
        """*number* as `first` and `now` have it."""
        return round(_SCALE * max(-_MOST / _SCALE, min(_MOST / _SCALE, number)))


@dataclass(frozen=True, slots=True)
class SiteDrift(Message):
    """A pack on one imaging machine; without measures until it has seen enough images there."""

    name: ClassVar = "watched"
    pack: Annotated[str, Text(r"[a-z0-9][a-z0-9-]{0,39}")]
    version: Annotated[str, Text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")]
    machine: Annotated[str, Text(r"m-[0-9a-f]{20}")]
    seen: Annotated[int, Whole(0, _MOST)]
    measures: Annotated[tuple[MeasureDrift, ...], Many(Nested(MeasureDrift), MOST_MEASURES)]


MOST_SELF_TEST_PARTS: Final = 12
_VERSION: Final = Text(r"[0-9][A-Za-z0-9.+~-]{0,63}")
_MACHINE: Final = Text(r"[a-z0-9][a-z0-9_-]{0,39}")


class DiskSlot(StrEnum):
    """One of the two places on a flashed disk."""

    A = "A"
    B = "B"


class SlotLeftReason(StrEnum):
    """Why a slot was left."""

    UNSTARTED = "slot.unstarted"
    UNFIT = "slot.unfit"


@dataclass(frozen=True, slots=True)
class LeftSlot(Message):
    """A slot that was left; `parts` are the parts of the self-test that spoke against its version."""

    name: ClassVar = "left"
    slot: Annotated[DiskSlot, OneOf(DiskSlot)]
    version: Annotated[str | None, Maybe(_VERSION)]
    code: Annotated[SlotLeftReason, OneOf(SlotLeftReason)]
    parts: Annotated[tuple[str, ...], Many(Text(r"[a-z][a-z_-]{0,23}"), MOST_SELF_TEST_PARTS)]


@dataclass(frozen=True, slots=True)
class RunningSoftware(Message):
    """The kind of machine (null: neither flashed nor a package), the version, the slot, and the slot that was left."""

    name: ClassVar = "running"
    machine: Annotated[str | None, Maybe(_MACHINE)]
    version: Annotated[str, _VERSION]
    slot: Annotated[DiskSlot | None, Maybe(OneOf(DiskSlot))]
    left: Annotated[LeftSlot | None, Maybe(Nested(LeftSlot))]
