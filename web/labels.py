"""Words for the codes in the records; the templates translate them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from firmware_app.cases.patients import Patient
from firmware_app.cases.remarks import Remark, RemarkKind
from firmware_app.core import clock
from firmware_app.core.language import LANGUAGES as SPOKEN
from firmware_app.core.language import N_, NN_, language_name, translate, translate_plural, translate_term
from firmware_app.core.records import FINDING_TAG, Case, Finding, Lesion
from firmware_app.dicom.errors import AgeUnknown
from firmware_app.reading import hints
from firmware_app.reading.errors import AGE_OUTSIDE, AGE_UNCLEAR
from firmware_app.results import case_text, terms
from firmware_app.results.terms import ON_IMAGE as ON_IMAGE
from firmware_app.results.terms import SAID as SAID
from firmware_app.results.terms import SEXES as SEXES
from firmware_app.results.terms import VERDICTS as VERDICTS
from firmware_app.results.terms import WRITTEN as WRITTEN

PRIORITIES: Final = case_text.PRIORITY_NAMES
HEADLINES: Final = {
    "auc": N_("elsewhere AUC {value}"),
    "sensitivity": N_("elsewhere sensitivity {value}"),
    "passed": N_("elsewhere {value} get a number"),
}
"""How a pack did on films of other places (`pack_texts.Headline`)."""
PHRASES: Final = (
    N_("No abnormality seen."),
    N_("Not a good picture; please repeat it."),
    N_("Compared with the earlier image: unchanged."),
    N_("Please compare with the clinical signs."),
    N_("Refer to the county hospital."),
    N_("Follow up in two weeks."),
)
"""What doctors write often: one press puts it into the field."""
TRUTHS: Final = {"positive": N_("present"), "negative": N_("absent"), "unsure": VERDICTS["unsure"]}
OUTCOMES: Final = {"laboratory": N_("laboratory"), "referral": N_("hospital of the referral")}
SOURCES: Final = {
    **OUTCOMES,
    "csv": N_("table of outcomes"),
    "own_reading_before_shown": N_("read before the result was shown"),
    "after_shown": N_("read after the result was shown"),
}
"""From where somebody knows whether a finding is there (`cases.confirmations.Source`)."""
STANDINGS: Final = {"provisional": N_("provisional"), "calibrated": N_("calibrated"), "suspended": N_("suspended")}
STANDING_CHIPS: Final = {"provisional": "soon", "calibrated": "ok", "suspended": "fail"}
MEASURES: Final = {
    "called": N_("called positive"),
    "refused": N_("without a number"),
    "refused_at_home": N_("without a number, against the model's own test films"),
    "distance": N_("distance from the training images"),
    "score": N_("probability of the strongest finding"),
    "blur": N_("blur"),
    "noise": N_("grain"),
    "pale": N_("brightness"),
}
"""What is compared between a machine's first films and its newest (`monitoring.drift`)."""
RULES: Final = {
    "early": N_("That is clearly below 0.75."),
    "floor": N_("It may be below 0.65, although many films with the finding are confirmed."),
}
"""Why a model was suspended (`core.fitness.FitnessRule`)."""
FIGURES: Final = {
    "auc": "AUC",
    "sensitivity": N_("Sensitivity"),
    "specificity": N_("Specificity"),
    "ppv": N_("Positive predictive value"),
    "npv": N_("Negative predictive value"),
    "prevalence": N_("Films with the finding"),
}
ROLES: Final = {"doctor": N_("doctor"), "technician": N_("technician"), "auditor": N_("auditor")}
AGE_UNITS: Final = {"Y": N_("years"), "M": N_("months"), "W": N_("weeks"), "D": N_("days")}
PATIENT_FIELDS: Final = {"name": N_("Name"), "patient_id": N_("Number"), "age": N_("Age"), "sex": N_("Sex")}
LANGUAGES: Final = {language: language_name(language) for language in SPOKEN}
RESULTS: Final = {"ok": N_("in order"), "warn": N_("look at this"), "fail": N_("needs repair")}
ACTIONS: Final = {
    "login": N_("logged in"),
    "login.failed": N_("log-in failed"),
    "login.blocked": N_("log-in blocked"),
    "logout": N_("logged out"),
    "clock.set": N_("clock set"),
    "clock.changed": N_("time learned"),
    "claim.issued": N_("one-time code issued"),
    "claim.used": N_("one-time code used"),
    "user.added": N_("account added"),
    "user.renewed": N_("new password allowed"),
    "user.disabled": N_("account disabled"),
    "password.changed": N_("own password changed"),
    "registration.added": N_("patient registered"),
    "registration.cancelled": N_("registration cancelled"),
    "patient.arrived": N_("images of a registered patient came"),
    "patient.tied": N_("case given to a registered patient"),
    "patient.untied": N_("case taken from a registered patient"),
    "case.viewed": N_("case viewed"),
    "case.report": N_("report opened"),
    "frame.kept": N_("live frame kept"),
    "case.done": N_("case done"),
    "case.read": N_("case read, open for another reader"),
    "case.reopened": N_("“Done” taken back"),
    "database.rescued": N_("database rebuilt"),
    "finding.judged": N_("finding judged"),
    "image.judged": N_("finding judged on one image"),
    "image.withdrawn": N_("judgement on one image taken back"),
    "case.remarked": N_("doctor's words written"),
    "finding.withdrawn": N_("judgement taken back"),
    "finding.confirmed": N_("finding confirmed"),
    "calibration.suspended": N_("model suspended"),
    "calibration.resumed": N_("suspended model let go on"),
    "calibration.proposed": N_("threshold proposed"),
    "calibration.agreed": N_("threshold agreed to"),
    "calibration.in_force": N_("threshold put in force"),
    "calibration.undone": N_("threshold taken back"),
    "calibration.standardised": N_("threshold set from films of a machine"),
    "patient.corrected": N_("patient corrected"),
    "image.described": N_("said what an image shows"),
    "background.entered": N_("background entered"),
    "pack.installed": N_("model installed"),
    "pack.rollback_asked": N_("earlier model asked for"),
    "software.asked": N_("new software asked for"),
    "software.channel": N_("software channel chosen"),
    "pack.rolled_back": N_("earlier model taken back into use"),
    "pack.removed": N_("model removed"),
    "pack.on_trial": N_("new model put on trial"),
    "pack.committed": N_("model on trial put in use"),
    "pack.left": N_("model on trial left by the box itself"),
    "pack.left_noted": N_("noted that a model was left"),
    "pack.dropped": N_("trial of a model ended"),
    "pack.fell": N_("model found to do worse here than its card says"),
    "pack.fall_noted": N_("noted that a model does worse here than its card says"),
    "pack.commit_asked": N_("model on trial wanted in use"),
    "pack.drop_asked": N_("end of a model’s trial asked for"),
    "results.queued": N_("results queued for the PACS"),
    "results.requested": N_("results sent again by hand"),
    "registration.learned": N_("patients told by the hospital's worklist"),
    "results.fetched": N_("results fetched over DICOMweb"),
    "earlier.searched": N_("earlier studies searched in the PACS"),
    "earlier.confirmed": N_("earlier study said to be of the same patient"),
    "earlier.fetched": N_("earlier study fetched from the PACS"),
    "feedback.consent": N_("consent to give films away noted"),
    "feedback.exported": N_("films given to the model engineer"),
    "modality.added": N_("machine entered"),
    "modality.removed": N_("machine removed"),
    "modality.tested": N_("line to a machine tested"),
    "enrolment.asked": N_("enrolment by the hospital asked for over the line"),
    "enrolment.taken": N_("enrolled by the hospital over the line"),
    "enrolment.refused": N_("an answer to the enrolment refused"),
    "box.reset": N_("factory reset; what was before is deleted"),
    "export.begun": N_("export begun"),
    "export.done": N_("export finished"),
    "export.stopped": N_("export stopped"),
    "export.unknown": N_("export cut off, its end is not known"),
}
SIZES: Final = {  # keys: the labels of `imaging.spacing`, which this process does not import
    "spacing.patient": N_("Sizes are in millimetres of the patient."),
    "spacing.calibrated": N_("Sizes are in millimetres, calibrated at the machine."),
    "spacing.at_detector": N_("Pixel size known at the detector only, where all is larger; sizes are in pixels."),
    "spacing.estimated": N_("The machine only estimates how much it magnifies; sizes are in pixels."),
    "spacing.uncalibrated": N_(
        "The header gives a pixel size, but nothing says that it was calibrated; sizes are in pixels."
    ),
    "spacing.scanned": N_("A scanned film, whose own scale is unknown; sizes are in pixels."),
}
LENGTHS: Final = {  # for a measured line, where the header's millimetres are not the patient's
    "spacing.at_detector": N_("{px} pixels, {mm} mm at the detector"),
    "spacing.estimated": N_("{px} pixels, about {mm} mm"),
    "spacing.uncalibrated": N_("{px} pixels, {mm} mm by the header (not calibrated)"),
}
FILMS: Final = frozenset({"CR", "DX", "RF", "XA", "MG"})
"""Modalities whose images have a view."""
SLICED: Final = frozenset({"CT", "MR", "PT"})
"""Modalities whose series are scrolled through."""
PRESETS: Final = {
    N_("lung"): (-600, 1500),
    N_("mediastinum"): (40, 400),
    N_("bone"): (400, 1800),
    N_("abdomen"): (50, 350),
    N_("brain"): (40, 80),
}
"""Windows of a CT in Hounsfield units: centre and width."""
VIEWS: Final = {
    "PA": "PA",
    "AP": "AP",
    "CC": "CC",
    "MLO": "MLO",
    "FRONTAL": N_("frontal"),
    "LATERAL": N_("lateral"),
    "OBLIQUE": N_("oblique"),
    "DECUBITUS": N_("lying on the side"),
    "LORDOTIC": N_("lordotic"),
    "AXIAL": N_("axial"),
}
"""The views of films (`dicom.view`)."""
KEYS: Final = {
    "1 2 3": N_("agree, disagree, unsure"),
    "N": N_("done, next patient"),
    "H": N_("heat map on and off"),
    "Space": N_("play the clip, and stop it"),
    "← → ↑ ↓": N_("on the film: contrast and brightness"),
    "+ −": N_("on the film: closer and farther"),
    "PageUp PageDown": N_("on the film: the slice or frame before and after; of a series the wheel does it too"),
    "I": N_("invert the greys"),
    "D": N_("dark reading room"),
    "F": N_("full screen"),
    "?": N_("this list"),
}
"""What the keys of the case page do (`static/keys.js`)."""
KEY_NAMES: Final = {"Space": N_("Space")}
MARKED: Final = N_("{finding}, score {score}")
DRAWN: Final = N_("{actor}: {verdict}, {finding} (drawn by the doctor, dashed)")
WRITTEN_DRAWN: Final = N_("{actor}: {kind} (drawn by the doctor, dashed)")
_JUST_CAME: Final = N_("just came")
_WAITED_MINUTES: Final = NN_("waits {n} minute", "waits {n} minutes")
_WAITED_HOURS: Final = NN_("waits {n} hour", "waits {n} hours")
_WAITED_DAYS: Final = NN_("waits {n} day", "waits {n} days")
AGE_REASONS: Final = frozenset({AGE_OUTSIDE.code, AGE_UNCLEAR.code, AgeUnknown.code})
AGE_HINTS: Final = frozenset({hints.AGE_ASSUMED_ADULT, hints.AGE_ASSUMED_CHILD})


def format_measure(measure: str, number: float) -> str:
    """What one of `MEASURES` was: a share or a probability in per cent, else a number."""
    if measure in ("distance", "blur", "pale"):
        return f"{number:.2f}"
    return f"{number:.4f}" if measure == "noise" else f"{100 * number:.1f}%"


def name_finding(finding: Finding, language: str) -> str:
    """The finding's name in *language*, in English where it has none."""
    return case_text.name_finding([finding], finding.code, language)


def list_not_looked_for(case: Case, language: str) -> list[str]:
    """What the packs of *case* leave out."""
    return case_text.list_not_looked_for(case.readings, language)


def format_value(finding: Finding, language: str) -> str:
    """What the model measured or graded beside the probability, in its unit."""
    return case_text.format_value(finding, language)


def find_finding_name(findings: Iterable[Finding], code: str, language: str) -> str:
    """The name of the finding in *findings* with this code; the code itself where there is none."""
    return case_text.name_finding(findings, code, language)


def format_lesion_mark(lesion: Lesion, findings: Iterable[Finding], language: str) -> str:
    """The text beside a lesion on the image: its finding and score."""
    name = find_finding_name(findings, lesion.tags.get(FINDING_TAG, ""), language)
    return translate(MARKED, language).format(finding=name, score=f"{lesion.score:.2f}").strip(", ，")


def format_drawing_mark(remark: Remark, findings: Iterable[Finding], language: str) -> str:
    """The text beside what a doctor drew on the image: who says what of which finding."""
    if remark.kind is not RemarkKind.VERDICT:
        kind = translate(WRITTEN[remark.kind], language)
        return translate(WRITTEN_DRAWN, language).format(actor=remark.actor, kind=kind)
    verdict = translate({**SAID, **ON_IMAGE}[remark.text], language)
    name = find_finding_name(findings, remark.finding, language)
    return translate(DRAWN, language).format(actor=remark.actor, verdict=verdict, finding=name)


def format_view(code: str, language: str) -> str:
    """A view of `VIEWS` for people."""
    return translate(VIEWS[code], language) if code in VIEWS else code


def format_date(text: str) -> str:
    """A DA as people write a date; as it is where it is none."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


def format_age(text: str, language: str) -> str:
    """A DICOM AS for people: “3 years”; empty for none."""
    return terms.format_age(Patient(age=text), language)


def format_wait(since: clock.Stamp, now: clock.Stamp, language: str) -> str:
    """How long somebody has waited; empty where the clock cannot tell."""
    minutes = int((now.at - since.at).total_seconds() // 60)
    if not (since.trusted and now.trusted) or minutes < 0:
        return ""
    if not minutes:
        return translate(_JUST_CAME, language)
    if minutes < 120:
        return translate_plural(*_WAITED_MINUTES, minutes, language)
    if minutes < 2 * 24 * 60:
        return translate_plural(*_WAITED_HOURS, minutes // 60, language)
    return translate_plural(*_WAITED_DAYS, minutes // (24 * 60), language)


def format_audit_details(details: Mapping[str, object], language: str) -> list[str]:
    """The details of an audit entry: what a person changed as ``old → new``, in words, and the rest as it is kept."""
    shown = []
    for key, value in details.items():
        if key.endswith("before"):
            field, after = key.removesuffix("before"), details.get(key.removesuffix("before") + "after", "")
            old, new = (_format_old_value(field.rstrip("_"), str(one), language) for one in (value, after))
            shown.append(f"{old} → {new}")
        elif not key.endswith("after"):
            shown.append(f"{key} {value}")
    return shown


def _format_old_value(field: str, value: str, language: str) -> str:
    if field:
        stated = format_patient_field(field, value, language) if value != "-" else "–"
        return f"{translate(PATIENT_FIELDS[field], language)} {stated}"
    parts = []
    for part in value.split():
        names = (translate_term(name, part, language) for name in ("modality", "body_part", "view"))
        whom = translate(terms.POPULATIONS[part], language) if part in terms.POPULATIONS else part
        parts.append(next((name for name in names if name != part), whom))
    return " ".join(parts).replace("-", "–")


def format_patient_field(field: str, value: str, language: str) -> str:
    """A field of `Patient` for people."""
    if field == "age":
        return format_age(value, language)
    return translate(SEXES[value], language) if field == "sex" and value else value
