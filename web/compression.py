"""Style sheet and modules go over the line compressed: a clinic's line is slow, and there are eleven of them.

Pages themselves are not: they hold a secret token beside what people typed (as BREACH needs, CVE-2013-3587).
"""

from __future__ import annotations

import gzip
from functools import lru_cache

from flask import Flask, Response, request

_KINDS = ("text/css", "text/javascript", "application/javascript", "image/svg+xml")


def install(app: Flask) -> None:
    """Have *app* compress its static files for browsers that take it."""
    app.after_request(_compressed)


def _compressed(response: Response) -> Response:
    if request.endpoint != "static" or response.status_code != 200 or response.mimetype not in _KINDS:
        return response
    response.vary.add("Accept-Encoding")
    if not request.accept_encodings["gzip"]:
        return response
    response.direct_passthrough = False
    response.set_data(_gzip(response.get_data()))
    response.content_encoding = "gzip"
    return response


@lru_cache(64)
def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)
