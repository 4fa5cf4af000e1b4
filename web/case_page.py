"""The page of a case: its `CaseView`, its images as the browser shows them, and what a page alone has beside them.

While a doctor is asked to read the case before its answer is shown (`monitoring`), a page holds none of it: no
priority, finding, heat map, lesion or advice, and its images stand in the order in which they came.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from flask import abort, g

from firmware_app.cases.confirmations import Confirmation
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.model_scores import ConfirmationReason
from firmware_app.cases.patients import PatientChange
from firmware_app.cases.registrations import Registrations
from firmware_app.cases.remarks import Remark, RemarkKind, select_current
from firmware_app.cases.verdicts import DoctorVerdict
from firmware_app.core.records import Case, Finding, Header, Reading, ReadingStatus, Reason
from firmware_app.dicom.sop_classes import OBJECT_KINDS
from firmware_app.dicom.view import find_view
from firmware_app.packs.prevalence_adjustment import PredictiveValues
from firmware_app.results import case_text, remote_status
from firmware_app.results.case_view import CaseView, gather_case_view
from firmware_app.results.remote_status import ArchiveDelivery
from web import guard, labels, pack_texts
from web.pack_texts import PackTexts
from web.viewer_context import Box
from web.visits import THUMBNAIL

_LEAST_SLICES: Final = 4
"""Of one series, to be scrolled through as one image."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the case: the frames that can be shown, and its reading."""

    instance: str
    shown: tuple[int, ...]
    of: int
    reading: Reading | None
    view: str = ""
    """The view of an X-ray that its header states, such as PA (`labels.VIEWS`); empty where it states none."""
    has_screen: bool = False
    """Whether a light picture comes before the full frame."""
    has_thumb: bool = False
    series: str = ""
    at_mm: float | None = None
    full: tuple[int, ...] = ()
    """Of a clip shown whole: the frames of full depth, the others being light pictures; empty: all are."""
    slices: tuple[Image, ...] = ()
    """Of a series that is scrolled through as one: its images in their order in space; `shown` are their places."""

    @property
    def frames(self) -> int:
        """The number of frames that can be shown."""
        return len(self.shown)

    @property
    def largest_gap(self) -> int:
        """The largest distance between two shown frames, so that nobody takes the clip for complete; 1 where none is
        left out."""
        ends = (-1, *self.shown, self.of) if self.shown else ()
        return max((later - earlier for earlier, later in pairwise(ends)), default=1)

    @property
    def frame(self) -> int:
        """The frame shown first: that of the heat map, else the middle one."""
        if self.slices:
            return next(at for at, one in enumerate(self.slices) if one.instance == self.instance)
        strongest = self.reading.frames.strongest if self.reading and self.reading.frames else {}
        frame = strongest.get(self.heat or "")
        if frame is not None and frame in self.shown:
            return frame
        return self.shown[len(self.shown) // 2] if self.shown else 0

    @property
    def heat_frame(self) -> int | None:
        """The frame of a clip that the heat map belongs to; None where it belongs to every frame."""
        if self.slices:
            return self.frame
        frames = self.reading.frames if self.reading else None
        return frames.strongest.get(self.heat or "") if frames else None

    @property
    def heat(self) -> str | None:
        """The code of the finding whose heat map is shown: the strongest."""
        findings = self.reading.findings if self.reading else ()
        strongest = max(findings, key=lambda finding: (finding.positive, finding.probability), default=None)
        return strongest.code if strongest else None

    def list_heat_maps(self, language: str) -> dict[str, str]:
        """The findings whose heat map can be shown, code -> name: positive ones, and the strongest."""
        findings = self.reading.findings if self.reading else ()
        return {
            finding.code: labels.name_finding(finding, language)
            for finding in findings
            if finding.positive or finding.code == self.heat
        }

    def list_lesions(self, language: str) -> list[dict[str, object]]:
        """Lesions to draw over the frames: frame, box (x0, y0, x1, y1 in pixels of the frame) and name of each, and its
        outline and axes where they are known."""
        places = {one.instance: at for at, one in enumerate(self.slices)}
        own = {self.instance, *places}
        readings = [slice_.reading for slice_ in self.slices or (self,) if slice_.reading]
        unique = {id(reading): reading for reading in readings}
        return [
            {
                "frame": places.get(lesion.instance, lesion.frame),
                "box": lesion.box,
                "text": labels.format_lesion_mark(lesion, reading.findings, language),
                "outline": lesion.outline,
                "axes": lesion.axes,
            }
            for reading in unique.values()
            for lesion in reading.lesions
            if lesion.instance in own
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """The page of a case: its view, and what only a page has beside it."""

    view: CaseView
    images: tuple[Image, ...]
    texts: tuple[tuple[Reading, PackTexts | None], ...]
    worth: Mapping[str, PredictiveValues]
    age_matters: bool
    seen: str
    others: tuple[tuple[str, int], ...]
    facts: tuple[tuple[str, str, bool], ...]
    """The facts about the patient that rules of follow-up ask for: code, name, whether it is known to be so."""
    withheld: tuple[tuple[str, str], ...]
    """Findings (code, name) that a doctor is asked to read before the answer is shown; the page shows none of it."""
    scored: tuple[tuple[str, str], ...]
    """Findings (code, name) whose truth can be entered."""
    wanted: Mapping[str, ConfirmationReason]
    confirmations: tuple[Confirmation, ...]
    """What was said of them so far."""
    changes: tuple[PatientChange, ...]
    """What was changed of the patient, the first change first."""
    claimed: str
    """The number of a registration whose study this is, although the images say another patient; empty: none."""
    sent: tuple[ArchiveDelivery, ...]
    """How far the results have come on their way to each archive."""

    @property
    def lesions(self) -> list[str]:
        """The lesions in sentences."""
        return case_text.describe_lesions(self.view.case, g.language)

    def list_image_numbers(self, finding: Finding) -> list[int]:
        """The numbers, from 1, of the images on which *finding* is as the case says it: of a negative one all that
        were read for it."""
        return [
            number
            for number, image in enumerate(self.images, 1)
            if any(
                one.code == finding.code and one.positive == finding.positive
                for part in image.slices or (image,)
                for one in (part.reading.findings if part.reading else ())
            )
        ]

    @property
    def superseded_verdicts(self) -> list[Remark]:
        """Verdicts that no longer count, because their doctor gave another or took them back."""
        now = select_current(self.view.remarks)
        return [
            remark
            for remark in self.view.remarks
            if remark.kind is RemarkKind.VERDICT and remark.text and remark not in now
        ]

    def list_image_verdicts(self, finding: str) -> list[Remark]:
        """The verdicts on *finding* that are of one image, or have something drawn on one."""
        return [
            remark
            for remark in select_current(self.view.remarks)
            if remark.kind is RemarkKind.VERDICT and remark.finding == finding and (remark.instance or remark.drawing)
        ]

    def list_images_read_for(self, finding: str) -> list[tuple[int, Image]]:
        """The images that were read for *finding*, each with its number from 1."""
        return [
            (number, image)
            for number, image in enumerate(self.images, 1)
            if image.reading is not None and any(one.code == finding for one in image.reading.findings)
        ]

    def list_drawings(self, image: Image, language: str) -> list[dict[str, object]]:
        """What doctors drew on *image*, in the form of `Image.list_lesions`."""
        places = {one.instance: at for at, one in enumerate(image.slices)}
        return [
            {
                "frame": places.get(remark.drawing.instance, remark.drawing.frame),
                "box": remark.drawing.box,
                "text": labels.format_drawing_mark(remark, self.view.case.findings, language),
                "outline": remark.drawing.outline,
                "doctor": True,
            }
            for remark in select_current(self.view.remarks)
            if remark.drawing is not None and remark.drawing.instance in {image.instance, *places}
        ]

    def find_image_number(self, instance: str) -> int:
        """The number, from 1, of an image; 0 where the page shows no such image."""
        parts = ((number, part) for number, image in enumerate(self.images, 1) for part in image.slices or (image,))
        return next((number for number, part in parts if part.instance == instance), 0)

    def describe_places(self, finding: Finding, language: str) -> list[str]:
        """In which parts of the picture the lesions of *finding* lie, each once."""
        lesions = (lesion for lesion in self.view.case.lesions if lesion.finding == finding.code)
        return list(dict.fromkeys(case_text.describe_place(lesion, language) for lesion in lesions))

    def list_verdicts(self, finding: str) -> list[DoctorVerdict]:
        """Every doctor's verdict on a finding."""
        return [word for word in self.view.verdicts if word.finding == finding]

    def find_own_verdict(self, finding: str, actor: str) -> str:
        """One doctor's verdict on the current reading of a finding; "" for none."""
        return next(
            (word.verdict for word in self.list_verdicts(finding) if word.actor == actor and not word.earlier), ""
        )


def require_case(box: Box, reference: str) -> Case:
    """The whole case; 404 where the box has none."""
    try:
        return box.clinical.load_case(reference)
    except CaseUnknown:
        abort(404)


def gather_view(box: Box, reference: str) -> CaseView:
    """The case as the user of this request may see it; 404 where the box has none."""
    try:
        return gather_case_view(box.config, box.clinical, reference, reader=guard.require_actor())
    except CaseUnknown:
        abort(404)


def gather_page(box: Box, reference: str) -> CasePage:
    """The page of a case; 404 where the box has none."""
    try:
        seen = box.lists.compute_state_token(reference)  # read first: what changes meanwhile makes the page look again
    except CaseUnknown:
        abort(404)
    view = gather_view(box, reference)
    texts = _gather_texts(box, view.case)
    known, asked = box.clinical.list_background(view.case), pack_texts.facts(box.config, view.case, g.language)
    names = {
        finding.code: labels.name_finding(finding, g.language) for finding in require_case(box, reference).findings
    }

    def name_findings(codes: Iterable[str]) -> tuple[tuple[str, str], ...]:
        return tuple((code, names.get(code, code)) for code in codes)

    return CasePage(
        view=view,
        images=_gather_images(box, view),
        texts=texts,
        worth=_find_predictive_values(view.case, texts),
        age_matters=bool(
            {reason.code for reason in (*view.reasons, *view.hints)} & (labels.AGE_REASONS | labels.AGE_HINTS)
        ),
        seen=seen,
        others=_count_other_objects(box, reference),
        facts=tuple((code, name, code in known) for code, name in asked.items()),
        withheld=name_findings(view.withheld),
        scored=() if view.withheld else name_findings(box.confirmations.list_scored(reference)),
        wanted=box.confirmations.find_requests(reference),
        confirmations=tuple(
            confirmation
            for confirmation in box.confirmations.list_for_case(reference)
            if view.shows_statements_of(confirmation.actor)
        ),
        changes=tuple(box.patients.list_changes(reference)),
        claimed=_find_claiming_registration(box, view.case),
        sent=tuple(remote_status.describe_archive_delivery(box.config, box.clinical.database, reference)),
    )


def _gather_texts(box: Box, case: Case) -> tuple[tuple[Reading, PackTexts | None], ...]:
    """For each pack, runtime and precision that read: a reading of it, and what is said of it."""
    read = {reading.pack: reading for reading in case.readings if reading.pack is not None}
    return tuple((reading, pack_texts.texts(box.config, pack, g.language)) for pack, reading in read.items())


def _find_predictive_values(
    case: Case, texts: Iterable[tuple[Reading, PackTexts | None]]
) -> dict[str, PredictiveValues]:
    """What a mark is worth at this clinic, by the finding's code."""
    return {
        finding.code: said.worth
        for reading, said in texts
        if said is not None and said.worth is not None
        for finding in case.findings
        if _has_finding(case, reading, finding)
    }


def _count_other_objects(box: Box, reference: str) -> tuple[tuple[str, int], ...]:
    """The objects of the case that are not images, in words, and how many there are of each."""
    kinds = box.clinical.list_other_objects(reference).values()
    names = (Reason(OBJECT_KINDS.get(kind, OBJECT_KINDS["other"])).text(g.language) for kind in kinds)
    return tuple(Counter(names).items())


def _gather_images(box: Box, view: CaseView) -> tuple[Image, ...]:
    """The images of the case, the most telling first."""
    by_instance = {instance: reading for reading in view.case.readings for instance in reading.instances}
    headers = {image.instance: image.header for image in view.images}
    ordered = _sort_by_strength(list(headers), by_instance)
    return _stack_series([_build_image(box, one, by_instance.get(one), headers[one]) for one in ordered])


def _find_named_view(header: Header) -> str:
    """The view that a film's header states; empty where it states none that has a name."""
    view = find_view(header) if header.modality in labels.FILMS else None
    return view if isinstance(view, str) and view in labels.VIEWS else ""


def _find_claiming_registration(box: Box, case: Case) -> str:
    """The registration that has the case's Study Instance UID and was not tied to it, nor decided on by a person."""
    study = case.study_instance_uid
    entry = Registrations(box.clinical.database).find_by_study(study) if study else None
    if entry is None or case.reference is None or box.patients.load_displayed(case.reference).version:
        return ""
    if entry.case is not None:  # its patient's case is another one of the same study
        return ""
    return entry.registered.accession


def _has_finding(case: Case, like: Reading, finding: Finding) -> bool:
    """Whether the case has *finding* from the same model, runtime and precision as the reading *like*."""
    return any(reading.pack == like.pack and finding in reading.findings for reading in case.readings)


def _sort_by_strength(instances: list[str], readings: dict[str, Reading]) -> list[str]:
    """Images with the strongest positive finding first, then other read images, then the rest in order of arrival."""

    def strength(instance: str) -> float:
        reading = readings.get(instance)
        if reading is None or reading.status is ReadingStatus.CANNOT_JUDGE:
            return 1.0
        return -max((f.probability for f in reading.findings if f.positive), default=0.0)

    return sorted(instances, key=strength)


def _build_image(box: Box, instance: str, reading: Reading | None, header: Header | None) -> Image:
    """An image with the frames that were rendered for viewing, and the number of frames that it has."""
    view = _find_named_view(header) if header is not None else ""
    series = header.series_instance_uid or "" if header is not None and header.modality in labels.SLICED else ""
    folder = box.state.display / instance
    try:
        facts = json.loads((folder / "frame-000.json").read_text("utf-8"))
        shown = facts.get("shown") or range(int(facts["frames_shown"]))
        frames, of = tuple(int(frame) for frame in shown), int(facts["frames"])
        at_mm = None if facts.get("at_mm") is None else float(facts["at_mm"])
    except (OSError, ValueError, KeyError, TypeError):
        return Image(instance, (), 0, reading, view, series=series)
    has_thumb = (folder / THUMBNAIL).is_file()
    full = tuple(int(frame) for frame in facts.get("full") or ())
    return Image(
        instance,
        frames,
        of,
        reading,
        view,
        has_screen=bool(facts.get("screen")),
        has_thumb=has_thumb,
        series=series,
        at_mm=at_mm,
        full=full,
    )


def _stack_series(images: list[Image]) -> tuple[Image, ...]:
    """The images with those of one series of slices as one, which opens at the most telling or the middle one.

    Slices whose place in space is not known stay in the order in which they came.
    """
    series: dict[str, list[Image]] = {}
    for image in images:
        if image.series and image.of <= 1:
            series.setdefault(image.series, []).append(image)
    made: list[Image] = []
    done: set[str] = set()
    for image in images:
        group = series.get(image.series, [])
        if len(group) < _LEAST_SLICES or image.of > 1:
            made.append(image)
        elif image.series not in done:
            done.add(image.series)
            placed = all(one.at_mm is not None for one in group)
            slices = sorted(group, key=lambda one: one.at_mm or 0.0) if placed else group
            told = image.reading is not None and any(finding.positive for finding in image.reading.findings)
            opens = image if told else slices[len(slices) // 2]
            count = len(slices)
            made.append(replace(opens, shown=tuple(range(count)), of=count, has_screen=False, slices=tuple(slices)))
    return tuple(made)
