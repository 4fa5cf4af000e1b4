"""What a doctor writes of a case, and the doctor's own figures: how often the box was right, and what it missed."""

from __future__ import annotations

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.remarks import RemarkKind
from firmware_app.cases.verdicts import may_see_statements
from web import drawing_form, guard, labels
from web.viewer_context import Box, current_box

blueprint = Blueprint("remarks", __name__)


@blueprint.post("/case/<case:reference>/remark")
@guard.require_role(Role.DOCTOR)
def remark(reference: str) -> ResponseReturnValue:
    """Keep what the doctor wrote; it stands beside what was written before."""
    box, form = current_box(), request.form
    if form.get("kind", "") not in labels.WRITTEN or box.confirmations.list_withheld(reference):
        abort(400)
    try:
        box.remarks.add(
            reference,
            RemarkKind(form["kind"]),
            form.get("text", ""),
            actor=guard.require_actor(),
            instance=form.get("instance", ""),
            drawing=drawing_form.read_drawing(box),
        )
    except CaseUnknown:
        abort(404)
    except ValueError:
        abort(400)
    return redirect(url_for("cases.page", reference=reference) + "#word")


@blueprint.get("/own")
@guard.require_role(Role.DOCTOR)
def own() -> ResponseReturnValue:
    """How often this doctor agreed with the box, and what doctors say that it missed."""
    box = current_box()
    figures = box.remarks.count_own_verdicts(guard.require_actor())
    missed = [
        (case, one, box.patients.load_displayed(case).patient.name)
        for case, one in box.remarks.list_missed()
        if may_see_statements(
            guard.require_actor(), one.actor, box.lists.load_double_reading(case), box.lists.find_completion(case)
        )
    ]
    return render_template(
        "my_verdicts.html",
        figures=figures,
        names=_name_findings(box, {figure.finding for figure in figures}),
        missed=missed,
    )


def _name_findings(box: Box, codes: set[str]) -> dict[str, str]:
    """What the installed packs call these findings; a code that none of them knows stays as it is."""
    known = {
        finding.code: labels.name_finding(finding, g.language)
        for row in box.lists.list_rows("done", 200)
        for finding in row.findings
        if finding.code in codes
    }
    return {code: known.get(code, code) for code in codes}
