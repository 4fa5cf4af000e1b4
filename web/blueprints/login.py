"""Log-in, the one-time code, the language, log-out."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, abort, g, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role, User
from firmware_app.cases.errors import AccountError
from firmware_app.core.language import LANGUAGES, N_, translate
from web import devices, guard
from web.common_passwords import is_common
from web.passwords import LONGEST, SHORTEST, TooBusy
from web.viewer_context import current_box

blueprint = Blueprint("login", __name__)

_CLAIM: Final = "\0claim"  # no account can have this name
_WRONG = N_("The name or the password is wrong.")
_CODE_WRONG = N_("This code is wrong, used or too old. “lantern user claim” on the box prints a new one.")
_SHORT = N_("The password needs at least {shortest} characters. A short sentence is easy to remember.")
_DIFFERENT = N_("The two passwords differ.")
_COMMON = N_("This password is one of those that everybody tries first. Take a short sentence that only you know.")


def find_home_page(role: Role) -> str:
    """The first page for a user of this role."""
    pages = {Role.DOCTOR: "lists.page", Role.TECHNICIAN: "health.page", Role.AUDITOR: "audits.page"}
    return url_for(pages[role])


@blueprint.get("/login")
def page() -> ResponseReturnValue:
    account = guard.current_user()
    if account is not None:
        return redirect(find_home_page(account.role))
    return render_template(
        "login.html", error="", fresh=not any(u.has_password for u in current_box().accounts.list_users())
    )


@blueprint.post("/login")
def log_in() -> ResponseReturnValue:
    box = current_box()
    name, password = request.form.get("name", "")[:80], request.form.get("password", "")[: LONGEST + 1]
    source, address = devices.identify_source(name), request.remote_addr or ""
    if not box.accounts.register_attempt(name, source):
        abort(429)
    try:
        fits = box.passwords.verify(password, box.accounts.find_password_hash(name))
    except TooBusy:
        abort(503)
    account = box.accounts.find(name)
    if not fits or account is None:
        return _refuse_login(account, name, source)
    box.accounts.forget_failures(name, source)
    box.audit.record(account.name, "login", address=address)
    return guard.log_in(make_response(redirect(find_home_page(account.role))), account)


def _refuse_login(account: User | None, name: str, source: str) -> ResponseReturnValue:
    """Refuse without showing whether the account exists."""
    box = current_box()
    action = "login.failed" if box.accounts.may_attempt(name, source) else "login.blocked"
    box.audit.record(account.name if account else "", action, address=request.remote_addr or "")
    return render_template("login.html", error=translate(_WRONG, g.language), fresh=False), 401


@blueprint.get("/claim")
def claim_page() -> ResponseReturnValue:
    return render_template("one_time_code.html", error="", shortest=SHORTEST, form={})


@blueprint.post("/claim")
def claim() -> ResponseReturnValue:
    """Set a password by a one-time code.  A right code always counts: it has 58 bits, so nobody guesses one, and it is
    the way out for whoever is locked out."""
    box, form = current_box(), request.form
    code, name, address = form.get("code", "")[:40], form.get("name", "").strip()[:40], request.remote_addr or ""
    password = form.get("password", "")[: LONGEST + 1]
    if box.accounts.find_claim(code) is None:
        if not box.accounts.register_attempt(_CLAIM, devices.identify_source()):
            abort(429)
        box.audit.record("", "login.failed", address=address)
        return _render_claim_error(translate(_CODE_WRONG, g.language))
    box.accounts.forget_failures(_CLAIM, devices.identify_source())
    if fault := check_new_password(password, form.get("again", ""), name):
        return _render_claim_error(fault)
    try:
        account = box.accounts.redeem(code, name, box.passwords.hash(password))
    except TooBusy:
        abort(503)
    except AccountError as error:
        return _render_claim_error(error.text(g.language))
    if account is None:
        return _render_claim_error(translate(_CODE_WRONG, g.language))
    for source in (devices.identify_source(), devices.identify_source(account.name)):
        box.accounts.forget_failures(account.name, source)
    box.audit.record(account.name, "claim.used", address=address)
    return guard.log_in(make_response(redirect(find_home_page(account.role))), account)


def check_new_password(password: str, again: str, name: str) -> str:
    """Why nobody called *name* may take this password, in the user's language; empty when they may."""
    box = current_box().config.box
    if not SHORTEST <= len(password) <= LONGEST:
        return translate(_SHORT, g.language).format(shortest=SHORTEST)
    if password != again:
        return translate(_DIFFERENT, g.language)
    return translate(_COMMON, g.language) if is_common(password, name, box.name, box.id) else ""


def _render_claim_error(error: str) -> ResponseReturnValue:
    """The form again with the code and the name that were typed; a password is never sent back."""
    return render_template("one_time_code.html", error=error, shortest=SHORTEST, form=request.form), 400


@blueprint.post("/logout")
def log_out() -> ResponseReturnValue:
    account = guard.current_user()
    if account is not None:
        current_box().audit.record(account.name, "logout")
    return guard.log_out(make_response(redirect(url_for("login.page"))))


@blueprint.post("/language")
def language() -> ResponseReturnValue:
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        abort(400)
    session["language"] = chosen
    account = guard.current_user()
    if account is not None:
        current_box().accounts.set_language(account.name, chosen)
    return redirect(_find_previous_page())


def _find_previous_page() -> str:
    """The page the user came from, if it is one of this box's."""
    came = urlsplit(request.referrer or "")
    here_again = came.netloc == request.host and came.path.startswith("/") and not came.path.startswith("//")
    return f"{came.path}?{came.query}".rstrip("?") if here_again else url_for("login.page")
