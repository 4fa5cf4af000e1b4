"""What a box reports beside its cases, as the hospital may know it: figures of its packs, drift, and software.

To add a report, write its class, list it in `REPORTS`, and have `appliance/processes/reader.py` hand its draft to the
relay.  The hospital keeps it then, and `lantern-hospital reports` lists it.

`SiteFigures` says how a pack does on one imaging device: numbers of confirmed images.  `SiteDrift` says whether the
images of a device have changed: shares, medians and how far they moved.  The device is a digest under a secret of the
box: it tells one device from another and says nothing of either.  Nothing of a single image is in here.

`RunningSoftware` says what software a box runs, and why it left a slot of its disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from firmware_app.core.records import LocalState
from firmware_app.uplink.errors import MessageInvalid
from firmware_app.uplink.messages.message import (
    Hour,
    Message,
    bounded_int,
    bounded_tuple,
    decode,
    matching_text,
    message,
)
from firmware_app.uplink.messages.summary import Kind, Origin, Presence, Summary

MOST_SITE_FIGURES: Final = 4
"""Packs on machines that one message tells of: as many as always fit an envelope."""
_COUNT: Final = bounded_int(0, 10**9)
Hundredths = Annotated[tuple[Annotated[int, bounded_int(0, 100)], ...], bounded_tuple(3)]
"""Value, lower and upper 95 % bound in hundredths; empty where the films do not say."""


@message
class SiteFigures(Message):
    """One finding of a pack on one imaging machine."""

    name: ClassVar = "place"
    pack: Annotated[str, matching_text(r"[a-z0-9][a-z0-9-]{0,39}")]
    version: Annotated[str, matching_text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")]
    machine: Annotated[str, matching_text(r"m-[0-9a-f]{20}")]
    finding: Annotated[str, matching_text(r"[a-z][a-z0-9_]{0,63}")]
    state: LocalState
    threshold: Annotated[int, bounded_int(0, 10_000)]  # in force, at the pack's own prevalence, in ten-thousandths
    read: Annotated[int, _COUNT]
    confirmed: Annotated[int, _COUNT]
    positives: Annotated[int, _COUNT]
    auc: Hundredths
    sensitivity: Hundredths
    specificity: Hundredths


MOST_SITE_DRIFTS: Final = 16
"""Packs on machines that a box tells of, one message each."""
MOST_MEASURES: Final = 12
_SCALE: Final = 10_000
_MOST: Final = 10**9
_NUMBER: Final = bounded_int(-_MOST, _MOST)


class MeasureTrend(StrEnum):
    """Whether a measure has changed."""

    STEADY = "steady"
    CHANGED = "changed"


@message
class MeasureDrift(Message):
    """One measure of a machine's films: in its first ones and now, in ten-thousandths; `psi` in hundredths."""

    name: ClassVar = "measure"
    measure: Annotated[str, matching_text(r"[a-z][a-z_]{0,15}")]
    first: Annotated[int, _NUMBER]
    now: Annotated[int, _NUMBER]
    psi: Annotated[int, bounded_int(0, 9999)]
    state: MeasureTrend

    @staticmethod
    def scale(number: float) -> int:
        """*number* as `first` and `now` have it."""
        return round(_SCALE * max(-_MOST / _SCALE, min(_MOST / _SCALE, number)))


@message
class SiteDrift(Message):
    """A pack on one imaging machine; without measures until it has seen enough images there."""

    name: ClassVar = "watched"
    pack: Annotated[str, matching_text(r"[a-z0-9][a-z0-9-]{0,39}")]
    version: Annotated[str, matching_text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")]
    machine: Annotated[str, matching_text(r"m-[0-9a-f]{20}")]
    seen: Annotated[int, bounded_int(0, _MOST)]
    measures: Annotated[tuple[MeasureDrift, ...], bounded_tuple(MOST_MEASURES)]


MOST_SELF_TEST_PARTS: Final = 12
_VERSION: Final = matching_text(r"[0-9][A-Za-z0-9.+~-]{0,63}")
_MACHINE: Final = matching_text(r"[a-z0-9][a-z0-9_-]{0,39}")


class DiskSlot(StrEnum):
    """One of the two places on a flashed disk."""

    A = "A"
    B = "B"


class SlotLeftReason(StrEnum):
    """Why a slot was left."""

    UNSTARTED = "slot.unstarted"
    UNFIT = "slot.unfit"


@message
class LeftSlot(Message):
    """A slot that was left; `parts` are the parts of the self-test that spoke against its version."""

    name: ClassVar = "left"
    slot: DiskSlot
    version: Annotated[str, _VERSION] | None
    code: SlotLeftReason
    parts: Annotated[
        tuple[Annotated[str, matching_text(r"[a-z][a-z_-]{0,23}")], ...], bounded_tuple(MOST_SELF_TEST_PARTS)
    ]


@message
class RunningSoftware(Message):
    """The kind of machine (null: neither flashed nor a package), the version, the slot, and the slot that was left."""

    name: ClassVar = "running"
    machine: Annotated[str, _MACHINE] | None
    version: Annotated[str, _VERSION]
    slot: DiskSlot | None
    left: LeftSlot | None


class Report(Message):
    """A box's word on itself; it replaces the one before on its subject.  Its content is every field but when."""

    __slots__ = ()
    origin: Origin
    beat: Annotated[int, _COUNT]
    hour: Hour | None
    kind: ClassVar[Kind]
    content_field: ClassVar[str]
    is_kept_by_weeks: ClassVar[bool] = False

    @property
    def subject(self) -> str:
        """What it is about, where a box has several reports of this name."""
        return ""

    @property
    def content(self) -> dict[str, object]:
        """What it says, without when."""
        return {name: value for name, value in self.to_object().items() if name not in ("origin", "beat", "hour")}

    @classmethod
    def draft(cls, content: Message | Sequence[Message]) -> Draft:
        """A report of this *content*, which the uplink completes when it sends it."""
        listed = content.to_object() if isinstance(content, Message) else [part.to_object() for part in content]
        return Draft(cls.name, {cls.content_field: listed})


@dataclass(frozen=True, slots=True)
class Draft:
    """What a report says, on its way from the reader's side to the uplink: its name, and its content as JSON values."""

    name: str
    content: Mapping[str, object]

    def complete(self, origin: Origin, beat: int, hour: str | None) -> Report:
        """The report; raises `MessageInvalid` where the content has not its form."""
        kind = next((kind for kind in REPORTS if kind.name == self.name), None)
        if kind is None:
            raise MessageInvalid(field="message")
        return kind.from_object({**self.content, "origin": origin.to_object(), "beat": beat, "hour": hour})


@message
class ClinicFigures(Report):
    """How the packs do at the clinic."""

    name: ClassVar = "figures"
    kind: ClassVar = Kind.DRIFT
    content_field: ClassVar = "places"
    origin: Origin
    beat: Annotated[int, _COUNT]
    places: Annotated[tuple[SiteFigures, ...], bounded_tuple(MOST_SITE_FIGURES)]
    hour: Hour | None


@message
class DriftWatch(Report):
    """Whether the films of one machine have changed."""

    name: ClassVar = "watch"
    kind: ClassVar = Kind.DRIFT
    content_field: ClassVar = "place"
    is_kept_by_weeks: ClassVar = True
    origin: Origin
    beat: Annotated[int, _COUNT]
    place: SiteDrift
    hour: Hour | None

    @property
    def subject(self) -> str:
        return f"{self.place.pack} {self.place.machine}"


@message
class SoftwareState(Report):
    """What software the box runs and why it left a slot."""

    name: ClassVar = "software"
    kind: ClassVar = Kind.HEALTH
    content_field: ClassVar = "software"
    origin: Origin
    beat: Annotated[int, _COUNT]
    software: RunningSoftware
    hour: Hour | None


REPORTS: Final = (ClinicFigures, DriftWatch, SoftwareState)
"""Every report.  A new one is a class and its name here: relay, uplink and hospital treat all of them alike."""
UpMessage = Summary | Presence | Report


def decode_up(body: bytes) -> UpMessage:
    """The message that a box wrote; raises `MessageInvalid`."""
    kinds: tuple[type[UpMessage], ...] = (Summary, Presence, *REPORTS)
    return decode(body, *kinds)
