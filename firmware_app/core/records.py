"""The box's own data types, as frozen values that check themselves; the packages exchange these.

Lengths are pixels of the original frame unless the name says otherwise; times are milliseconds where named so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register, render_sentence, translate
from firmware_app.core.lesion import FINDING_TAG as FINDING_TAG
from firmware_app.core.lesion import Feature as Feature
from firmware_app.core.lesion import Lesion as Lesion
from firmware_app.core.lesion import LesionSightings as LesionSightings

Detail = str | int | float
_ADVISED: Final = register("follow_up", N_("{advice} (Rule: {rule}. Source: {source})"))
_RAISED: Final = register("follow_up.raised", N_("{advice} (Rule: {rule}, because of: {background}. Source: {source})"))


class Priority(StrEnum):
    """How soon a doctor should look, most urgent first."""

    URGENT = "urgent"
    SOON = "soon"
    ROUTINE = "routine"
    CANNOT_JUDGE = "cannot-judge"


class FileStatus(StrEnum):
    """What became of one file or DICOM object that was given to the box."""

    READ = "read"
    CANNOT_JUDGE = "cannot-judge"
    REFUSED = "refused"
    DUPLICATE = "duplicate"


class ReadingStatus(StrEnum):
    """Whether a reading holds findings, or a reason why it does not."""

    READ = "read"
    CANNOT_JUDGE = "cannot-judge"


class LocalState(StrEnum):
    """How far a pack has proved itself on the films of one imaging machine of this clinic."""

    PROVISIONAL = "provisional"
    CALIBRATED = "calibrated"
    SUSPENDED = "suspended"


class Scope(StrEnum):
    """What a reading is about."""

    INSTANCE = "instance"
    SERIES = "series"


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code with the values of its sentence; rendered in a language only where a person reads it."""

    code: str
    details: Mapping[str, Detail] = field(default_factory=dict)

    @classmethod
    def from_error(cls, error: LanternError) -> Reason:
        return cls(error.code, error.details)

    def text(self, language: str) -> str:
        return render_sentence(self.code, self.details, language)


# PS3.5 9.1: components of digits, with dots between them, at most 64 characters.
UID_MOST: Final = 64
_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")


def is_uid(text: str) -> bool:
    """Whether *text* is a UID.  Leading zeros in a component are wrong but common and harmless, so they are allowed."""
    return len(text) <= UID_MOST and _UID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Code:
    """A coded entry of a header (PS3.3 8): its value, the scheme that the value is of, and its meaning for people."""

    value: str
    scheme: str = ""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class CodedFacts:
    """What the sequences of a header say of how the image was taken (`dicom.coded_entries`); each value once."""

    views: tuple[Code, ...] = ()
    view_modifiers: tuple[Code, ...] = ()
    regions: tuple[Code, ...] = ()
    structures: tuple[Code, ...] = ()
    postures: tuple[Code, ...] = ()
    sides: tuple[str, ...] = ()
    """L, R, U or B: of (Image, Frame) Laterality, and as far as codes beside the region name one."""


@dataclass(frozen=True, slots=True)
class Header:
    """What intake reads of a DICOM object's header: UIDs, what routing needs, and the shape of the pixels.

    Text is as the object holds it, stripped; absent attributes are ``None``.  Patient names and ids are left out.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    transfer_syntax_uid: str
    modality: str | None = None
    body_part: str | None = None
    view_position: str | None = None
    patient_age: str | None = None  # DICOM AS: nnnD, nnnW, nnnM or nnnY (PS3.5 6.2)
    birth_date: str | None = None  # DICOM DA: YYYYMMDD
    study_date: str | None = None
    study_time: str | None = None  # DICOM TM: HHMMSS.FFFFFF, with the last parts left out where unknown
    study_description: str | None = None
    series_description: str | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int = 1
    samples_per_pixel: int | None = None
    bits_allocated: int | None = None
    photometric: str | None = None
    has_pixels: bool = False
    presentation_intent: str | None = None  # FOR PRESENTATION or FOR PROCESSING (PS3.3 C.8.11.1)
    patient_orientation: str | None = None  # of rows and columns, for example L\F (PS3.3 C.7.6.1.1.1)
    manufacturer: str | None = None  # of the imaging machine, with the next two (PS3.3 C.7.5.1)
    model_name: str | None = None
    station_name: str | None = None
    own_result: bool = False  # a result object that a box of this kind made (`dicom.sop_classes`)
    coded: CodedFacts = CodedFacts()
    patient_position: str | None = None  # HFS, HFDL, … (PS3.3 C.7.3.1.1.2)
    positioner_type: str | None = None
    primary_angle: str | None = None  # of the beam about the patient, in degrees (PS3.3 C.8.7.5.1.2)
    image_words: tuple[str, ...] = ()  # of the protocol and the device's processing: what the image was taken as
    study_words: tuple[str, ...] = ()  # of the procedure asked for and performed, which may be of several images

    @property
    def faulty_uids(self) -> tuple[str, ...]:
        """The keywords of the UIDs that intake has accepted although they are not valid."""
        named = (
            ("StudyInstanceUID", self.study_instance_uid),
            ("SeriesInstanceUID", self.series_instance_uid),
            ("SOPInstanceUID", self.sop_instance_uid),
        )
        return tuple(keyword for keyword, uid in named if uid is not None and not is_uid(uid))


@dataclass(frozen=True, slots=True)
class EnteredFacts:
    """What a person has said of an image where the image itself says nothing; an empty text says nothing either.

    `modality` and `body_part` are words of DICOM, `view` one of `dicom.view`; `population` is ``adult`` or
    ``children``.  `age` (AS) is the patient's as entered, of a picture that has no header to hold it.
    """

    modality: str = ""
    body_part: str = ""
    view: str = ""
    population: str = ""
    age: str = ""

    def __str__(self) -> str:
        """Its words in one line, for the audit; ``-`` for nothing."""
        return " ".join(filter(None, (self.modality, self.body_part, self.view, self.population))) or "-"


@dataclass(frozen=True, slots=True)
class Instance:
    """One DICOM object or image file that the box holds durably.

    `file` is relative to the state directory.  A picture without a DICOM header (PNG, JPEG) has ``header=None``.
    """

    reference: str
    case: str
    file: str
    header: Header | None
    entered: EnteredFacts | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One labelled probability and the threshold of its operating point.

    `value`, in `unit`, is what a model measures or grades beside it.  `outdone`: of findings of which only one can be,
    another is more probable.
    """

    code: str
    label: Mapping[str, str]  # language -> name of the finding
    probability: float
    threshold: float
    value: float | None = None
    unit: Mapping[str, str] = field(default_factory=dict)  # language -> the unit of `value`
    outdone: bool = False

    def __post_init__(self) -> None:
        if not (0.0 <= self.probability <= 1.0 and 0.0 <= self.threshold <= 1.0):
            raise ValueError(f"probability {self.probability} and threshold {self.threshold} must lie in 0..1")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a value of {self.value} is no number")

    @property
    def positive(self) -> bool:
        return self.probability >= self.threshold and not self.outdone


@dataclass(frozen=True, slots=True)
class PackIdentity:
    """The pack, version, runtime and precision behind a reading: every reading names all four."""

    name: str
    version: str
    runtime: str
    precision: str


@dataclass(frozen=True, slots=True)
class Quality:
    """Whether the image was fit to be read, and hints on it that stand before the findings."""

    acceptable: bool = True
    hints: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of one reading went, in milliseconds."""

    decode: float
    infer: float
    total: float


@dataclass(frozen=True, slots=True)
class FramesRead:
    """The frames of a clip that a reading is about, numbered from 0.

    `strongest` is, by a finding's code, the frame in which it is most probable, and which its heat map shows.
    `weights` are the quality of each frame in `read`, from 0 to 1 against the best of them; empty where it was not
    measured.  `rate_hz` is the clip's frame rate; None where the file does not say.
    """

    of: int
    read: tuple[int, ...]
    strongest: Mapping[str, int] = field(default_factory=dict)
    weights: tuple[float, ...] = ()
    rate_hz: float | None = None

    def __post_init__(self) -> None:
        if not self.read or not all(0 <= frame < self.of for frame in self.read):
            raise ValueError(f"frames {self.read} are not all among the clip's {self.of}")
        if not set(self.strongest.values()) <= set(self.read):
            raise ValueError("a finding is strongest in a frame that was not read")
        if self.weights and (
            len(self.weights) != len(self.read) or not all(0.0 < weight <= 1.0 for weight in self.weights)
        ):
            raise ValueError(f"{self.weights} are not the weights of {len(self.read)} frames")
        if self.rate_hz is not None and not 0.0 < self.rate_hz < math.inf:
            raise ValueError(f"a clip cannot have {self.rate_hz} frames a second")


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one pack for one instance (or one series), or the reason why there is none."""

    scope: Scope
    instances: tuple[str, ...]
    status: ReadingStatus
    reason: Reason | None
    pack: PackIdentity | None
    timing: Timing
    findings: tuple[Finding, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    quality: Quality = Quality()
    frames: FramesRead | None = None  # of a clip; a film is one frame
    background: tuple[str, ...] = ()  # the facts of the patient's background that the header's coded diagnoses state
    local: LocalState | None = None  # of the pack on this machine, when it was read; None where no pack was chosen
    not_looked_for: Mapping[str, str] = field(default_factory=dict)  # language -> what its pack leaves out

    def __post_init__(self) -> None:
        if not self.instances:
            raise ValueError("a reading needs at least one instance")
        if (self.status is ReadingStatus.CANNOT_JUDGE) != (self.reason is not None):
            raise ValueError("a reading has a reason exactly when it cannot judge")
        if self.status is ReadingStatus.READ and self.pack is None:
            raise ValueError("a reading with findings names the pack that made them")
        if self.status is ReadingStatus.CANNOT_JUDGE and (self.findings or self.lesions):
            raise ValueError("a reading that cannot judge holds no findings or lesions")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What became of one file that was given to the box."""

    path: str
    instance: str | None
    status: FileStatus
    reason: Reason | None
    path_bytes: str | None = None  # percent-encoded, where the name is not UTF-8 and `path` only resembles it


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What should happen next by a pack's rule, in the pack's own words, and where the rule comes from.

    `background`: the facts about the patient that raised the advice, code -> language -> name.
    """

    code: str
    advice: Mapping[str, str]
    rule: Mapping[str, str]
    source: str
    pack: str
    version: str
    background: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def text(self, language: str) -> str:
        """One sentence with the rule's name and source; what is not in *language* is in English."""

        def choose_text(words: Mapping[str, str]) -> str:
            return words.get(language) or words.get("en") or ""

        facts = [choose_text(words) for words in self.background.values()]
        details = {"advice": choose_text(self.advice), "rule": choose_text(self.rule), "source": self.source}
        separator = translate(N_(", "), language)
        return render_sentence(
            _RAISED if facts else _ADVISED, {**details, "background": separator.join(facts)}, language
        )


@dataclass(frozen=True, slots=True)
class Case:
    """The current state of one study: revision 0 while images still come, then 1, 2, … as late ones are added."""

    reference: str | None
    study_instance_uid: str | None
    modality: str | None
    revision: int
    priority: Priority | None
    files: tuple[FileRecord, ...]
    readings: tuple[Reading, ...]
    findings: tuple[Finding, ...]
    lesions: tuple[Lesion, ...]
    follow_up: FollowUp | None = None  # of its newest revision
    incomplete: Reason | None = None  # why images may be missing; also the first hint of every reading
