"""What a doctor knows of a case: the own reading before the result is shown, and outcomes that come later."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.confirmations import Source, Truth
from firmware_app.cases.errors import ConfirmationUnknown, ResultShown
from web import case_page, guard, labels
from web.viewer_context import current_box

blueprint = Blueprint("confirmations", __name__)


@blueprint.post("/case/<case:reference>/reading")
@guard.require_role(Role.DOCTOR)
def reading(reference: str) -> ResponseReturnValue:
    """Keep what the doctor sees in a film whose result is not shown yet; with the last finding it is shown."""
    box = current_box()
    case_page.require_case(box, reference)
    said = {code: request.form.get(f"said-{code}", "") for code in box.confirmations.list_withheld(reference)}
    if not set(said.values()) <= set(labels.TRUTHS):
        abort(400)
    try:
        if not said:
            raise ResultShown
        for code, truth in said.items():
            box.confirmations.confirm(reference, code, Truth(truth), Source.OWN_BEFORE, guard.require_actor())
    except ResultShown:
        return redirect(url_for("cases.page", reference=reference, late=""))
    return redirect(url_for("cases.page", reference=reference))


@blueprint.post("/case/<case:reference>/show")
@guard.require_role(Role.DOCTOR)
def show(reference: str) -> ResponseReturnValue:
    """Show the result without a reading before it, where the doctor does not want to wait."""
    box = current_box()
    case_page.require_case(box, reference)
    box.confirmations.record_shown(reference, guard.require_actor())
    return redirect(url_for("cases.page", reference=reference))


@blueprint.post("/case/<case:reference>/outcome")
@guard.require_role(Role.DOCTOR)
def outcome(reference: str) -> ResponseReturnValue:
    """Keep what a laboratory or the hospital has found."""
    box, form = current_box(), request.form
    case_page.require_case(box, reference)
    truth, source, finding = (form.get(name, "") for name in ("truth", "source", "finding"))
    if truth not in labels.TRUTHS or source not in labels.OUTCOMES or box.confirmations.list_withheld(reference):
        abort(400)
    try:
        box.confirmations.confirm(reference, finding, Truth(truth), Source(source), guard.require_actor())
    except ConfirmationUnknown:
        abort(400)
    return redirect(url_for("cases.page", reference=reference) + "#outcome")
