"""Accounts as pages: everybody's own password, and for doctors the accounts of the clinic.

Who sees patients is for doctors to decide, so a technician makes no account.  An auditor's account is made at the
console alone: those whom the audit watches cannot touch it.  Each change asks for the own password again, because a PC
in a clinic is often left open.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, abort, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role, User
from firmware_app.cases.errors import AccountError
from firmware_app.core.language import N_, translate
from web import devices, guard
from web.blueprints.login import check_new_password
from web.passwords import LONGEST, SHORTEST, TooBusy
from web.viewer_context import current_box

blueprint = Blueprint("accounts", __name__)

MANAGED: Final = (Role.DOCTOR, Role.TECHNICIAN)
_OWN_WRONG: Final = N_("Your own password is wrong.")
_OWN_ACCOUNT: Final = N_("Nobody disables the own account. Another doctor can.")
_CHANGED: Final = N_("Your password is changed. Other screens under your name are logged out.")


@blueprint.get("/password")
@guard.require_role(*Role)
def password() -> ResponseReturnValue:
    return render_template("password.html", error="", shortest=SHORTEST, changed=False)


@blueprint.post("/password")
@guard.require_role(*Role)
def change() -> ResponseReturnValue:
    """Change the own password; the log-in is renewed."""
    box, person = current_box(), _require_user()
    fresh = request.form.get("password", "")[: LONGEST + 1]
    fault = _check_own_password("old") or check_new_password(fresh, request.form.get("again", ""), person.shown)
    if fault:
        return render_template("password.html", error=fault, shortest=SHORTEST, changed=False), 400
    try:
        box.accounts.set_password(person.name, box.passwords.hash(fresh))
    except TooBusy:
        abort(503)
    box.audit.record(person.name, "password.changed", address=request.remote_addr or "")
    page = render_template("password.html", error=translate(_CHANGED, g.language), shortest=SHORTEST, changed=True)
    return guard.log_in(make_response(page), person)


@blueprint.get("/accounts")
@guard.require_role(Role.DOCTOR)
def page() -> ResponseReturnValue:
    return _render_page()


@blueprint.post("/accounts")
@guard.require_role(Role.DOCTOR)
def add() -> ResponseReturnValue:
    """A new account; its one-time code stands on the page that answers, and nowhere else."""
    name, role = request.form.get("name", "").strip()[:40], request.form.get("role", "")
    if role not in MANAGED:
        abort(400)
    if fault := _check_own_password("own"):
        return _render_page(error=fault, status=400)
    try:
        code = current_box().accounts.add(name, Role(role))
    except AccountError as error:
        return _render_page(error=error.text(g.language), status=400)
    current_box().audit.record(guard.require_actor(), "user.added", account=name, role=role)
    return _render_page(code=code, whose=name)


@blueprint.post("/accounts/change")
@guard.require_role(Role.DOCTOR)
def manage() -> ResponseReturnValue:
    """A new code for an account that forgot its password, or the end of an account."""
    box, user = current_box(), current_box().accounts.find(request.form.get("name", "")[:80])
    does = request.form.get("does", "")
    if user is None or user.role not in MANAGED or does not in ("renew", "disable"):
        abort(400)
    if fault := _check_own_password("own"):
        return _render_page(error=fault, status=400)
    if does == "renew":
        code = box.accounts.reset_password(user.name)
        box.audit.record(guard.require_actor(), "user.renewed", account=user.shown)
        if user.name == guard.require_actor():
            return redirect(url_for("login.page"))
        return _render_page(code=code, whose=user.shown)
    if user.name == guard.require_actor():
        return _render_page(error=translate(_OWN_ACCOUNT, g.language), status=400)
    box.accounts.disable(user.name)
    box.audit.record(guard.require_actor(), "user.disabled", account=user.shown)
    return redirect(url_for("accounts.page"))


def _render_page(*, code: str = "", whose: str = "", error: str = "", status: int = 200) -> tuple[str, int]:
    body = render_template(
        "accounts.html",
        users=current_box().accounts.list_users(),
        managed=MANAGED,
        code=code,
        whose=whose,
        error=error,
        form=request.form if error else {},
    )
    return body, status


def _require_user() -> User:
    person = guard.current_user()
    if person is None:
        abort(401)
    return person


def _check_own_password(field: str) -> str:
    """Why the own password in *field* does not let the change through; wrong ones count as failed log-ins."""
    box, person, source = current_box(), _require_user(), devices.identify_source(_require_user().name)
    if not box.accounts.register_attempt(person.name, source):
        abort(429)
    try:
        fits = box.passwords.verify(
            request.form.get(field, "")[: LONGEST + 1], box.accounts.find_password_hash(person.name)
        )
    except TooBusy:
        abort(503)
    if not fits:
        return translate(_OWN_WRONG, g.language)
    box.accounts.forget_failures(person.name, source)
    return ""
