"""Earlier studies of a case's patient: a doctor has the archives searched, and says which study is the patient's."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.earlier_studies import EarlierStudies
from firmware_app.cases.errors import EarlierStudyUnknown
from firmware_app.results import remote_status
from firmware_app.results.remote_status import PriorStudies
from web import case_page, guard
from web.viewer_context import Box, current_box

blueprint = Blueprint("earlier", __name__)


@blueprint.post("/case/<case:reference>/earlier")
@guard.require_role(Role.DOCTOR)
def search(reference: str) -> ResponseReturnValue:
    """Have the archives searched; what is surely the same patient's is fetched at once."""
    box = current_box()
    case_page.require_case(box, reference)
    EarlierStudies(box.clinical.database).request_search(reference, guard.require_actor())
    return redirect(url_for("cases.page", reference=reference) + "#earlier")


@blueprint.post("/case/<case:reference>/earlier/<int:number>")
@guard.require_role(Role.DOCTOR)
def confirm(reference: str, number: int) -> ResponseReturnValue:
    """The doctor says that this study is of the case's patient."""
    box = current_box()
    case_page.require_case(box, reference)
    try:
        EarlierStudies(box.clinical.database).confirm(reference, number, guard.require_actor())
    except EarlierStudyUnknown:
        abort(404)
    return redirect(url_for("cases.page", reference=reference) + "#earlier")


def find_prior_studies(box: Box, reference: str) -> PriorStudies | None:
    """For the page of a case; None where no archive may be searched."""
    return (
        remote_status.describe_prior_studies(box.config, box.clinical.database, reference)
        if box.config.pacs.searchable_archives
        else None
    )
