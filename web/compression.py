"""Pages, styles and scripts go over the wire compressed: a clinic's Wi-Fi is slow.

Films are compressed already.  A page holds the log-in's own CSRF token beside what a stranger might get onto it; its
length tells a stranger nothing, because no other site can make a browser ask for it with the log-in (SameSite=Strict).
"""

from __future__ import annotations

import gzip
from typing import Final

from flask import Response, request

_KINDS: Final = frozenset({"text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"})
_LEAST_BYTES: Final = 1000
_LEVEL: Final = 5


def compress(response: Response) -> Response:
    """*response* with its body compressed, where that is allowed and worth it (RFC 9110 8.4.1.3)."""
    if response.mimetype not in _KINDS or response.status_code != 200 or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    streams = response.is_streamed and not response.direct_passthrough
    if request.accept_encodings.best_match(["gzip"]) is None or streams:
        return response
    response.direct_passthrough = False
    body = response.get_data()
    if len(body) >= _LEAST_BYTES:
        response.set_data(gzip.compress(body, _LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
