"""Where a log-in attempt comes from: a browser in which that account has logged in before, or else an address.

The limit on failed log-ins counts by account and source (`accounts_db`): whoever guesses from elsewhere locks nobody
out at the own PC, whatever address that has.  After a log-in the browser keeps a signed cookie with a random id and the
keyed hashes of the accounts that logged in there (OWASP, Slow Down Online Guessing Attacks with Device Cookies).  It
opens nothing: who steals it may guess five times at those accounts.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from typing import Final

from flask import Response, current_app, request
from itsdangerous import BadSignature, URLSafeSerializer

from firmware_app.cases.accounts import DEVICE, User, normalise_name

COOKIE: Final = "lantern_device"
_KEPT_S: Final = 400 * 86_400  # the longest that browsers keep a cookie
_MOST_ACCOUNTS: Final = 12
"""Of one browser; the one that logged in longest ago gives way."""
_MARK_DIGITS: Final = 16
_IPV6_PREFIX: Final = 64  # one machine has as many addresses as it likes below it


def identify_source(name: str = "") -> str:
    """What an attempt of this request at the account *name* is counted under."""
    device, marks = _read_cookie()
    return (
        f"{DEVICE}{device}" if name and _hash_account(name) in marks else _normalise_address(request.remote_addr or "")
    )


def remember(response: Response, person: User) -> None:
    """Have this browser known as one of *person* from now on."""
    device, marks = _read_cookie()
    mine = _hash_account(person.name)
    kept = [mine, *(mark for mark in marks if mark != mine)][:_MOST_ACCOUNTS]
    response.set_cookie(
        COOKIE,
        _signer().dumps([device, kept]),
        max_age=_KEPT_S,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )


def _read_cookie() -> tuple[str, list[str]]:
    """The id of this browser and the accounts that logged in there; a fresh id where it has none."""
    try:
        device, marks = _signer().loads(request.cookies.get(COOKIE, ""))
    except BadSignature:
        return secrets.token_hex(8), []
    return str(device), [str(mark) for mark in marks]


def _hash_account(name: str) -> str:
    named = f"device:{normalise_name(name)}".encode("utf-8", "surrogatepass")
    return hmac.digest(_secret(), named, "sha256").hex()[:_MARK_DIGITS]


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(_secret(), salt="lantern.device")


def _secret() -> bytes:
    return bytes(current_app.config["SECRET_KEY"])


def _normalise_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if not isinstance(address, ipaddress.IPv6Address):
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))
