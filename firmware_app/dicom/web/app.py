"""The addresses of DICOMweb, below ``/dicom-web``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import BinaryIO, Final, cast

from flask import Flask, Response, request

from firmware_app.core.language import visible
from firmware_app.dicom.storage import ImageDoor
from firmware_app.dicom.web.giving import Giving
from firmware_app.dicom.web.parts import NotParts, NotTaken, boundary_of, take
from firmware_app.dicom.web.socket import CLIENT
from firmware_app.dicom.web.storing import Storing, answer, status_of

ROOT: Final = "/dicom-web"
_JSON: Final = "application/dicom+json"
_NOT_TAKEN: Final = (
    'Only multipart/related of application/dicom, or one application/dicom, is stored; the Content-Type says "{}".'
)
_MOST_SHOWN: Final = 200
_UID: Final = re.compile(r"[0-9.]{1,64}")


def create_app(door: ImageDoor, results: Callable[[Callable[[], str]], Giving] | None = None) -> Flask:
    """The application over *door*; *results* makes the pages of results, where they are given out."""
    app = Flask(__name__, static_folder=None)
    if results is not None:
        app.register_blueprint(results(client).blueprint(), url_prefix=ROOT)

    @app.post(f"{ROOT}/studies")
    @app.post(f"{ROOT}/studies/<study>")
    def store(study: str | None = None) -> Response:
        """STOW-RS: keep every object of the request; with *study*, only objects of it."""
        if study is not None and _UID.fullmatch(study) is None:
            return _plain("The address names no Study Instance UID.", 400)
        try:
            boundary = boundary_of(request.headers.get("Content-Type", ""))
        except NotTaken as error:
            return _plain(_NOT_TAKEN.format(visible(str(error))[:_MOST_SHOWN] or "nothing"), 415)
        except NotParts as error:
            return _plain(str(error), 400)
        if coded := request.headers.get("Content-Encoding", "").strip().lower().removeprefix("identity"):
            return _plain(f"Send the body without a content coding; it came as {visible(coded)[:_MOST_SHOWN]}.", 415)
        with Storing(door, f"dicomweb:{client()}", study) as storing:
            try:
                take(cast(BinaryIO, request.stream), boundary, storing)
            except NotParts as error:
                storing.cut()
                if not any(one.error is None for one in storing.stored):
                    return _plain(str(error), 400)
            if not storing.stored:
                return _plain("The body holds no object.", 400)
            status, body = status_of(storing.stored), answer(storing.stored)
        answered = Response(json.dumps(body), status, content_type=_JSON)
        if status == 503:
            answered.headers["Retry-After"] = "60"
        return answered

    @app.teardown_request
    def leave(_: object) -> None:
        door.clinical.database.close_thread()

    return app


def client() -> str:
    """Whose request it is, for journal and audit: the common name in the certificate."""
    subject = request.headers.get(CLIENT, "")
    name = re.search(r"(?:^|,)CN=((?:[^,\\]|\\.)+)", subject)
    return visible(name[1] if name else subject)[:64] or "?"


def _plain(sentence: str, status: int) -> Response:
    return Response(sentence + "\n", status, content_type="text/plain; charset=utf-8")
