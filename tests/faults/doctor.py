"""Someone at the screen, without a screen: claims an account, logs in, opens the list."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Final

_TOKEN: Final = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_PASSWORD: Final = "a lamp in the village"
_NAME: Final = "doctor"


class Doctor:
    """One person; a new browser for each log-in."""

    def claim(self, port: int, code: str) -> bool:
        """Make the account with the one-time *code* that a person at the box was given."""
        words = {"code": code, "name": _NAME, "password": _PASSWORD, "again": _PASSWORD}
        return _post_form(port, "/claim", words) is not None

    def sees_the_list(self, port: int) -> bool:
        """Log in and look at the list of cases."""
        browser = _post_form(port, "/login", {"name": _NAME, "password": _PASSWORD})
        if browser is None:
            return False
        status, page = _get(browser, port, "/")
        return status == 200 and "/logout" in page


def is_up(port: int) -> bool:
    """Whether the viewer answers at all; what it says of the box is not asked."""
    return _get(urllib.request.build_opener(), port, "/healthz")[0] in (200, 503)


def troubles(port: int) -> list[str]:
    """The codes that the viewer gives whoever watches from outside."""
    said = json.loads(_get(urllib.request.build_opener(), port, "/healthz")[1] or "{}")
    return [str(code) for code in said.get("codes", [])]


def _post_form(port: int, page: str, words: dict[str, str]) -> urllib.request.OpenerDirector | None:
    """The browser in which the form of *page* was sent and taken; None when it was refused."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    token = _TOKEN.search(_get(browser, port, page)[1])
    if token is None:
        return None
    body = urllib.parse.urlencode({"csrf_token": token[1], **words}).encode()
    status, answer = _get(browser, port, page, body)
    return browser if status == 200 and 'name="password"' not in answer else None


def _get(browser: urllib.request.OpenerDirector, port: int, page: str, body: bytes | None = None) -> tuple[int, str]:
    headers = {"Referer": f"http://127.0.0.1:{port}{page}", "Accept": "text/html"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{page}", body, headers)
    try:
        with browser.open(asked, timeout=20) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
