"""What a doctor says to a case: a word on each finding, "Done" for the case, and both taken back."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app import clock
from firmware_app.errors import CaseUnknown, NotReadYet
from firmware_app.store.accounts.accounts_db import Role
from firmware_app.store.clinical.worklist import CaseChanged, Done, WordMissing
from web import guard
from web.box import Box, here

blueprint = Blueprint("judgements", __name__)
UNDO_FOR: Final = timedelta(minutes=10)
"""How long the next page offers to take "Done" back; the case's own page always does."""


@blueprint.post("/case/<case:reference>/verdict")
@guard.only(Role.DOCTOR)
def verdict(reference: str) -> ResponseReturnValue:
    """What the doctor says of one finding; without a word, what they said of it is taken back."""
    box, finding, word = here(), request.form.get("finding", ""), request.form.get("verdict", "")
    wants_json = request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"
    again = url_for("cases.page", reference=reference, changed="")
    try:
        if word:
            box.worklist.judge(reference, finding, word, guard.actor(), request.form.get("seen", ""))
        else:
            box.worklist.withdraw(reference, finding, guard.actor())
    except CaseUnknown:
        abort(404)
    except ValueError:
        abort(400)
    except CaseChanged:
        return ({"again": again}, 409) if wants_json else redirect(again)
    if wants_json:
        said = [one for one in box.worklist.verdicts(reference) if one.finding == finding]
        return {
            "verdict": word,
            "done": box.worklist.is_done(reference),
            "said": render_template("said.html", said=said),
        }
    return redirect(url_for("cases.page", reference=reference))


@blueprint.post("/case/<case:reference>/done")
@guard.only(Role.DOCTOR)
def done(reference: str) -> ResponseReturnValue:
    """The case leaves the list, once every finding has a word of a doctor, be it that there is no opinion."""
    box, seen = here(), request.form.get("seen", "")
    said = {name.removeprefix("said-"): word for name, word in request.form.items() if name.startswith("said-")}
    try:
        following = box.worklist.next_after(reference)
        box.worklist.finish(reference, guard.actor(), said, seen=seen)
    except WordMissing:
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
@guard.only(Role.DOCTOR)
def reopen(reference: str) -> ResponseReturnValue:
    """“Done” was a slip: the case is open again, and the doctor is back at it."""
    whose, at = request.form.get("whose", ""), request.form.get("at", "")
    if here().worklist.reopen(reference, guard.actor(), whose, at):
        return redirect(url_for("cases.page", reference=reference))
    return redirect(url_for("cases.page", reference=reference, changed="done"))


def just_done(box: Box) -> tuple[str, str, Done] | None:
    """(reference, name, Done) of the case that this doctor was done with a moment ago, to take a slip back."""
    reference = request.args.get("done", "")
    done = box.worklist.done(reference)
    if done is None or done.actor != guard.actor() or not timedelta() <= clock.now() - done.at.at <= UNDO_FOR:
        return None
    return reference, box.patients.known(reference).patient.name, done
