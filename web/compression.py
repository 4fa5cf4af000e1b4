"""Pages, styles and scripts go over the wire compressed: a clinic's Wi-Fi is slow.

A page holds the log-in's own CSRF token beside what a stranger might get onto it (CVE-2013-3587, BREACH).  Its length
tells a stranger nothing all the same, because no other site can make a browser ask for it with the log-in
(SameSite=Strict); a list of forty patients is 32 kB without and 4 kB with.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Final

from flask import Flask, Response, request

_KINDS: Final = frozenset({"text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"})
_LEAST_BYTES: Final = 1000
_LEVEL: Final = 5
_STATIC_LEVEL: Final = 9


def install(app: Flask) -> None:
    """Have *app* compress what it answers, for browsers that take it (RFC 9110 8.4.1.3)."""
    app.after_request(_compress)


def _compress(response: Response) -> Response:
    if response.mimetype not in _KINDS or response.status_code != 200 or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    streams = response.is_streamed and not response.direct_passthrough
    if request.accept_encodings.best_match(["gzip"]) is None or streams:
        return response
    response.direct_passthrough = False
    body = response.get_data()
    if len(body) >= _LEAST_BYTES:
        response.set_data(
            _compress_static(body) if request.endpoint == "static" else gzip.compress(body, _LEVEL, mtime=0)
        )
        response.content_encoding = "gzip"
    return response


@lru_cache(64)
def _compress_static(data: bytes) -> bytes:
    return gzip.compress(data, _STATIC_LEVEL, mtime=0)
