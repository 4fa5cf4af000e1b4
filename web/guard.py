"""Access control: the user of a request, and the rules that hold for every request.

* A log-in is a random cookie. Its hash, owner and age are a row of accounts.db; ending the row ends the log-in.
* The other cookie is Flask's signed one: the CSRF token and the language.  It is valid for one log-in only.
* A request for a host name that is not this box's is refused: it protects against DNS rebinding.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, cast

from flask import Flask, Response, abort, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from firmware_app.appliance import network_name
from firmware_app.cases.accounts import SESSION_MOST_S, Role, User
from firmware_app.core.language import LANGUAGES
from web import devices
from web.viewer_context import current_box

COOKIE: Final = "lantern_login"
_BOUND: Final = "login"
_P = ParamSpec("_P")
_POLLED: Final[set[Callable[..., ResponseReturnValue]]] = set()
_CLINIC_NETWORK_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def install(app: Flask) -> None:
    """Check every request of *app*."""
    app.before_request(_check_host)
    app.before_request(_load_user)
    app.after_request(_add_security_headers)


def current_user() -> User | None:
    """The user who is logged in."""
    return cast("User | None", g.get("user"))


def require_actor() -> str:
    """The account's name for the audit; use only in a view with `require_role`."""
    person = current_user()
    if person is None:
        abort(401)
    return person.name


def require_role(*roles: Role) -> Callable[[Callable[_P, ResponseReturnValue]], Callable[_P, ResponseReturnValue]]:
    """Allow a view for these roles only."""

    def decorate(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, ResponseReturnValue]:
        @wraps(view)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> ResponseReturnValue:
            person = current_user()
            if person is None:
                if request.method == "GET" and request.accept_mimetypes.accept_html:
                    return redirect(url_for("login.page"))
                abort(401)
            if person.role not in roles:
                abort(403)
            return view(*args, **kwargs)

        return guarded

    return decorate


def polled(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, ResponseReturnValue]:
    """Mark a view that pages request by themselves: it does not keep a log-in alive.  Stands above `require_role`."""
    _POLLED.add(view)
    return view


def log_in(response: Response, person: User) -> Response:
    """Log *person* in; every earlier log-in of this browser ends."""
    box = current_box()
    identifier = box.accounts.open_session(person.name, request.cookies.get(COOKIE))
    language = person.language or session.get("language")
    session.clear()
    session[_BOUND] = _fingerprint(identifier)
    if language:
        session["language"] = language
    response.set_cookie(
        COOKIE, identifier, max_age=SESSION_MOST_S, httponly=True, samesite="Strict", secure=request.is_secure
    )
    devices.remember(response, person)
    return response


def log_out(response: Response) -> Response:
    """Log out: end the row on the box and the cookie in the browser."""
    identifier = request.cookies.get(COOKIE)
    if identifier:
        current_box().accounts.close_session(identifier)
    language = session.get("language")
    session.clear()
    if language:
        session["language"] = language
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict")
    return response


def _load_user() -> None:
    """Find the user and the language of this request."""
    box = current_box()
    identifier = request.cookies.get(COOKIE)
    used = request.endpoint != "static" and current_app.view_functions.get(request.endpoint or "") not in _POLLED
    g.user = box.accounts.find_session_user(identifier, used=used) if identifier else None
    if session.get(_BOUND) != (_fingerprint(identifier) if g.user and identifier else None):
        language = session.get("language")
        session.clear()  # the token of another log-in is not valid in this one
        if language:
            session["language"] = language
        if g.user and identifier:
            session[_BOUND] = _fingerprint(identifier)
    chosen = session.get("language") or (g.user.language if g.user else None)
    g.language = chosen if chosen in LANGUAGES else box.config.box.language


def _check_host() -> None:
    name = parse_host_name(request.host)
    config = current_box().config
    named = (f"{network_name.make_mdns_host(config.box.id)}.local", *config.viewer.allowed_hosts)
    if name is None or not (_is_address(name) or name in list_own_names(named)):
        abort(421)


def parse_host_name(host: str) -> str | None:
    """The name in a Host header (RFC 9110 7.2), lower case and without port; None when it is none."""
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.\-]+)(:\d{1,5})?", host.lower())
    return match[1].strip("[]").rstrip(".") if match else None


def list_own_names(configured: tuple[str, ...]) -> frozenset[str]:
    """Host names under which a browser may reach this box."""
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own.split('.')[0]}.local", *(name.lower() for name in configured)})


def _is_address(name: str) -> bool:
    """Whether *name* is an IP address: those are always allowed, because DNS cannot redirect them."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _fingerprint(identifier: str) -> str:
    return hashlib.sha256(b"csrf:" + identifier.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _add_security_headers(response: Response) -> Response:
    for name, value in _CLINIC_NETWORK_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "static":
        response.headers["Cache-Control"] = "no-cache"
    else:
        response.headers["Cache-Control"] = "no-store"  # clinic PCs are shared: no patient data may stay in caches
    return response
