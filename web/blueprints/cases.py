"""One case: the images, the model's findings and its measured accuracy, and the doctors' opinions."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from flask import Blueprint, Response, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases import follow_up
from firmware_app.cases.accounts import Role
from firmware_app.cases.earlier_studies import is_fetched_study
from firmware_app.cases.exports import FeedbackConsents
from firmware_app.cases.patients import AGE_UNITS, SEXES, Patient, clean_text
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, translate
from firmware_app.core.records import Reason
from firmware_app.dicom.patient_data import OLDEST_YEARS, clean_age
from firmware_app.results import case_text, remote_status, rendering
from firmware_app.results.case_view import gather_numbered_view
from web import case_page, guard, labels, pack_texts, priors
from web.blueprints import earlier, judgements
from web.viewer_context import current_box

blueprint = Blueprint("cases", __name__)
_one_at_a_time = threading.Lock()
"""Held while a PDF is made: each takes a process of its own and its memory."""


@blueprint.get("/case/<case:reference>")
@guard.require_role(Role.DOCTOR)
def page(reference: str) -> ResponseReturnValue:
    box = current_box()
    shown = case_page.gather_page(box, reference)
    box.audit.record(guard.require_actor(), "case.viewed", reference)
    view = shown.view
    if view.findings:
        box.confirmations.record_shown(reference, guard.require_actor())
    after = box.lists.find_next(reference, guard.require_actor())
    unjudged = (
        {finding.code for finding in box.lists.list_outstanding(reference, guard.require_actor())}
        if "ask" in request.args
        else set()
    )
    return render_template(
        "case.html",
        shown=shown,
        view=view,
        actor=guard.require_actor(),
        asked=[finding for finding in view.findings if finding.code in unjudged],
        changed=request.args.get("changed"),
        late="late" in request.args,
        just_done=judgements.find_just_done(box),
        units=AGE_UNITS,
        sexes=SEXES,
        said_of_sizes=_translate_all(labels.SIZES),
        said_of_lengths=_translate_all(labels.LENGTHS),
        said_of_places=[translate(place, g.language) for row in case_text.PLACES for place in row],
        presets=[(translate(name, g.language), *window) for name, window in labels.PRESETS.items()],
        following=url_for("cases.page", reference=after) if after else url_for("lists.page"),
        earlier=earlier.find_prior_studies(box, reference),
        fetched=is_fetched_study(box.clinical.database, reference),
        asks_consent=box.config.export.gives_feedback and not view.withheld,
        consent=FeedbackConsents(box.clinical.database).find_consent(reference),
        hospital=None
        if view.withheld
        else remote_status.describe_hospital_delivery(box.config, box.state, box.clinical, reference),
    )


def _translate_all(sentences: Mapping[str, str]) -> dict[str, str]:
    """Sentences that the page's script chooses from, in the user's language."""
    return {label: translate(sentence, g.language) for label, sentence in sentences.items()}


@blueprint.get("/case/<case:reference>/report")
@guard.require_role(Role.DOCTOR)
def report(reference: str) -> ResponseReturnValue:
    box = current_box()
    shown = case_page.gather_page(box, reference)
    if shown.view.withheld:
        return redirect(url_for("cases.page", reference=reference))
    box.audit.record(guard.require_actor(), "case.report", reference)
    if shown.view.findings:
        box.confirmations.record_shown(reference, guard.require_actor())
    return render_template("report.html", shown=shown, view=shown.view)


@blueprint.get("/case/<case:reference>/report.pdf")
@guard.require_role(Role.DOCTOR)
def report_pdf(reference: str) -> ResponseReturnValue:
    """The report as a file of one or two pages; what a doctor has signed is the same file each time."""
    box = current_box()
    shown = case_page.gather_view(box, reference)
    if shown.withheld or not shown.case.readings:
        return redirect(url_for("cases.page", reference=reference))
    box.audit.record(guard.require_actor(), "case.report", reference)
    if shown.findings:
        box.confirmations.record_shown(reference, guard.require_actor())
    try:
        with _one_at_a_time:
            made = rendering.render_pdf(
                box.config, gather_numbered_view(box.config, box.clinical, reference), g.language
            )
    except LanternError as error:
        return render_template("report_failed.html", reference=reference, reason=Reason.from_error(error)), 503
    named = {"Content-Disposition": f"inline; filename={reference}.pdf"}
    return Response(made, mimetype="application/pdf", headers=named)


@blueprint.get("/case/<case:reference>/priors")
@guard.require_role(Role.DOCTOR)
def earlier_images(reference: str) -> ResponseReturnValue:
    """Other images of the same patient, as a part of the page."""
    box = current_box()
    case_page.require_case(box, reference)
    return render_template("priors.html", priors=priors.list_priors(box, reference))


@blueprint.get("/case/<case:reference>/state")
@guard.polled
@guard.require_role(Role.DOCTOR)
def state(reference: str) -> ResponseReturnValue:
    """State of the case, for a page that reloads when an image or a reading comes."""
    box = current_box()
    case = case_page.gather_view(box, reference).case
    instances = {file.instance for file in case.files if file.instance}
    film = any((box.state.display / instance / "frame-000.json").exists() for instance in instances)
    advice = case.follow_up.code if case.follow_up is not None else ""
    return {"seen": box.lists.compute_state_token(reference), "film": film, "advice": advice}


@blueprint.post("/case/<case:reference>/patient")
@guard.require_role(Role.DOCTOR)
def patient(reference: str) -> ResponseReturnValue:
    box, form = current_box(), request.form
    case_page.require_case(box, reference)
    number, unit = form.get("age", "").strip(), form.get("unit", "Y")
    age = clean_age(number + unit) if number else ""
    if number and not age:
        text = N_("An age is a whole number of 0 to {oldest} years. Go back and enter it again; nothing was changed.")
        return render_template(
            "error.html", code=422, text=translate(text, g.language).format(oldest=OLDEST_YEARS)
        ), 422
    if unit not in AGE_UNITS or form.get("sex", "") not in (*SEXES, ""):
        abort(400)
    entered = Patient(
        clean_text(form.get("name", "")), clean_text(form.get("patient_id", "")), age, form.get("sex", "")
    )
    box.patients.correct(reference, entered, guard.require_actor())
    return redirect(url_for("cases.page", reference=reference))


@blueprint.post("/case/<case:reference>/background")
@guard.require_role(Role.DOCTOR)
def background(reference: str) -> ResponseReturnValue:
    """Keep what the doctor says of the patient's background: every fact on the page, said to be so or not."""
    box = current_box()
    asked = pack_texts.facts(box.config, case_page.require_case(box, reference), g.language)
    if not set(request.form.getlist("fact")) <= set(asked):
        abort(400)
    said = {code: code in request.form.getlist("fact") for code in asked}
    follow_up.enter_facts(box.clinical.database, reference, said, guard.require_actor())
    return redirect(url_for("cases.page", reference=reference) + "#background")
