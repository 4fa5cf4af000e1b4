"""Feedback for the model engineer: the patient's consent on a case, and a page that makes the sealed file.

Off unless the box's configuration names the engineer's key.
"""

from __future__ import annotations

import threading
from typing import Final

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.exports import FeedbackConsents
from firmware_app.core import clock
from firmware_app.core.language import NN_
from firmware_app.core.records import Reason
from firmware_app.imaging.errors import ExportError
from web import guard
from web.viewer_context import current_box

blueprint = Blueprint("feedback", __name__)

KEPT_BACK: Final = {
    "undecided": NN_(
        "{n} film stays here: nobody has judged it, doctors differ or are unsure, or the word was of a case with "
        "several images; judge the image alone.",
        "{n} films stay here: nobody has judged them, doctors differ or are unsure, or the word was of a case with "
        "several images; judge the images alone.",
    ),
    "several": NN_(
        "{n} film stays here: its model looks for several findings.",
        "{n} films stay here: their models look for several findings.",
    ),
    "no_picture": NN_(
        "{n} film stays here: there is no grey picture of it.", "{n} films stay here: there is no grey picture of them."
    ),
}
"""Why films of consented cases are not given (`results.feedback_export.FeedbackStatus`)."""
_one_at_a_time = threading.Lock()
"""Held while a file is made: each takes three times its size in memory."""


@blueprint.get("/feedback")
@guard.require_role(Role.DOCTOR)
def page() -> ResponseReturnValue:
    return _render_page()


def _render_page(problem: Reason | None = None, status: int = 200) -> ResponseReturnValue:
    from firmware_app.results import feedback_export

    box = current_box()
    try:
        key, standing = (
            feedback_export.read_engineer_key_id(box.config),
            feedback_export.count_feedback(box.config, box.clinical),
        )
    except ExportError as error:
        return render_template("feedback.html", problem=Reason.from_error(error), key=None), status
    return render_template("feedback.html", problem=problem, key=key, standing=standing, kept_back=KEPT_BACK), status


@blueprint.post("/feedback")
@guard.require_role(Role.DOCTOR)
def export() -> ResponseReturnValue:
    """Make the sealed file and hand it over; the browser saves it where its user says, for example on a stick."""
    from firmware_app.results import feedback_export

    box = current_box()
    if "sure" not in request.form:
        abort(400)
    try:
        with _one_at_a_time:
            made = feedback_export.export_feedback(
                box.config, box.clinical, guard.require_actor(), again="again" in request.form
            )
    except ExportError as error:
        return _render_page(Reason.from_error(error), 409)
    name = f"{box.config.box.id}-{clock.now():%Y%m%d-%H%M%S}.lnf"
    return Response(
        made, mimetype="application/octet-stream", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@blueprint.post("/case/<case:reference>/consent")
@guard.require_role(Role.DOCTOR)
def consent(reference: str) -> ResponseReturnValue:
    """Note whether the patient agrees that the case is given away to learn from."""
    box = current_box()
    if not box.config.export.gives_feedback:
        abort(404)
    try:
        FeedbackConsents(box.clinical.database).record_consent(
            reference, guard.require_actor(), given="given" in request.form, looked="looked" in request.form
        )
    except CaseUnknown:
        abort(404)
    return redirect(url_for("cases.page", reference=reference) + "#consent")
