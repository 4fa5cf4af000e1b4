"""What stands on a printed report, in one language: every text of it, and none of its layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from firmware_app.cases.remarks import Remark
from firmware_app.core.clock import Stamp
from firmware_app.core.language import N_, NN_, translate, translate_plural
from firmware_app.core.records import PackIdentity
from firmware_app.results import case_text, terms
from firmware_app.results.case_text import format_value, list_not_looked_for, name_priority
from firmware_app.results.case_view import CaseView, format_local_time
from firmware_app.results.pdf.plates import ReportImage

_Translated = Callable[[str], str]
_WARNING: Final = N_("AI-assisted, not for diagnostic use without a doctor.")
_NOTE: Final = N_("Please note")
_WAITING: Final = NN_(
    "{n} image of this case waits to be read; no result does not mean normal.",
    "{n} images of this case wait to be read; no result does not mean normal.",
)
_MOST_LESIONS: Final = 10
"""Told one by one: more would fill more than two pages."""
_MOST_BEFORE_SIGNATURE: Final = 900
"""Characters: a longer doctor's word stands behind the signature line, which has to be on the first page."""
_FOUND: Final = {True: N_("found"), False: N_("not found")}


def build_contents(view: CaseView, plates: Iterable[ReportImage], language: str) -> dict[str, Any]:
    """The texts of the report of *view* with these pictures, by the names that ``report.typ`` gives them."""

    def _(message: str, **values: object) -> str:
        text = translate(message, language)
        return text.format(**values) if values else text

    case = view.case
    return {
        "title": _(N_("Report of the reading box")),
        "box": view.box,
        "warning": _(_WARNING),
        "reference": case.reference or "",
        "signed": view.done is not None,
        "standing": _describe_state(view, _),
        "version": _format_version(view, _),
        "page": _(N_("Page {page} of {pages}")),
        "facts": _list_facts(view, language, _),
        "notes": _collect_notes(view, language, _),
        "plates": [_make_captions(plate, view, _) for plate in plates],
        "findings": _list_findings(view, language, _),
        "lesions": _list_lesions(view, language, _),
        "follow_up": _make_section(
            _(N_("What should follow")), [case.follow_up.text(language)] if case.follow_up else []
        ),
        "doctor": _list_remarks(view, language, _),
        "models": _list_models(view, _),
        "signature": _format_signature(view, _),
    }


def iterate_texts(told: Any) -> Iterator[str]:
    """Every text in *told*, however deep."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict | list):
        for one in told.values() if isinstance(told, dict) else told:
            yield from iterate_texts(one)


def replace_missing(told: Any, lacking: Iterable[str]) -> Any:
    """*told* with each of the characters *lacking* as its number: ``[U+20BB7]``."""
    if isinstance(told, str):
        return told.translate({ord(one): f"[U+{ord(one):04X}]" for one in lacking})
    if isinstance(told, dict):
        return {name: replace_missing(one, lacking) for name, one in told.items()}
    return [replace_missing(one, lacking) for one in told] if isinstance(told, list) else told


def describe_missing(lacking: Iterable[str], language: str) -> str:
    """That no font of this machine has these characters."""
    numbers = translate(N_(", "), language).join(f"U+{ord(one):04X}" for one in lacking)
    sentence = N_("No font of this box has these characters, so they stand here as their numbers: {numbers}.")
    return translate(sentence, language).format(numbers=numbers)


def _describe_state(view: CaseView, _: _Translated) -> str:
    signature = view.done
    if signature is None:
        return _(N_("Preliminary: no doctor has signed this report."))
    sentence = _(N_("Signed at the box by {actor}, {time}."))
    return sentence.format(actor=signature.actor, time=_format_stamp(signature.at, _))


def _format_version(view: CaseView, _: _Translated) -> str:
    first, later = N_("Version {n} of {time}"), N_("Version {n} of {time}; it replaces the earlier ones.")
    sentence = later if view.version > 1 else first
    return _(sentence).format(n=view.version, time=_format_time(view.made_at, view.made_sure, _))


def _format_time(text: str, sure: bool, _: _Translated) -> str:
    """``2026-11-23 12:00`` in the zone in which it was kept; marked where the clock was not confirmed."""
    time = f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
    return time if sure else f"{time} {_(N_('(clock not confirmed)'))}"


def _format_stamp(stamp: Stamp, _: _Translated) -> str:
    return _format_time(format_local_time(stamp), stamp.trusted, _)


def _list_facts(view: CaseView, language: str, _: _Translated) -> list[list[str]]:
    patient = view.patient

    def mark_entered(field: str, value: str) -> str:
        return (
            _(N_("{value} (entered by hand)")).format(value=value) if value and field in view.entered_fields else value
        )

    rows = {
        N_("Name"): mark_entered("name", patient.name),
        N_("Number"): mark_entered("patient_id", patient.patient_id),
        N_("Age"): mark_entered("age", terms.format_age(patient, language)),
        N_("Sex"): mark_entered("sex", terms.format_sex(patient, language)),
        N_("Examination"): view.examination or view.case.modality or "",
        N_("Date of examination"): view.examined or _(N_("not given by the image")),
        N_("Priority"): name_priority(view.case.priority, language),
        N_("Case"): view.case.reference or "",
    }
    return [[_(label), value or "–"] for label, value in rows.items()]


def _collect_notes(view: CaseView, language: str, _: _Translated) -> dict[str, Any] | None:
    """Why something could not be judged, and what limits the rest: it stands before the findings."""
    lines = [reason.text(language) for reason in (*view.reasons, *view.hints)]
    if view.waiting:
        lines.append(translate_plural(*_WAITING, view.waiting, language))
    if view.local is not None:
        lines.append(view.local.text(language))
    return _make_section(_(_NOTE), lines)


def add_note(notes: dict[str, Any] | None, line: str, language: str) -> dict[str, Any] | None:
    """The notes of a report with one more."""
    return _make_section(translate(_NOTE, language), [*(notes["lines"] if notes is not None else []), line])


def _make_captions(plate: ReportImage, view: CaseView, _: _Translated) -> dict[str, Any]:
    of = next((image.header.frames for image in view.images if image.instance == plate.instance and image.header), 1)
    frame = _(N_("Frame {frame} of {frames}")).format(frame=plate.frame + 1, frames=of) if of > 1 else ""
    marked = (
        N_("The same with the lesions that the model marked; the numbers are those of the list.")
        if plate.outlined
        else N_("The same; the line goes around what weighed most in the model's result.")
    )
    return {
        "plain": _(N_("{first} {second}")).format(first=_(N_("As it came.")), second=frame).strip(),
        "marked": _(marked) if plate.marked is not None else None,
    }


def _list_findings(view: CaseView, language: str, _: _Translated) -> dict[str, Any] | None:
    found = view.findings
    if not found:
        return None
    rows = [
        [
            case_text.name_finding([finding], finding.code, language),
            _(_FOUND[finding.positive]) + (f" ({value})" if (value := format_value(finding, language)) else ""),
            terms.format_percent(finding.probability),
            terms.format_percent(finding.threshold),
        ]
        for finding in found
    ]
    heads = (N_("Finding"), N_("Result"), N_("Probability"), N_("Threshold"))
    note = (
        _(N_("Not found does not mean that the film is normal."))
        if not all(finding.positive for finding in found)
        else ""
    )
    return {
        "title": _(N_("Findings")),
        "heads": [_(head) for head in heads],
        "rows": rows,
        "note": note,
        "scope": list_not_looked_for(view.case.readings, language),
        "strong": [finding.positive for finding in found],
    }


def _list_lesions(view: CaseView, language: str, _: _Translated) -> dict[str, Any] | None:
    case = view.case
    if not case.lesions:
        return None
    rows = [
        [
            str(number),
            case_text.name_finding(case.findings, one.finding, language),
            case_text.describe_place(one, language),
            case_text.format_axes(one) or "–",
            f"{one.score:.2f}",
            case_text.describe_features(one, language),
        ]
        for number, one in enumerate(case.lesions[:_MOST_LESIONS], 1)
    ]
    more = len(case.lesions) - len(rows)
    note = _(N_("{count} more are only marked on the pictures.")).format(count=more) if more else ""
    heads = (N_("No."), N_("Finding"), N_("Place"), N_("Long axis × short axis"), N_("Score"))
    return {"title": _(N_("Lesions")), "heads": [_(head) for head in heads], "rows": rows, "note": note}


def _list_remarks(view: CaseView, language: str, _: _Translated) -> dict[str, Any]:
    """What doctors wrote, impressions first, and their verdicts; without a signature there is room to write beside
    them."""
    lines = [_format_remark(remark, view, _) for remark in view.written]
    for said in view.opinions:
        finding = case_text.name_finding(view.case.findings, said.finding, language)
        box = next((one for one in view.case.findings if one.code == said.finding), None)
        if box is not None:  # it stands above the findings: agreed to what?
            finding = _(N_("{finding} (the box: {result})")).format(finding=finding, result=_(_FOUND[box.positive]))
        sentence = N_("{finding}: {verdict} ({actor})")
        lines.append(_(sentence).format(finding=finding, verdict=_(terms.SAID[said.verdict]), actor=said.actor))
    return {
        "title": _(N_("The doctor says")),
        "lines": lines,
        "to_write": view.done is None,
        "long": sum(map(len, lines)) > _MOST_BEFORE_SIGNATURE,
    }


def _format_remark(one: Remark, view: CaseView, _: _Translated) -> str:
    """``Impression: … (Li, 2026-11-24 08:10)``; of one of several images with its number, in order of arrival."""
    number = next((at for at, image in enumerate(view.images, 1) if image.instance == one.instance), 0)
    kind = _(terms.WRITTEN[one.kind])
    if number and len(view.images) > 1:
        kind = _(N_("{kind}, image {n}")).format(kind=kind, n=number)
    said = {"kind": kind, "text": one.text, "actor": one.actor, "time": _format_stamp(one.at, _)}
    return _(N_("{kind}: {text} ({actor}, {time})")).format(**said)


def _list_models(view: CaseView, _: _Translated) -> dict[str, Any]:
    packs: dict[PackIdentity, None] = {reading.pack: None for reading in view.case.readings if reading.pack is not None}
    rows = [[pack.name, pack.version, f"{pack.runtime}, {pack.precision}"] for pack in packs]
    heads = (N_("Model"), N_("Version"), N_("Runtime and precision"))
    device = _(N_("Device: {box}, {software}")).format(box=view.box, software=view.software)
    return {"title": _(N_("Read by")), "heads": [_(head) for head in heads], "rows": rows, "device": device}


def _format_signature(view: CaseView, _: _Translated) -> dict[str, str]:
    signature = view.done
    return {
        "doctor": _(N_("Doctor")),
        "date": _(N_("Date")),
        "actor": signature.actor if signature is not None else "",
        "day": f"{signature.at.at.astimezone():%Y-%m-%d}" if signature is not None else "",
    }


def _make_section(title: str, lines: Iterable[str]) -> dict[str, Any] | None:
    told = list(dict.fromkeys(line for line in lines if line))
    return {"title": title, "lines": told} if told else None
