"""Everything that may leave the box over MQTT, field by field: the allow-list.

Up go `Summary` (one case revision), `Presence` (birth, health, death) and the reports of `box_reports.REPORTS`.  Down
come `Receipt` and `Keys`.  Nothing else can be built, and no field takes free text: there is no field for a name, an
id, a UID, an age, a sex or a study date.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from firmware_app.core.records import Priority
from firmware_app.uplink.messages.message import Hour, Message, bounded_int, bounded_tuple, matching_text, message
from firmware_app.uplink.messages.message import decode as decode

MOST_FAULTS: Final = 12
MOST_PACKS: Final = 8
MOST_SEQ: Final = 2**53 - 1
BOX_ID: Final = r"[a-z0-9][a-z0-9-]{0,39}"
_QUALITY: Final = re.compile(r"[a-z][a-z0-9_-]{0,23}(\.[a-z][a-z0-9_-]{0,23}){0,2}", re.ASCII)
# Only the code of a reason leaves the box.  Its details, which may quote the image, stay.
_REFERENCE: Final = matching_text(r"c-[0-9a-f]{20}")
_COUNT: Final = bounded_int(0, 10**9)
_KEY: Final = matching_text(r"[0-9a-f]{64}")
_HASH: Final = matching_text(r"[0-9a-f]{32}")
_FAULT: Final = matching_text(r"[a-z][a-z0-9_-]{0,15}\.[a-z][a-z0-9_-]{0,31}")
_PACK: Final = matching_text(r"[a-z0-9][a-z0-9-]{0,39}")
_PACK_VERSION: Final = matching_text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")


class Kind(StrEnum):
    """The last word of a topic."""

    BIRTH = "birth"
    DEATH = "death"
    ALERT = "alert"
    DIGEST = "digest"
    HEALTH = "health"
    DRIFT = "drift"
    ACK = "ack"
    KEYS = "keys"
    COMMAND = "command"


class Modality(StrEnum):
    """The modalities that a summary can name (PS3.3 C.7.3.1.1.1).

    In the image the modality is free text: any other value is sent as OT, so that nothing can be smuggled out in it.
    """

    CR = "CR"
    CT = "CT"
    DX = "DX"
    ES = "ES"
    MG = "MG"
    MR = "MR"
    RF = "RF"
    US = "US"
    XA = "XA"
    OTHER = "OT"

    @classmethod
    def from_header(cls, stated: str | None) -> Modality:
        """The member for the modality that an image states."""
        return next((known for known in cls if known == stated), cls.OTHER)


class SummaryRuntime(StrEnum):
    """The runtime that a model ran on."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    LITERT = "litert"
    OTHER = "other"

    @classmethod
    def from_key(cls, key: str) -> SummaryRuntime:
        """The member for a runtime's key."""
        return next((known for known in cls if known == key), cls.OTHER)


class Opinion(StrEnum):
    """The doctor's verdict on the findings."""

    NONE = "none"
    AGREE = "agree"
    DISAGREE = "disagree"
    UNSURE = "unsure"


class SizeBand(StrEnum):
    """The long axis of the largest lesion, in mm."""

    NONE = "none"
    UNKNOWN = "unknown"
    BELOW_5 = "<5"
    FROM_5 = "5-10"
    FROM_10 = "10-20"
    FROM_20 = "20-30"
    FROM_30 = ">=30"


def choose_size_band(long_axes_mm: list[float | None]) -> SizeBand:
    """The band of the largest of these lesions."""
    if not long_axes_mm:
        return SizeBand.NONE
    largest = max((axis for axis in long_axes_mm if axis is not None), default=None)
    if largest is None:
        return SizeBand.UNKNOWN
    for limit, band in ((5, SizeBand.BELOW_5), (10, SizeBand.FROM_5), (20, SizeBand.FROM_10), (30, SizeBand.FROM_20)):
        if largest < limit:
            return band
    return SizeBand.FROM_30


def shorten_quality_code(code: str | None) -> str:
    """The code of a reason: ``ok`` where there is none, ``other`` where it has not the form of a code."""
    return "ok" if code is None else code if _QUALITY.fullmatch(code) else "other"


# --- up -----------------------------------------------------------------------------------------------------------


@message
class Origin(Message):
    """The sender: `stream` is made with the box's exchange.db, `seq` never repeats in it, `boot` is new each boot."""

    name: ClassVar = "origin"
    box: Annotated[str, matching_text(BOX_ID)]
    stream: Annotated[str, matching_text(r"[0-9a-f]{32}")]
    seq: Annotated[int, bounded_int(1, MOST_SEQ)]
    boot: Annotated[str, matching_text(r"[0-9a-f]{16}")]


@message
class FindingBrief(Message):
    """One labelled probability in hundredths (93 is 0.93)."""

    name: ClassVar = "finding"
    code: Annotated[str, matching_text(r"[a-z][a-z0-9_]{0,63}")]
    hundredths: Annotated[int, bounded_int(0, 100)]


@message
class Brief(Message):
    """What the hospital may know of one case revision.  `case` is random; `hour` is UTC, null without a clock."""

    name: ClassVar = "brief"
    case: Annotated[str, _REFERENCE]
    revision: Annotated[int, bounded_int(1, 10**6)]
    modality: Modality
    pack: Annotated[str, _PACK] | None
    pack_version: Annotated[str, _PACK_VERSION] | None
    runtime: SummaryRuntime | None
    priority: Priority
    findings: Annotated[tuple[FindingBrief, ...], bounded_tuple(32)]
    lesions: Annotated[int, bounded_int(0, 9999)]
    size_band: SizeBand
    quality: Annotated[str, matching_text(_QUALITY.pattern)]
    latency_ms: Annotated[int, _COUNT]
    verdict: Opinion
    hour: Hour | None


@message
class Summary(Message):
    """One case revision on its way to the hospital, as an alert or a digest."""

    name: ClassVar = "summary"
    origin: Origin
    brief: Brief

    @property
    def kind(self) -> Kind:
        return Kind.ALERT if self.brief.priority is Priority.URGENT else Kind.DIGEST


class PresenceKind(StrEnum):
    """The kinds of `Presence`."""

    BIRTH = "birth"
    HEALTH = "health"
    DEATH = "death"


@message
class PackBrief(Message):
    """A model pack that the box works with."""

    name: ClassVar = "pack"
    pack: Annotated[str, _PACK]
    version: Annotated[str, _PACK_VERSION]


@message
class Presence(Message):
    """How the box is.  `origin.seq` numbers the connection, `beat` the messages during it (0: the birth)."""

    name: ClassVar = "presence"
    origin: Origin
    state: PresenceKind
    beat: Annotated[int, _COUNT]
    version: Annotated[str, matching_text(r"\d{1,4}\.\d{1,4}\.\d{1,4}([a-z0-9.+-]{0,20})")]
    outgoing: Annotated[int, _COUNT]  # summaries the hospital has not acknowledged
    quarantined: Annotated[int, _COUNT]  # of these, refused by broker or hospital
    unread: Annotated[int, _COUNT] | None  # images that wait for the reader; null while that is unknown
    free_mb: Annotated[int, _COUNT]
    audit_head: Annotated[str, _KEY] | None
    hour: Hour | None
    # codes of the box's own checks, the worst first
    faults: Annotated[tuple[Annotated[str, _FAULT], ...], bounded_tuple(MOST_FAULTS)]
    packs: Annotated[tuple[PackBrief, ...], bounded_tuple(MOST_PACKS)]

    @property
    def kind(self) -> Kind:
        return Kind(self.state.value)


def hash_body(body: bytes) -> str:
    """By what a receipt names a message: the first 16 bytes of the SHA-256 of its body, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()[:32]


# --- down ---------------------------------------------------------------------------------------------------------


@message
class TakenMessage(Message):
    """A message that the hospital has committed: its number and the `hash_body` of its body."""

    name: ClassVar = "taken"
    seq: Annotated[int, bounded_int(1, MOST_SEQ)]
    body: Annotated[str, _HASH]


@message
class RefusedMessage(Message):
    """A message of the box that the hospital will never count, and why."""

    name: ClassVar = "refused"
    seq: Annotated[int, bounded_int(1, MOST_SEQ)]
    body: Annotated[str, _HASH]
    code: Annotated[str, matching_text(_QUALITY.pattern)]


@message
class Receipt(Message):
    """The hospital has committed these messages of a stream; `at` is its clock in Unix seconds, null while it has
    reason to doubt that."""

    name: ClassVar = "receipt"
    box: Annotated[str, matching_text(BOX_ID)]
    stream: Annotated[str, matching_text(r"[0-9a-f]{32}")]
    taken: Annotated[tuple[TakenMessage, ...], bounded_tuple(200)]
    refused: Annotated[tuple[RefusedMessage, ...], bounded_tuple(50)]
    at: Annotated[int, bounded_int(0, MOST_SEQ)] | None


@message
class Keys(Message):
    """The key to seal to from now on (X25519, raw, hexadecimal); a higher `serial` replaces a lower one."""

    name: ClassVar = "keys"
    box: Annotated[str, matching_text(BOX_ID)]
    serial: Annotated[int, bounded_int(1, 10**6)]
    seal: Annotated[str, _KEY]
