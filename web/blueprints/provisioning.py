"""The first page of an installed box without an identity: a code, the questions, and the outcome.

The code is shown on the box's own screen, or stands on the label that belongs to a provisioning file on a stick. Wrong
codes count as failed log-ins. Root does what the page asks for (`appliance.provisioning_service`); this process may
not.
"""

from __future__ import annotations

import zoneinfo
from typing import Final

import segno
from flask import Blueprint, Response, abort, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from firmware_app.appliance import (
    first_start,
    network_name,
    provisioning_file,
    provisioning_request,
    provisioning_service,
    uplink_enrolment,
)
from firmware_app.appliance.provisioning_answers import QUESTIONS, Answers
from firmware_app.appliance.provisioning_request import FirstRequest, FirstResult
from firmware_app.appliance.provisioning_service import DONE
from firmware_app.cases.accounts import parse_code
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, translate
from web import devices
from web.viewer_context import current_box

blueprint = Blueprint("setup", __name__)

_BUNDLE_BYTES: Final = 64 * 1024
_TRY: Final = "\0setup"  # no account can have this name
_ASKED, _CODE = "setup", "setup_code"  # keys of the browser's signed cookie: its request, its code
_LEADS_HERE: Final = frozenset({"login.page", "login.claim_page", "lists.page"})
_CODE_WRONG: Final = N_(
    "This code is wrong, used or too old. The box's own screen shows one, and a new one after every start."
)


@blueprint.before_app_request
def redirect_to_setup() -> ResponseReturnValue | None:
    """Redirect to the first page while the box has no identity."""
    if request.endpoint in _LEADS_HERE and _is_open():
        return redirect(url_for("setup.page"))
    return None


@blueprint.get("/setup")
def page() -> ResponseReturnValue:
    box = current_box()
    if session.get(_ASKED) and provisioning_request.is_waiting(box.state):
        return redirect(url_for("setup.outcome"))
    _require_open()
    return render_template("setup_code.html", error="", offers=provisioning_file.has_offers(box.state))


@blueprint.post("/setup")
def code() -> ResponseReturnValue:
    """Check the code: the screen's code opens the questions; a label's code applies the file it belongs to."""
    _require_open()
    box, given = current_box(), request.form.get("code", "")[:40]
    if not box.accounts.register_attempt(_TRY, devices.identify_source()):
        abort(429)
    if _is_valid_code(given):
        box.accounts.forget_failures(_TRY, devices.identify_source())
        session[_CODE] = given
        return redirect(url_for("setup.questions"))
    return _apply_file(given) if provisioning_file.has_offers(box.state) else _render_code_error(_CODE_WRONG)


@blueprint.get("/setup/questions")
def questions() -> ResponseReturnValue:
    _require_open()
    if not _is_valid_code(session.get(_CODE, "")):
        return redirect(url_for("setup.page"))
    answers = Answers.from_config(current_box().config, network_name.read_hardware_name()).as_text()
    return _render_questions({**answers, "language": g.language}, {})


@blueprint.post("/setup/questions")
def answers() -> ResponseReturnValue:
    """Check the answers; valid ones stay in the form when another is not."""
    _require_open()
    if not _is_valid_code(session.get(_CODE, "")):
        return redirect(url_for("setup.page"))
    answers = {question.key: request.form.get(question.key, "")[:400] for question in QUESTIONS}
    errors: dict[str, str] = {}
    for question in QUESTIONS:
        try:
            question.check(answers[question.key])
        except LanternError as error:
            errors[question.key] = error.text(g.language)
    bundle_text, hospital = _read_bundle(), None
    try:
        hospital = provisioning_service.parse_hospital(bundle_text)
    except LanternError as error:
        errors["hospital"] = error.text(g.language)
    line, label = request.form.get("line", "").strip()[:300], request.form.get("label", "").strip()[:40]
    if line or label:
        try:
            uplink_enrolment.parse_broker(line)
            parse_code(label)
        except LanternError as error:
            errors["line"] = error.text(g.language)
    if errors:
        return _render_questions(answers, errors, bundle_text, line=(line, label))
    if hospital and request.form.get("same") != hospital.fingerprint:
        return _render_questions(answers, {}, bundle_text, hospital.fingerprint, (line, label))
    return _submit(FirstRequest(answers=answers, hospital=bundle_text, line=line, code=label))


@blueprint.get("/setup/outcome")
def outcome() -> ResponseReturnValue:
    """The outcome; the page reloads itself until there is one, also while the box restarts."""
    box, asked = current_box(), session.get(_ASKED)
    if not asked:
        abort(404)
    result = provisioning_request.read_result(box.state)
    if result is None or result.request != asked:
        waiting = Response(render_template("setup_wait.html"))
        waiting.headers["Refresh"] = "2"
        return waiting
    if result.reason.code != DONE:
        return render_template("setup_refused.html", text=result.reason.text(g.language)), 409
    return render_template(
        "setup_done.html",
        result=result,
        text=result.text(g.language),
        qr=_draw_qr_code(result),
        address=f"https://{network_name.make_mdns_host(result.box)}.local/",
        asks=result.asks,
    )


@blueprint.get("/setup/box.json")
def bundle() -> ResponseReturnValue:
    """The box's bundle for the hospital, as a file."""
    result = provisioning_request.read_result(current_box().state)
    if result is None or result.request != session.get(_ASKED) or not result.bundle:
        abort(404)
    name = f"{result.box}.box.json"
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return Response("".join(result.bundle.splitlines()) + "\n", mimetype="application/json", headers=headers)


# --- what the pages above share ---------------------------------------------------------------------------------------


def _is_open() -> bool:
    """Whether the page is open: only while the box has no identity and no account, so nothing needs protection yet."""
    box = current_box()
    return first_start.is_unprovisioned(box.config, box.state) and not any(
        u.has_password for u in box.accounts.list_users()
    )


def _require_open() -> None:
    if not _is_open():
        abort(404)


def _is_valid_code(given: str) -> bool:
    """Whether this is the code for the first account, which only the box's own screen shows."""
    claim = current_box().accounts.find_claim(given)
    return claim is not None and claim.user is None


def _apply_file(given: str) -> ResponseReturnValue:
    """The file that was found on a stick and whose label has this code."""
    box = current_box()
    try:
        provisioning_file.find_offer(box.state, given)
    except LanternError as error:
        return _render_code_error(error.text(g.language))
    box.accounts.forget_failures(_TRY, devices.identify_source())
    box.accounts.create_first_claim(given)  # so that the label's code also makes the first account
    return _submit(FirstRequest(code=given))


def _submit(asked: FirstRequest) -> ResponseReturnValue:
    provisioning_request.submit_request(current_box().state, asked)
    session[_ASKED] = asked.request
    return redirect(url_for("setup.outcome"))


def _read_bundle() -> str:
    """The hospital's bundle: the uploaded file or the pasted text."""
    chosen = request.files.get("hospital_file")
    data = chosen.read(_BUNDLE_BYTES) if chosen and chosen.filename else b""
    return data.decode("ascii", "replace") if data.strip() else request.form.get("hospital", "")


def _render_questions(
    answers: dict[str, str],
    errors: dict[str, str],
    bundle_text: str = "",
    fingerprint: str = "",
    line: tuple[str, str] = ("", ""),
) -> ResponseReturnValue:
    status = 400 if errors else 200
    return render_template(
        "setup.html",
        answers=answers,
        errors=errors,
        questions=QUESTIONS,
        bundle=bundle_text,
        fingerprint=fingerprint,
        zones=_list_time_zones(),
        line=line[0],
        label=line[1],
    ), status


def _list_time_zones() -> list[str]:
    """The machine's time zones, for the browser's completion list."""
    return sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))


def _render_code_error(error: str) -> ResponseReturnValue:
    offers = provisioning_file.has_offers(current_box().state)
    return render_template("setup_code.html", error=translate(error, g.language), offers=offers), 400


def _draw_qr_code(result: FirstResult) -> str:
    """The box's bundle as a QR code (an SVG path) for the hospital's camera."""
    drawn = segno.make_qr("".join(result.bundle.splitlines()), error="l")
    return str(drawn.svg_inline(border=2, omitsize=True, svgclass="qr", lineclass=None))
