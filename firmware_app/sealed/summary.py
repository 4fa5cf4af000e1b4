"""Everything that may cross the line, field by field: the allow-list.

Up go `Summary` (one case revision), `Digest` (many, each reduced to its mark, when the disk budget is short) and
`Presence` (birth, health, death).  Down come `Receipt` and `Keys`.  Nothing else can be built, and no field takes free
text: no name, id, UID, age, sex or study date has a place to stand.  Peers of form 1 say `FirstPresence` and
`FirstReceipt` instead (docs/uplink.md).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from firmware_app.records import Priority
from firmware_app.sealed.form import Hour, Many, Maybe, Message, OneOf, Part, Text, Whole, decode

__all__ = [
    "BOX_ID",
    "MERGED_MARKS",
    "MOST_FAULTS",
    "MOST_MARKS",
    "MOST_PACKS",
    "MOST_SEQ",
    "Brief",
    "Digest",
    "FindingBrief",
    "FirstPresence",
    "FirstReceipt",
    "Keys",
    "Kind",
    "Mark",
    "Modality",
    "Opinion",
    "Origin",
    "PackBrief",
    "Presence",
    "Receipt",
    "Refusal",
    "Refused",
    "Runtime",
    "SizeBand",
    "State",
    "Summary",
    "Taken",
    "body_hash",
    "decode",
    "decode_up",
    "quality_code",
    "size_band",
]  # fmt: skip

MOST_MARKS: Final = 100
MERGED_MARKS: Final = 16
"""Marks that this version puts into one digest: as many as always fit an envelope of form 2."""
MOST_FAULTS: Final = 12
MOST_PACKS: Final = 8
MOST_SEQ: Final = 2**53 - 1
BOX_ID: Final = r"[a-z0-9][a-z0-9-]{0,39}"
_QUALITY: Final = re.compile(r"[a-z][a-z0-9_-]{0,23}(\.[a-z][a-z0-9_-]{0,23}){0,2}", re.ASCII)
# Reasons that name what the image said of itself are still only codes; their details stay at home.
_REFERENCE: Final = Text(r"c-[0-9a-f]{20}")
_HOUR: Final = Maybe(Hour())
_COUNT: Final = Whole(0, 10**9)
_KEY: Final = Text(r"[0-9a-f]{64}")
_HASH: Final = Text(r"[0-9a-f]{32}")
_FAULT: Final = Text(r"[a-z][a-z0-9_-]{0,15}\.[a-z][a-z0-9_-]{0,31}")
_PACK: Final = Text(r"[a-z0-9][a-z0-9-]{0,39}")
_PACK_VERSION: Final = Text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")


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
    """The kinds of image the hospital hears of (PS3.3 C.7.3.1.1.1).  A modality is text from the image: whatever is
    none of these travels as OT, so that nothing can be smuggled in it."""

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
    def told_by(cls, said: str | None) -> Modality:
        """The closed form of what an image says of itself."""
        return next((known for known in cls if known == said), cls.OTHER)


class Runtime(StrEnum):
    """What a model ran on."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    LITERT = "litert"
    OTHER = "other"

    @classmethod
    def told_by(cls, key: str) -> Runtime:
        """The closed form of a runtime's key."""
        return next((known for known in cls if known == key), cls.OTHER)


class Opinion(StrEnum):
    """What the doctor said to the findings."""

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


def size_band(long_axes_mm: list[float | None]) -> SizeBand:
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


def quality_code(code: str | None) -> str:
    """A reason's code in its closed form; ``ok`` where there is none."""
    return "ok" if code is None else code if _QUALITY.fullmatch(code) else "other"


# --- up -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origin(Message):
    """Who speaks: `stream` is born with the box's exchange.db, `seq` never repeats in it, `boot` is random a boot."""

    name: ClassVar = "origin"
    box: Annotated[str, Text(BOX_ID)]
    stream: Annotated[str, Text(r"[0-9a-f]{32}")]
    seq: Annotated[int, Whole(1, MOST_SEQ)]
    boot: Annotated[str, Text(r"[0-9a-f]{16}")]


@dataclass(frozen=True, slots=True)
class FindingBrief(Message):
    """One labelled probability in hundredths (93 is 0.93)."""

    name: ClassVar = "finding"
    code: Annotated[str, Text(r"[a-z][a-z0-9_]{0,63}")]
    hundredths: Annotated[int, Whole(0, 100)]


@dataclass(frozen=True, slots=True)
class Brief(Message):
    """What the hospital may know of one case revision.  `case` is random; `hour` is UTC, null without a clock."""

    name: ClassVar = "brief"
    case: Annotated[str, _REFERENCE]
    revision: Annotated[int, Whole(1, 10**6)]
    modality: Annotated[Modality, OneOf(Modality)]
    pack: Annotated[str | None, Maybe(_PACK)]
    pack_version: Annotated[str | None, Maybe(_PACK_VERSION)]
    runtime: Annotated[Runtime | None, Maybe(OneOf(Runtime))]
    priority: Annotated[Priority, OneOf(Priority)]
    findings: Annotated[tuple[FindingBrief, ...], Many(Part(FindingBrief), 32)]
    lesions: Annotated[int, Whole(0, 9999)]
    size_band: Annotated[SizeBand, OneOf(SizeBand)]
    quality: Annotated[str, Text(_QUALITY.pattern)]
    latency_ms: Annotated[int, _COUNT]
    verdict: Annotated[Opinion, OneOf(Opinion)]
    hour: Annotated[str | None, _HOUR]


@dataclass(frozen=True, slots=True)
class Mark(Message):
    """What is left of a `Brief` when the disk budget is short: enough to count the case once."""

    name: ClassVar = "mark"
    case: Annotated[str, _REFERENCE]
    revision: Annotated[int, Whole(1, 10**6)]
    priority: Annotated[Priority, OneOf(Priority)]
    hour: Annotated[str | None, _HOUR]


@dataclass(frozen=True, slots=True)
class Summary(Message):
    """One case revision on its way to the hospital, as an alert or a digest."""

    name: ClassVar = "summary"
    origin: Annotated[Origin, Part(Origin)]
    brief: Annotated[Brief, Part(Brief)]

    @property
    def kind(self) -> Kind:
        return Kind.ALERT if self.brief.priority is Priority.URGENT else Kind.DIGEST


@dataclass(frozen=True, slots=True)
class Digest(Message):
    """Many case revisions in one message."""

    name: ClassVar = "digest"
    origin: Annotated[Origin, Part(Origin)]
    marks: Annotated[tuple[Mark, ...], Many(Part(Mark), MOST_MARKS)]

    @property
    def kind(self) -> Kind:
        return Kind.DIGEST


class State(StrEnum):
    """The three things a box says of itself."""

    BIRTH = "birth"
    HEALTH = "health"
    DEATH = "death"


@dataclass(frozen=True, slots=True)
class FirstPresence(Message):
    """How the box is, in form 1.  `origin.seq` numbers the connection, `beat` orders what is said during it (0 is the
    birth)."""

    name: ClassVar = "presence"
    origin: Annotated[Origin, Part(Origin)]
    state: Annotated[State, OneOf(State)]
    beat: Annotated[int, _COUNT]
    version: Annotated[str, Text(r"\d{1,4}\.\d{1,4}\.\d{1,4}([a-z0-9.+-]{0,20})")]
    outgoing: Annotated[int, _COUNT]  # summaries the hospital has not acknowledged
    quarantined: Annotated[int, _COUNT]  # of these, refused by broker or hospital
    unread: Annotated[int | None, Maybe(_COUNT)]  # images that wait for the reader; null when it has not said
    free_mb: Annotated[int, _COUNT]
    audit_head: Annotated[str | None, Maybe(_KEY)]
    hour: Annotated[str | None, _HOUR]

    @property
    def kind(self) -> Kind:
        return Kind(self.state.value)


@dataclass(frozen=True, slots=True)
class PackBrief(Message):
    """A model pack that the box works with."""

    name: ClassVar = "pack"
    pack: Annotated[str, _PACK]
    version: Annotated[str, _PACK_VERSION]


@dataclass(frozen=True, slots=True)
class Presence(FirstPresence):
    """How the box is, and what the technician's page says of it: what needs a hand, and the packs it works with."""

    faults: Annotated[tuple[str, ...], Many(_FAULT, MOST_FAULTS)]  # codes of the box's own checks, the worst first
    packs: Annotated[tuple[PackBrief, ...], Many(Part(PackBrief), MOST_PACKS)]


def decode_up(body: bytes, *, first: bool = False) -> Summary | Digest | FirstPresence:
    """The message a box wrote, of form 1 when *first*; raises `MessageInvalid`."""
    message = decode(body, Summary, Digest, FirstPresence if first else Presence)
    assert isinstance(message, Summary | Digest | FirstPresence)
    return message


def body_hash(body: bytes) -> str:
    """What a receipt names of a message: the first 16 bytes of the SHA-256 of its body, hexadecimal."""
    return hashlib.sha256(body).hexdigest()[:32]


# --- down ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taken(Message):
    """A message that the hospital has committed: its number and the `body_hash` of what came under it."""

    name: ClassVar = "taken"
    seq: Annotated[int, Whole(1, MOST_SEQ)]
    body: Annotated[str, _HASH]


@dataclass(frozen=True, slots=True)
class Refused(Message):
    """A message of the box that the hospital will never count, and why."""

    name: ClassVar = "refused"
    seq: Annotated[int, Whole(1, MOST_SEQ)]
    body: Annotated[str, _HASH]
    code: Annotated[str, Text(_QUALITY.pattern)]


@dataclass(frozen=True, slots=True)
class Receipt(Message):
    """The hospital has committed these messages of a stream; `at` is its clock in Unix seconds, null while it has
    reason to doubt that."""

    name: ClassVar = "receipt"
    box: Annotated[str, Text(BOX_ID)]
    stream: Annotated[str, Text(r"[0-9a-f]{32}")]
    taken: Annotated[tuple[Taken, ...], Many(Part(Taken), 200)]
    refused: Annotated[tuple[Refused, ...], Many(Part(Refused), 50)]
    at: Annotated[int | None, Maybe(Whole(0, MOST_SEQ))]


@dataclass(frozen=True, slots=True)
class Refusal(Message):
    """`Refused` in form 1, which does not say what came under the number."""

    name: ClassVar = "refusal"
    seq: Annotated[int, Whole(1, MOST_SEQ)]
    code: Annotated[str, Text(_QUALITY.pattern)]


@dataclass(frozen=True, slots=True)
class FirstReceipt(Message):
    """`Receipt` in form 1: numbers alone; `at` is 0 where the hospital doubts its clock."""

    name: ClassVar = "receipt"
    box: Annotated[str, Text(BOX_ID)]
    stream: Annotated[str, Text(r"[0-9a-f]{32}")]
    taken: Annotated[tuple[int, ...], Many(Whole(1, MOST_SEQ), 500)]
    refused: Annotated[tuple[Refusal, ...], Many(Part(Refusal), 100)]
    at: Annotated[int, Whole(0, MOST_SEQ)]


@dataclass(frozen=True, slots=True)
class Keys(Message):
    """The key to seal to from now on (X25519, raw, hexadecimal); a higher `serial` replaces a lower one."""

    name: ClassVar = "keys"
    box: Annotated[str, Text(BOX_ID)]
    serial: Annotated[int, Whole(1, 10**6)]
    seal: Annotated[str, _KEY]
