"""What stands on a printed report, in one language: every text of it, and none of its layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from firmware_app.core.language import N_, NN_, plural, translate
from firmware_app.core.records import PackIdentity
from firmware_app.monitoring import sentences
from firmware_app.results import study, terms, wording
from firmware_app.results.case_text import not_looked_for, priority_name, value_text
from firmware_app.results.pdf.plates import Plate
from firmware_app.results.result import Result, Written

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


def contents(result: Result, plates: Iterable[Plate], language: str) -> dict[str, Any]:
    """The texts of the report of *result* with these pictures, by the names that ``report.typ`` gives them."""

    def _(message: str, **values: object) -> str:
        text = translate(message, language)
        return text.format(**values) if values else text

    case = result.case
    return {
        "title": _(N_("Report of the reading box")),
        "box": result.box,
        "warning": _(_WARNING),
        "reference": case.reference or "",
        "signed": result.signature is not None,
        "standing": _standing(result, _),
        "version": _version(result, _),
        "page": _(N_("Page {page} of {pages}")),
        "facts": _facts(result, language, _),
        "notes": _notes(result, language, _),
        "plates": [_captions(plate, result, _) for plate in plates],
        "findings": _findings(result, language, _),
        "lesions": _lesions(result, language, _),
        "follow_up": _section(_(N_("What should follow")), [case.follow_up.text(language)] if case.follow_up else []),
        "doctor": _doctor(result, language, _),
        "models": _models(result, _),
        "signature": _signature(result, _),
    }


def texts(told: Any) -> Iterator[str]:
    """Every text in *told*, however deep."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict | list):
        for one in told.values() if isinstance(told, dict) else told:
            yield from texts(one)


def with_numbers(told: Any, lacking: Iterable[str]) -> Any:
    """*told* with each of the characters *lacking* as its number: ``[U+20BB7]``."""
    if isinstance(told, str):
        return told.translate({ord(one): f"[U+{ord(one):04X}]" for one in lacking})
    if isinstance(told, dict):
        return {name: with_numbers(one, lacking) for name, one in told.items()}
    return [with_numbers(one, lacking) for one in told] if isinstance(told, list) else told


def lacking_note(lacking: Iterable[str], language: str) -> str:
    """That no font of this machine has these characters."""
    numbers = translate(N_(", "), language).join(f"U+{ord(one):04X}" for one in lacking)
    sentence = N_("No font of this box has these characters, so they stand here as their numbers: {numbers}.")
    return translate(sentence, language).format(numbers=numbers)


def _standing(result: Result, _: _Translated) -> str:
    signature = result.signature
    if signature is None:
        return _(N_("Preliminary: no doctor has signed this report."))
    sentence = _(N_("Signed at the box by {actor}, {time}."))
    return sentence.format(actor=signature.actor, time=_time(signature.at, signature.sure, _))


def _version(result: Result, _: _Translated) -> str:
    first, later = N_("Version {n} of {time}"), N_("Version {n} of {time}; it replaces the earlier ones.")
    sentence = later if result.version > 1 else first
    return _(sentence).format(n=result.version, time=_time(result.made_at, result.made_sure, _))


def _time(text: str, sure: bool, _: _Translated) -> str:
    """``2026-11-23 12:00`` in the zone in which it was kept; marked where the clock was not confirmed."""
    time = f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
    return time if sure else f"{time} {_(N_('(clock not confirmed)'))}"


def _facts(result: Result, language: str, _: _Translated) -> list[list[str]]:
    patient, headers = result.patient, [one.header for one in result.images if one.header is not None]
    named = [*(one.study_description for one in headers), *(one.series_description for one in headers)]
    times = [(one.study_date, one.study_time or "") for one in headers if one.study_date]
    examined = study.examined(times)

    def marked(field: str, value: str) -> str:
        return _(N_("{value} (entered by hand)")).format(value=value) if value and field in result.by_hand else value

    rows = {
        N_("Name"): marked("name", patient.name),
        N_("Number"): marked("patient_id", patient.patient_id),
        N_("Age"): marked("age", terms.age(patient, language)),
        N_("Sex"): marked("sex", terms.sex(patient, language)),
        N_("Examination"): study.examination(name for name in named if name) or result.case.modality or "",
        N_("Date of examination"): examined or _(N_("not given by the image")),
        N_("Priority"): priority_name(result.case.priority, language),
        N_("Case"): result.case.reference or "",
    }
    return [[_(label), value or "–"] for label, value in rows.items()]


def _notes(result: Result, language: str, _: _Translated) -> dict[str, Any] | None:
    """Why something could not be judged, and what limits the rest: it stands before the findings."""
    case = result.case
    read = {instance for reading in case.readings for instance in reading.instances}
    waiting = sum(one.instance not in read for one in result.images)
    told = [case.incomplete] if case.incomplete is not None else []
    told += [one.reason for one in case.readings if one.reason is not None]
    told += [hint for one in case.readings for hint in one.quality.hints]
    lines = [one.text(language) for one in told]
    if waiting:
        lines.append(plural(*_WAITING, waiting, language))
    if (local := sentences.of_case(case)) is not None:
        lines.append(local[1].text(language))
    return _section(_(_NOTE), lines)


def with_note(notes: dict[str, Any] | None, line: str, language: str) -> dict[str, Any] | None:
    """The notes of a report with one more."""
    return _section(translate(_NOTE, language), [*(notes["lines"] if notes is not None else []), line])


def _captions(plate: Plate, result: Result, _: _Translated) -> dict[str, Any]:
    of = next((one.header.frames for one in result.images if one.instance == plate.instance and one.header), 1)
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


def _findings(result: Result, language: str, _: _Translated) -> dict[str, Any] | None:
    found = sorted(result.case.findings, key=lambda one: (not one.positive, -one.probability))
    if not found:
        return None
    rows = [
        [
            wording.named([one], one.code, language),
            _(_FOUND[one.positive]) + (f" ({value})" if (value := value_text(one, language)) else ""),
            terms.percent(one.probability),
            terms.percent(one.threshold),
        ]
        for one in found
    ]
    heads = (N_("Finding"), N_("Result"), N_("Probability"), N_("Threshold"))
    note = _(N_("Not found does not mean that the film is normal.")) if not all(one.positive for one in found) else ""
    return {
        "title": _(N_("Findings")),
        "heads": [_(one) for one in heads],
        "rows": rows,
        "note": note,
        "scope": not_looked_for(result.case.readings, language),
        "strong": [one.positive for one in found],
    }


def _lesions(result: Result, language: str, _: _Translated) -> dict[str, Any] | None:
    case = result.case
    if not case.lesions:
        return None
    rows = [
        [
            str(number),
            wording.named(case.findings, one.finding, language),
            wording.place(one, language),
            wording.axes(one) or "–",
            f"{one.score:.2f}",
            wording.described(one, language),
        ]
        for number, one in enumerate(case.lesions[:_MOST_LESIONS], 1)
    ]
    more = len(case.lesions) - len(rows)
    note = _(N_("{count} more are only marked on the pictures.")).format(count=more) if more else ""
    heads = (N_("No."), N_("Finding"), N_("Place"), N_("Long axis × short axis"), N_("Score"))
    return {"title": _(N_("Lesions")), "heads": [_(one) for one in heads], "rows": rows, "note": note}


def _doctor(result: Result, language: str, _: _Translated) -> dict[str, Any]:
    """What doctors wrote, impressions first, and their verdicts; without a signature there is room to write beside
    them."""
    lines = [_as_written(one, result, _) for one in sorted(result.written, key=lambda one: one.kind != "impression")]
    for said in result.opinions:
        finding = wording.named(result.case.findings, said.finding, language)
        box = next((one for one in result.case.findings if one.code == said.finding), None)
        if box is not None:  # it stands above the findings: agreed to what?
            finding = _(N_("{finding} (the box: {result})")).format(finding=finding, result=_(_FOUND[box.positive]))
        sentence = N_("{finding}: {verdict} ({actor})")
        lines.append(_(sentence).format(finding=finding, verdict=_(terms.SAID[said.verdict]), actor=said.actor))
    return {
        "title": _(N_("The doctor says")),
        "lines": lines,
        "to_write": result.signature is None,
        "long": sum(map(len, lines)) > _MOST_BEFORE_SIGNATURE,
    }


def _as_written(one: Written, result: Result, _: _Translated) -> str:
    """``Impression: … (Li, 2026-11-24 08:10)``; of one of several images with its number, in order of arrival."""
    number = next((at for at, image in enumerate(result.images, 1) if image.instance == one.instance), 0)
    kind = _(terms.WRITTEN[one.kind])
    if number and len(result.images) > 1:
        kind = _(N_("{kind}, image {n}")).format(kind=kind, n=number)
    said = {"kind": kind, "text": one.text, "actor": one.actor, "time": _time(one.at, one.sure, _)}
    return _(N_("{kind}: {text} ({actor}, {time})")).format(**said)


def _models(result: Result, _: _Translated) -> dict[str, Any]:
    packs: dict[PackIdentity, None] = {one.pack: None for one in result.case.readings if one.pack is not None}
    rows = [[one.name, one.version, f"{one.runtime}, {one.precision}"] for one in packs]
    heads = (N_("Model"), N_("Version"), N_("Runtime and precision"))
    device = _(N_("Device: {box}, {software}")).format(box=result.box, software=result.software)
    return {"title": _(N_("Read by")), "heads": [_(one) for one in heads], "rows": rows, "device": device}


def _signature(result: Result, _: _Translated) -> dict[str, str]:
    signature = result.signature
    return {
        "doctor": _(N_("Doctor")),
        "date": _(N_("Date")),
        "actor": signature.actor if signature is not None else "",
        "day": f"{datetime.fromisoformat(signature.at):%Y-%m-%d}" if signature is not None else "",
    }


def _section(title: str, lines: Iterable[str]) -> dict[str, Any] | None:
    told = list(dict.fromkeys(line for line in lines if line))
    return {"title": title, "lines": told} if told else None
