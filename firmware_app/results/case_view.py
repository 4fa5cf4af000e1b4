"""A case as every form of it states it: list, page, text, PDF, DICOM objects, FHIR, HL7 and JSON.

`gather_case_view` is the one place that reads a case for people.  It decides what the answer is and who may see what;
the forms only put it into words, pictures or codes.  A view travels to a child process as JSON.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import to_json

from firmware_app.cases import result_versions
from firmware_app.cases.case_answer import decide_answer, sort_findings
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations
from firmware_app.cases.errors import NotReadYet, RegistrationUnknown
from firmware_app.cases.patients import DisplayedPatient, Patient, Patients
from firmware_app.cases.registrations import Registrations
from firmware_app.cases.remarks import Remark, RemarkKind, Remarks
from firmware_app.cases.verdicts import CaseCompletion, DoctorVerdict, DoubleReading, Verdicts, may_see_statements
from firmware_app.core.clock import Stamp
from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Case, Finding, Header, Reading, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.core.version import version
from firmware_app.monitoring import calibration_status
from firmware_app.results import terms

_PURPOSE: Final = "result objects"


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of the case; `file` and `display` are absolute paths."""

    instance: str
    file: str
    display: str
    header: Header | None


@dataclass(frozen=True, slots=True)
class CaseLesion:
    """A lesion of the case: its number in the case's list, its reading, and its marks in single frames."""

    number: int
    reading: Reading
    lesion: Lesion
    marks: tuple[Lesion, ...]

    @property
    def title(self) -> str:
        """As the objects call it."""
        return f"Lesion {self.number}"

    @property
    def name(self) -> tuple[str, ...]:
        """What tells it apart from all others of the case, in whichever object and version: where it is seen best."""
        lesion = self.lesion
        return ("lesion", lesion.instance, str(lesion.frame), *(f"{side:.1f}" for side in lesion.box))

    @property
    def finding(self) -> Finding | None:
        """The finding that it belongs to."""
        return next((finding for finding in self.reading.findings if finding.code == self.lesion.finding), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case as one reader may see it, or, where `reader` is empty, as it leaves the box.

    `case` is what the models say; of findings that a doctor is asked to read first (`withheld`) it holds nothing.
    `verdicts` and `remarks` are those that the reader may see.  `key` is the secret of the box for the objects' UIDs,
    in hexadecimal.

    `version` counts from 1 and rises whenever the case says something else, 0: not numbered yet.  `made_at` (ISO 8601)
    is when this version was first made, so that a second making gives the same bytes.  `made_sure`: the box's clock was
    confirmed then.  `drawn` and `drawn_at` are the version since which the pictures are the same, and its time.
    """

    case: Case
    known: DisplayedPatient
    images: tuple[SourceImage, ...]
    reader: str = ""
    withheld: tuple[str, ...] = ()
    verdicts: tuple[DoctorVerdict, ...] = ()
    remarks: tuple[Remark, ...] = ()
    readers: DoubleReading | None = None
    """Where two doctors read each case: how far they are."""
    done: CaseCompletion | None = None
    person_name: str = ""
    """The patient's name as DICOM has it (PN), where the patient is registered."""
    box: str
    language: str
    key: str = field(repr=False)
    software: str
    version: int = 0
    made_at: str = ""
    made_sure: bool = True
    drawn: int = 0
    drawn_at: str = ""

    # --- the answer ----------------------------------------------------------------------------------------------

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the case, the strongest positive one first."""
        return sort_findings(self.case.findings)

    @property
    def marked_lesions(self) -> list[CaseLesion]:
        """The lesions of the case in its order, with their readings and marks."""
        readings, answer = self.case.readings, decide_answer(self.case.readings)
        return [
            CaseLesion(number, next(reading for reading in readings if marks[0] in reading.lesions), lesion, marks)
            for number, (lesion, marks) in enumerate(zip(answer.lesions, answer.marks, strict=True), 1)
        ]

    def find_reading(self, finding: Finding) -> Reading | None:
        """The reading in which *finding* of the case is strongest."""
        return next((reading for reading in self.case.readings if finding in reading.findings), None)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why something could not be judged."""
        return list_reasons(self.case)

    @property
    def hints(self) -> tuple[Reason, ...]:
        """What limits the answer; it stands before the findings."""
        return list_hints(self.case)

    @property
    def local(self) -> Reason | None:
        """How far the packs have proved themselves at this clinic; None where a reason says so already."""
        found = calibration_status.explain_calibration(self.case)
        return found[1] if found is not None and found[1] not in self.reasons else None

    @property
    def waiting(self) -> int:
        """How many images have no reading yet."""
        read = {instance for reading in self.case.readings for instance in reading.instances}
        return sum(image.instance not in read for image in self.images)

    # --- whose images ----------------------------------------------------------------------------------------------

    @property
    def patient(self) -> Patient:
        return self.known.patient

    @property
    def entered_fields(self) -> tuple[str, ...]:
        """The fields of the patient that a person entered, in place of what the images say."""
        return () if self.known.registration else tuple(sorted(self.known.entered))

    @property
    def headers(self) -> list[Header]:
        return [image.header for image in self.images if image.header is not None]

    @property
    def examination(self) -> str:
        """The names of the study and its series, as the images have them."""
        headers = self.headers
        named = [*(header.study_description for header in headers), *(header.series_description for header in headers)]
        return terms.join_study_names(name for name in named if name)

    @property
    def examined(self) -> str:
        """When the study was made, by the modality's clock; empty where no image says it."""
        return terms.format_study_times(
            (header.study_date, header.study_time or "") for header in self.headers if header.study_date
        )

    # --- what doctors say ------------------------------------------------------------------------------------------

    @property
    def opinions(self) -> tuple[DoctorVerdict, ...]:
        """The verdicts that count: on the current readings, and with an opinion."""
        return tuple(verdict for verdict in self.verdicts if not verdict.earlier and verdict.verdict != "none")

    @property
    def written(self) -> tuple[Remark, ...]:
        """What doctors wrote, impressions first."""
        texts = (remark for remark in self.remarks if remark.kind is not RemarkKind.VERDICT)
        return tuple(sorted(texts, key=lambda one: one.kind is not RemarkKind.IMPRESSION))

    def is_rejected(self, finding: str) -> bool:
        """Whether a doctor disagrees with the finding of this code."""
        return any(opinion.finding == finding and opinion.verdict == "disagree" for opinion in self.opinions)

    def shows_statements_of(self, actor: str) -> bool:
        """Whether the reader of this view may see what *actor* has entered."""
        return may_see_statements(self.reader, actor, self.readers, self.done)

    # --- its version -----------------------------------------------------------------------------------------------

    @property
    def drawn_version(self) -> int:
        """The version of the objects with pictures."""
        return self.drawn or self.version

    @property
    def pictures_state(self) -> str:
        """A digest of what the objects with pictures show: everything but what a person says of it."""
        case = replace(self.case, revision=0, priority=None, follow_up=None)
        return _compute_digest(replace(self, case=case, verdicts=(), done=None, remarks=()))

    @property
    def state(self) -> str:
        """A digest of all that report and objects say, without repeated arrivals of an image and without timings."""
        return _compute_digest(self)

    @property
    def signed_state(self) -> str | None:
        """A digest of what a doctor has signed: `state` without the box's name, language and software, which may
        change while the report does not.  None for a case that nobody has signed."""
        return _compute_digest(replace(self, box="", language="", software="")) if self.done is not None else None


def gather_case_view(config: Config, clinical: ClinicalDatabase, reference: str, *, reader: str = "") -> CaseView:
    """The case as *reader*, an account of the viewer, may see it; without one, as it may leave the box.

    Raises `CaseUnknown`.
    """
    state, judged = StateDir(config.state.dir), Verdicts(clinical, two_readers=config.review.two_readers)
    case = clinical.load_case(reference)
    done, readers = judged.find_completion(reference), judged.load_double_reading(reference)
    withheld = Confirmations(clinical.database).list_withheld(reference) if reader else ()
    known = Patients(clinical, state).load_displayed(reference)

    def is_shown(said: DoctorVerdict | Remark) -> bool:
        return may_see_statements(reader, said.actor, readers, done)

    return CaseView(
        case=withhold_answer(case, withheld),
        known=known,
        images=tuple(
            SourceImage(
                image.reference, str(state.root / image.file), str(state.display / image.reference), image.header
            )
            for image in clinical.list_images(reference)
        ),
        reader=reader,
        withheld=withheld,
        verdicts=tuple(filter(is_shown, judged.list_verdicts(reference))),
        remarks=() if withheld else tuple(filter(is_shown, Remarks(clinical.database).list_for_case(reference))),
        readers=readers,
        done=done,
        person_name=_find_person_name(clinical, known),
        box=config.box.name or config.box.id,
        language=config.box.language,
        key=clinical.derive_subkey(_PURPOSE).hex(),
        software=f"Lantern {version()}",
    )


def gather_numbered_view(config: Config, clinical: ClinicalDatabase, reference: str) -> CaseView:
    """The case as it may leave the box, with its version, which is durable on return.

    Raises `CaseUnknown`, `NotReadYet` for a case without a reading, and `REFERENCES_LOST`.
    """
    view = gather_case_view(config, clinical, reference)
    if not view.case.readings:
        raise NotReadYet
    context = {"box": view.box, "language": view.language, "software": view.software}
    numbered = result_versions.find_current_version(
        clinical.database,
        reference,
        state=view.state,
        signed_state=view.signed_state,
        drawn=view.pictures_state,
        maker=context,
    )
    first = {**context, **numbered.maker}  # a version of an older Lantern names no maker
    return replace(
        view,
        version=numbered.number,
        made_at=numbered.made.at.isoformat(),
        made_sure=numbered.made.trusted,
        drawn=numbered.drawn,
        drawn_at=numbered.drawn_at.at.isoformat(),
        box=first["box"],
        language=first["language"],
        software=first["software"],
    )


def withhold_answer(case: Case, withheld: tuple[str, ...]) -> Case:
    """*case* without its answer where a doctor is asked to read the findings *withheld* first."""
    if not withheld:
        return case
    readings = tuple(
        replace(
            reading, findings=(), lesions=(), frames=replace(reading.frames, strongest={}) if reading.frames else None
        )
        for reading in case.readings
    )
    return replace(case, priority=None, readings=readings, findings=(), lesions=(), follow_up=None)


def list_reasons(case: Case) -> tuple[Reason, ...]:
    """Why something of *case* could not be judged, each reason once."""
    return _drop_repeated([reading.reason for reading in case.readings if reading.reason is not None])


def list_hints(case: Case) -> tuple[Reason, ...]:
    """What limits the answer of *case*, each hint once; that images are missing stands first."""
    missing = [case.incomplete] if case.incomplete is not None else []
    return _drop_repeated([*missing, *(hint for reading in case.readings for hint in reading.quality.hints)])


def _drop_repeated(reasons: list[Reason]) -> tuple[Reason, ...]:
    return tuple({reason.text("en"): reason for reason in reasons}.values())


def _find_person_name(clinical: ClinicalDatabase, known: DisplayedPatient) -> str:
    """The registered name, unless the patient's was corrected since, or the registration is forgotten."""
    if not known.registration:
        return ""
    try:
        registered = Registrations(clinical.database).require_entry(known.registration).registered
    except RegistrationUnknown:
        return ""
    return registered.person_name if registered.name == known.patient.name else ""


def format_local_time(stamp: Stamp) -> str:
    """The time of *stamp* as ISO 8601, in the zone of this machine."""
    return stamp.at.astimezone().isoformat(timespec="seconds")


def _compute_digest(view: CaseView) -> str:
    """A digest of what *view* states, in the form that signed reports have had since their first version.

    A field that came later is left out where it is empty, so that what is signed stays as it is.
    """
    readings = tuple(replace(reading, timing=type(reading.timing)(0.0, 0.0, 0.0)) for reading in view.case.readings)
    silent = {at: {"not_looked_for"} for at, one in enumerate(readings) if not one.not_looked_for}
    exclude: dict[str, Any] = {"readings": silent} if silent else {}
    case = _case_adapter().dump_python(replace(view.case, files=(), readings=readings), mode="json", exclude=exclude)
    opinions = [
        {"finding": opinion.finding, "verdict": opinion.verdict, "actor": opinion.actor} for opinion in view.opinions
    ]
    texts = [remark for remark in view.remarks if remark.kind is not RemarkKind.VERDICT]
    written = [
        {
            "kind": text.kind.value,
            "text": text.text,
            "instance": text.instance,
            **_describe_signing(text.actor, text.at),
        }
        for text in texts
    ]
    said = {
        "case": case,
        "images": view.images,
        "patient": view.patient,
        "opinions": opinions,
        "signature": _describe_signing(view.done.actor, view.done.at) if view.done is not None else None,
        "box": view.box,
        "language": view.language,
        "key": "",
        "software": view.software,
        "version": 0,
        "made_at": "",
        "made_sure": True,
        "drawn": 0,
        "drawn_at": "",
        **({"by_hand": view.entered_fields} if view.entered_fields else {}),
        **({"written": written} if written else {}),
    }
    return hashlib.sha256(to_json(said)).hexdigest()


def _describe_signing(actor: str, at: Stamp) -> dict[str, object]:
    return {"actor": actor, "at": format_local_time(at), "sure": at.trusted}


@cache
def _case_adapter() -> TypeAdapter[Case]:
    return TypeAdapter(Case)


@cache
def case_view_adapter() -> TypeAdapter[CaseView]:
    """How a `CaseView` is written and read."""
    return TypeAdapter(CaseView)
