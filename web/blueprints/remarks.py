"""What a doctor writes of a case, and the doctor's own figures: how often the box was right, and what it missed."""

from __future__ import annotations

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.remarks import RemarkKind
from firmware_app.results.case_view import may_see_words
from web import drawn, guard, words
from web.box import Box, here

blueprint = Blueprint("remarks", __name__)


@blueprint.post("/case/<case:reference>/remark")
@guard.only(Role.DOCTOR)
def remark(reference: str) -> ResponseReturnValue:
    """Keep what the doctor wrote; it stands beside what was written before."""
    box, form = here(), request.form
    if form.get("kind", "") not in words.WRITTEN or box.confirmations.hidden(reference):
        abort(400)
    try:
        box.remarks.add(
            reference,
            RemarkKind(form["kind"]),
            form.get("text", ""),
            actor=guard.actor(),
            instance=form.get("instance", ""),
            drawing=drawn.sent(box),
        )
    except CaseUnknown:
        abort(404)
    except ValueError:
        abort(400)
    return redirect(url_for("cases.page", reference=reference) + "#word")


@blueprint.get("/own")
@guard.only(Role.DOCTOR)
def own() -> ResponseReturnValue:
    """How often this doctor agreed with the box, and what doctors say that it missed."""
    box = here()
    figures = box.remarks.own(guard.actor())
    missed = [
        (case, one, box.patients.known(case).patient.name)
        for case, one in box.remarks.missed()
        if may_see_words(guard.actor(), one.actor, box.lists.readers(case), box.lists.done(case))
    ]
    return render_template(
        "own.html", figures=figures, names=_names(box, {one.finding for one in figures}), missed=missed
    )


def _names(box: Box, codes: set[str]) -> dict[str, str]:
    """What the installed packs call these findings; a code that none of them knows stays as it is."""
    known = {
        finding.code: words.label(finding, g.language)
        for row in box.lists.rows("done", 200)
        for finding in row.findings
        if finding.code in codes
    }
    return {code: known.get(code, code) for code in codes}
