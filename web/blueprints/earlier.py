"""Earlier studies of a case's patient: a doctor has the archives searched, and says which study is the patient's."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.earlier_studies import EarlierStudies
from firmware_app.cases.errors import EarlierUnknown
from firmware_app.results import remote_status
from firmware_app.results.remote_status import PriorStudies
from web import case_page, guard
from web.box import Box, here

blueprint = Blueprint("earlier", __name__)


@blueprint.post("/case/<case:reference>/earlier")
@guard.only(Role.DOCTOR)
def search(reference: str) -> ResponseReturnValue:
    """Have the archives searched; what is surely the same patient's is fetched at once."""
    box = here()
    case_page.require_case(box, reference)
    EarlierStudies(box.clinical.database).ask(reference, guard.actor())
    return redirect(url_for("cases.page", reference=reference) + "#earlier")


@blueprint.post("/case/<case:reference>/earlier/<int:number>")
@guard.only(Role.DOCTOR)
def confirm(reference: str, number: int) -> ResponseReturnValue:
    """The doctor says that this study is of the case's patient."""
    box = here()
    case_page.require_case(box, reference)
    try:
        EarlierStudies(box.clinical.database).confirm(reference, number, guard.actor())
    except EarlierUnknown:
        abort(404)
    return redirect(url_for("cases.page", reference=reference) + "#earlier")


def shown(box: Box, reference: str) -> PriorStudies | None:
    """For the page of a case; None where no archive may be searched."""
    return (
        remote_status.describe_prior_studies(box.config, box.clinical.database, reference)
        if box.config.pacs.searched
        else None
    )
