"""A doctor's verdicts on a case: one on each finding, also of one image alone, "Done" for the case; all can be taken
back."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.errors import CaseUnknown, NotReadYet
from firmware_app.cases.verdicts import CaseChanged, CaseCompletion, VerdictMissing
from firmware_app.core import clock
from web import case_page, drawing_form, guard
from web.viewer_context import Box, current_box

blueprint = Blueprint("judgements", __name__)
UNDO_FOR: Final = timedelta(minutes=10)
"""How long the next page offers to take "Done" back; the case's own page always does."""


@blueprint.post("/case/<case:reference>/verdict")
@guard.require_role(Role.DOCTOR)
def verdict(reference: str) -> ResponseReturnValue:
    """Keep the doctor's verdict on one finding, of the case or of one image of it, with what was drawn for it; an empty
    one takes it back."""
    box, finding, word = current_box(), request.form.get("finding", ""), request.form.get("verdict", "")
    image, seen = request.form.get("instance", ""), request.form.get("seen", "")
    wants_json = request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"
    again = url_for("cases.page", reference=reference, changed="")
    if box.confirmations.list_withheld(reference):  # nobody can judge a result that nobody has seen
        return ({"again": again}, 409) if wants_json else redirect(again)
    try:
        drawing = drawing_form.read_drawing(box) if word else None
        if image:
            box.lists.judge_image(
                reference, image, finding, verdict=word, actor=guard.require_actor(), seen=seen, drawing=drawing
            )
        elif word:
            box.lists.judge(reference, finding, word, guard.require_actor(), seen=seen, drawing=drawing)
        else:
            box.lists.withdraw(reference, finding, guard.require_actor())
    except CaseUnknown:
        abort(404)
    except ValueError:
        abort(400)
    except CaseChanged:
        return ({"again": again}, 409) if wants_json else redirect(again)
    if wants_json:
        shown = case_page.gather_page(box, reference)
        return {
            "verdict": word,
            "done": shown.view.done is not None,
            "said": render_template("verdicts.html", said=shown.list_verdicts(finding)),
            "alone": render_template("verdicts_by_image.html", shown=shown, code=finding),
            "drawn": [shown.list_drawings(one, g.language) for one in shown.images],
        }
    return redirect(url_for("cases.page", reference=reference))


@blueprint.post("/case/<case:reference>/done")
@guard.require_role(Role.DOCTOR)
def done(reference: str) -> ResponseReturnValue:
    """Mark the case as done, once every finding has a doctor's verdict ("no opinion" counts)."""
    box, seen = current_box(), request.form.get("seen", "")
    said = {name.removeprefix("said-"): word for name, word in request.form.items() if name.startswith("said-")}
    if box.confirmations.list_withheld(reference):
        return redirect(url_for("cases.page", reference=reference, changed=""))
    try:
        following = box.lists.find_next(reference, guard.require_actor())
        box.lists.finish(reference, guard.require_actor(), said, seen=seen)
    except VerdictMissing:
        return redirect(url_for("cases.page", reference=reference, ask="") + "#finish")
    except ValueError:
        abort(400)
    except CaseUnknown:
        abort(404)
    except (NotReadYet, CaseChanged):  # an image came while the page was open
        return redirect(url_for("cases.page", reference=reference, changed=""))
    if following is None:
        return redirect(url_for("lists.page", done=reference))
    return redirect(url_for("cases.page", reference=following, done=reference))


@blueprint.post("/case/<case:reference>/reopen")
@guard.require_role(Role.DOCTOR)
def reopen(reference: str) -> ResponseReturnValue:
    """Take “Done” back: the case is open again and its page is shown."""
    whose, at = request.form.get("whose", ""), request.form.get("at", "")
    if current_box().lists.reopen(reference, guard.require_actor(), whose, at):
        return redirect(url_for("cases.page", reference=reference))
    return redirect(url_for("cases.page", reference=reference, changed="done"))


def find_just_done(box: Box) -> tuple[str, str, CaseCompletion] | None:
    """(reference, name, Done) of the case that this doctor has just finished, so that it can be taken back."""
    reference = request.args.get("done", "")
    done = box.lists.find_completion(reference)
    if done is None or done.actor != guard.require_actor() or not timedelta() <= clock.now() - done.at.at <= UNDO_FOR:
        return None
    return reference, box.patients.load_displayed(reference).patient.name, done
