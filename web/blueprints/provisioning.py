"""The first page of an installed box that has no identity yet: a code, the questions, and what became of them.

The code is the one that the box's own screen shows, or that on the label of a provisioning file which lay on a stick.
Wrong ones count as failed log-ins do.  What is asked for is done by root (`device.first_page`); this process may not.
"""

from __future__ import annotations

import zoneinfo
from typing import Final

import segno
from flask import Blueprint, Response, abort, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from firmware_app.errors import LanternError
from firmware_app.language import N_, translate
from firmware_app.provisioning import first_page, first_request, first_start, naming, offered_files, signed_file
from firmware_app.provisioning.answers import QUESTIONS, Answers
from firmware_app.provisioning.first_page import DONE
from firmware_app.provisioning.first_request import FirstRequest, FirstResult
from firmware_app.provisioning.signed_file import Proof
from web.box import here

blueprint = Blueprint("setup", __name__)

_TRY: Final = "\0setup"  # no account can have this name
_ASKED, _CODE = "setup", "setup_code"  # in the browser's signed cookie: its own request, its own code
_LEADS_HERE: Final = frozenset({"login.page", "login.claim_page", "lists.page"})
_CODE_WRONG: Final = N_(
    "This code is wrong, used or too old. The box's own screen shows one, and a new one after every start."
)
_BOX_NEEDED: Final = N_("Files for several boxes were found. Give the id that stands on the label of this box.")


@blueprint.before_app_request
def lead_here() -> ResponseReturnValue | None:
    """Whoever opens the address of a new box comes to its first page."""
    if request.endpoint in _LEADS_HERE and _is_open():
        return redirect(url_for("setup.page"))
    return None


@blueprint.get("/setup")
def page() -> ResponseReturnValue:
    box = here()
    if session.get(_ASKED) and first_request.waits(box.state):
        return redirect(url_for("setup.outcome"))
    _require_open()
    return render_template("setup_code.html", error="", offers=offered_files.offers(box.state), box_id="")


@blueprint.post("/setup")
def code() -> ResponseReturnValue:
    """The code opens the questions, or is the one of a file's label; then the file is asked for."""
    _require_open()
    box, given, meant = here(), request.form.get("code", "")[:40], request.form.get("box", "").strip()[:40]
    if not box.accounts.take_try(_TRY, request.remote_addr or ""):
        abort(429)
    if _good(given):
        box.accounts.forget_failures(_TRY, request.remote_addr or "")
        session[_CODE] = given
        return redirect(url_for("setup.questions"))
    offers = offered_files.offers(box.state)
    if len(offers) > 1 and not meant:
        return _code_again(_BOX_NEEDED, meant)
    return _file(given, meant or offers[0]) if offers else _code_again(_CODE_WRONG, meant)


@blueprint.get("/setup/questions")
def questions() -> ResponseReturnValue:
    _require_open()
    if not _good(session.get(_CODE, "")):
        return redirect(url_for("setup.page"))
    answers = Answers.present(here().config, naming.machine()).as_text()
    return _questions({**answers, "language": g.language}, {})


@blueprint.post("/setup/questions")
def answers() -> ResponseReturnValue:
    """The answers, each checked; those that are right stay when another is not."""
    _require_open()
    if not _good(session.get(_CODE, "")):
        return redirect(url_for("setup.page"))
    answers = {question.key: request.form.get(question.key, "")[:400] for question in QUESTIONS}
    errors: dict[str, str] = {}
    for question in QUESTIONS:
        try:
            question.check(answers[question.key])
        except LanternError as error:
            errors[question.key] = error.text(g.language)
    bundle_text, hospital = _bundle(), None
    try:
        hospital = first_page.hospital_in(bundle_text)
    except LanternError as error:
        errors["hospital"] = error.text(g.language)
    if errors:
        return _questions(answers, errors, bundle_text)
    if hospital and request.form.get("same") != hospital.fingerprint:
        return _questions(answers, {}, bundle_text, hospital.fingerprint)
    return _ask(FirstRequest(answers=answers, hospital=bundle_text))


@blueprint.get("/setup/outcome")
def outcome() -> ResponseReturnValue:
    """What became of it; the page comes again by itself until there is an answer, also over the box's new start."""
    box, asked = here(), session.get(_ASKED)
    if not asked:
        abort(404)
    result = first_request.result(box.state)
    if result is None or result.request != asked:
        waiting = Response(render_template("setup_wait.html"))
        waiting.headers["Refresh"] = "2"
        return waiting
    if result.reason.code != DONE:
        return render_template("setup_refused.html", text=result.reason.text(g.language)), 409
    return render_template(
        "setup_done.html", result=result, text=result.text(g.language), qr=_drawn(result),
        address=f"https://{naming.host(result.box)}.local/",
    )  # fmt: skip


@blueprint.get("/setup/box.json")
def bundle() -> ResponseReturnValue:
    """What the hospital needs, as a file."""
    result = first_request.result(here().state)
    if result is None or result.request != session.get(_ASKED) or not result.bundle:
        abort(404)
    name = f"{result.box}.box.json"
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return Response("".join(result.bundle.splitlines()) + "\n", mimetype="application/json", headers=headers)


# --- what the pages above share ---------------------------------------------------------------------------------------


def _is_open() -> bool:
    """Only while the box has no identity and nobody has an account: then there is nothing here yet to protect."""
    box = here()
    return first_start.is_new(box.config, box.state) and not any(u.has_password for u in box.accounts.users())


def _require_open() -> None:
    if not _is_open():
        abort(404)


def _good(given: str) -> bool:
    """Whether it is the code that makes the first account, which only the box's own screen has shown."""
    claim = here().accounts.claim(given)
    return claim is not None and claim.user is None


def _file(given: str, meant: str) -> ResponseReturnValue:
    """The code may be that of the label that belongs to a file which was found."""
    box = here()
    try:
        offer = offered_files.offer(box.state, meant, given)
        signed_file.believe(offer, Proof(code=given))
    except LanternError as error:
        return _code_again(error.text(g.language), meant)
    box.accounts.forget_failures(_TRY, request.remote_addr or "")
    box.accounts.first_claim(given)  # so that the code of the label makes the first account
    return _ask(FirstRequest(file=offer.content.box, code=given))


def _ask(asked: FirstRequest) -> ResponseReturnValue:
    first_request.ask(here().state, asked)
    session[_ASKED] = asked.request
    return redirect(url_for("setup.outcome"))


def _bundle() -> str:
    """The hospital's bundle: the file that was chosen, or the text that was put there."""
    chosen = request.files.get("hospital_file")
    data = chosen.read(first_request.MOST_BYTES) if chosen and chosen.filename else b""
    return data.decode("ascii", "replace") if data.strip() else request.form.get("hospital", "")


def _questions(
    answers: dict[str, str], errors: dict[str, str], bundle_text: str = "", fingerprint: str = ""
) -> ResponseReturnValue:
    status = 400 if errors else 200
    return render_template(
        "setup.html", answers=answers, errors=errors, questions=QUESTIONS, bundle=bundle_text, fingerprint=fingerprint,
        zones=_zones(),
    ), status  # fmt: skip


def _zones() -> list[str]:
    """The time zones that the machine knows, for the browser to complete."""
    return sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))


def _code_again(error: str, meant: str) -> ResponseReturnValue:
    text = translate(error, g.language)
    offers = offered_files.offers(here().state)
    return render_template("setup_code.html", error=text, offers=offers, box_id=meant), 400


def _drawn(result: FirstResult) -> str:
    """The box's bundle as a QR code for the hospital's camera: a path of SVG, which needs no style of its own."""
    drawn = segno.make_qr("".join(result.bundle.splitlines()), error="l")
    return str(drawn.svg_inline(border=2, omitsize=True, svgclass="qr", lineclass=None))
