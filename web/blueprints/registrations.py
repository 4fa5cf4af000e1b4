"""Registration: who is to be examined, for the machines' worklist; and which registered patient a case belongs to."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases import person_names
from firmware_app.cases.accounts import Role
from firmware_app.cases.errors import (
    NameUnusable,
    PatientIdTaken,
    RegistrationError,
    RegistrationImaged,
    RegistrationUnknown,
)
from firmware_app.cases.patients import AGE_UNITS, SEXES, Patient, apply_registration
from firmware_app.cases.registration_entry import check_registration, create_accession
from firmware_app.cases.registrations import Registration, Registrations
from firmware_app.core import clock
from firmware_app.dicom.patient_data import clean_age
from firmware_app.dicom.worklist import EXAMINATIONS
from web import case_page, guard
from web.viewer_context import current_box

blueprint = Blueprint("registrations", __name__)

ROWS: Final = 100


@blueprint.get("/registration")
@guard.require_role(Role.DOCTOR)
def page() -> ResponseReturnValue:
    """The form, and the newest entries; *registered* names the one that was just made."""
    registrations, made = _registrations(), None
    if "registered" in request.args:
        try:
            made = registrations.require_entry(request.args["registered"])
        except RegistrationUnknown:
            made = None
    return _render_page({}, made=made)


@blueprint.post("/registration")
@guard.require_role(Role.DOCTOR)
def add() -> ResponseReturnValue:
    """Register a patient; with a form that cannot be taken, the form again and why."""
    form = dict(request.form.items())
    number, unit = form.get("years", "").strip(), form.get("unit", "Y")
    given = {**form, "age": clean_age(number + unit) if number else ""}
    try:
        new = check_registration(given, clock.now().astimezone(), form.get("accession", ""))
        made = _registrations().add(new, guard.require_actor(), same_person="same_person" in form)
    except RegistrationError as error:
        return _render_page(form, problem=error)
    return redirect(url_for("registrations.page", registered=made.registered.accession))


@blueprint.post("/registration/<accession:accession>/cancel")
@guard.require_role(Role.DOCTOR)
def cancel(accession: str) -> ResponseReturnValue:
    try:
        _registrations().cancel(accession, guard.require_actor())
    except RegistrationUnknown:
        abort(404)
    except RegistrationImaged as error:
        return _render_page({}, problem=error)
    return redirect(url_for("registrations.page"))


@blueprint.post("/registration/spelling")
@guard.require_role(Role.DOCTOR)
def spelling() -> ResponseReturnValue:
    """The pinyin of a name, for the form to show before it is sent.  A POST: no name is ever part of an address."""
    try:
        return {"spelled": person_names.spell_name(person_names.clean_name(request.form.get("name", "")))}
    except NameUnusable:
        return {"spelled": ""}


@blueprint.get("/case/<case:reference>/registration")
@guard.require_role(Role.DOCTOR)
def choose(reference: str) -> ResponseReturnValue:
    """Who is registered without images; of the one that was chosen, what the case says now and then."""
    box = current_box()
    case = case_page.require_case(box, reference)
    known = box.patients.load_displayed(reference)
    chosen, changes = None, []
    if "accession" in request.args:
        chosen = _require_entry(request.args["accession"])
        after = apply_registration(box.patients.load_from_images(reference), chosen.registered)
        changes = _compare_patients(known.patient, after)
    return render_template(
        "assign_patient.html",
        case=case,
        known=known,
        entries=_registrations().list_without_images(ROWS),
        chosen=chosen,
        changes=changes,
        examinations=_list_examinations(),
    )


@blueprint.post("/case/<case:reference>/registration")
@guard.require_role(Role.DOCTOR)
def tie(reference: str) -> ResponseReturnValue:
    """Give the case the registered patient that was chosen, or with none the patient of its images again."""
    box, accession = current_box(), request.form.get("accession", "")
    case_page.require_case(box, reference)
    box.patients.tie(reference, _require_entry(accession).registered if accession else None, guard.require_actor())
    return redirect(url_for("cases.page", reference=reference) + "#patient")


def _render_page(
    form: dict[str, str], *, made: Registration | None = None, problem: RegistrationError | None = None
) -> tuple[str, int]:
    entries = _registrations().list_latest(ROWS)
    namesakes = [
        entry
        for entry in entries
        if made is not None
        and not entry.cancelled
        and entry.registered.name == made.registered.name
        and entry.registered.patient_id != made.registered.patient_id
    ]
    body = render_template(
        "registration.html",
        entries=entries,
        form=form,
        made=made,
        namesakes=namesakes,
        accession=form.get("accession") or create_accession(),
        problem=problem.text(g.language) if problem else "",
        of_another=isinstance(problem, PatientIdTaken),
        units=AGE_UNITS,
        sexes=SEXES,
        examinations=_list_examinations(),
    )
    return body, 200 if problem is None else 422


def _list_examinations() -> dict[str, str]:
    return {code: examination.text(g.language) for code, examination in EXAMINATIONS.items()}


def _require_entry(accession: str) -> Registration:
    """The entry that a case may be tied to; 404 where there is none."""
    try:
        entry = _registrations().require_entry(accession)
    except RegistrationUnknown:
        abort(404)
    if entry.cancelled:
        abort(404)
    return entry


def _compare_patients(before: Patient, after: Patient) -> list[tuple[str, str, str]]:
    """Each field of the patient with its value now and then."""
    return [(name, getattr(before, name), getattr(after, name)) for name in Patient.__slots__]


def _registrations() -> Registrations:
    return Registrations(current_box().clinical.database)
