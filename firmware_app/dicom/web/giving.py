"""The addresses under which results are searched (QIDO-RS) and fetched (WADO-RS).

Who fetches is in the audit, once for each client, case and hour; a search tells no more than a list of the viewer.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response, abort, request

from firmware_app.core.errors import StoreError
from firmware_app.dicom.headers.matching import NotAQuestion
from firmware_app.dicom.web import media, retrieving, searching
from firmware_app.dicom.web.media import MULTIPART, MediaType
from firmware_app.dicom.web.offered import OfferedObjects, OfferedResult
from firmware_app.dicom.web.retrieving import DICOM, OCTETS, Body, Part
from firmware_app.dicom.web.searching import Level

_JSON: Final = (MediaType("application/dicom+json"), MediaType("application/json"))
_AUDITED_S: Final = 3600.0
_MOST_REMEMBERED: Final = 10_000


class Giving:
    """The pages over *offered*, whose files are below *root*; *client* says whose request it is.

    *audit* puts into the audit that a client has fetched results of a case.
    """

    def __init__(
        self, root: Path, offered: OfferedObjects, audit: Callable[[str, str], None], client: Callable[[], str]
    ) -> None:
        self._root, self._offered, self._audit, self._client = root, offered, audit, client
        self._audited: dict[tuple[str, str], float] = {}

    def blueprint(self) -> Blueprint:
        """All addresses, below the service's own."""
        pages = Blueprint("results", __name__)
        study, series = "/studies/<study>", "/studies/<study>/series/<series>"
        instance = f"{series}/instances/<sop>"
        for path, level, told in (
            ("/studies", Level.STUDY, (Level.STUDY,)),
            ("/series", Level.SERIES, (Level.STUDY, Level.SERIES)),
            ("/instances", Level.INSTANCE, tuple(Level)),
            (f"{study}/series", Level.SERIES, (Level.SERIES,)),
            (f"{study}/instances", Level.INSTANCE, (Level.SERIES, Level.INSTANCE)),
            (f"{series}/instances", Level.INSTANCE, (Level.INSTANCE,)),
        ):
            pages.add_url_rule(path, f"search {path}", self._search, defaults={"level": level, "told": told})
        for path in (study, series, instance):
            pages.add_url_rule(path, f"fetch {path}", self._fetch)
            pages.add_url_rule(f"{path}/metadata", f"metadata {path}", self._metadata)
        pages.add_url_rule(f"{instance}/frames/<numbers>", "frames", self._frames)
        pages.add_url_rule(f"{instance}/bulkdata/<tag>", "bulk", self._bulk)
        pages.register_error_handler(sqlite3.Error, _unreadable)
        pages.register_error_handler(StoreError, _unreadable)
        return pages

    def _search(
        self, level: Level, told: Sequence[Level], study: str | None = None, series: str | None = None
    ) -> Response:
        kind = _chosen(_JSON)
        if kind is None:
            return _plain("Only application/dicom+json is offered.", 406)
        try:
            query = searching.parse(request.args.items(multi=True))
            offered = self._offered.find(study)  # the whole study: its counts are told too
            wanted = [one for one in offered if series is None or one.series_uid == series]
            made, more = searching.answers(query, level, wanted, told, self._service)
        except NotAQuestion as error:
            return _plain(str(error), 400)
        answered = _as_json(made, kind)
        if more:
            answered.headers.add("Warning", '299 Lantern "There are more results, which can be asked for by offset."')
        if request.args.get("fuzzymatching") == "true":
            answered.headers.add("Warning", '299 Lantern "Only literal matching has been performed."')
        if request.args.get("multiplevaluematching") == "true":
            answered.headers.add("Warning", '299 Lantern "Multiple Value Matching has not been performed."')
        return answered

    def _metadata(self, study: str, series: str | None = None, sop: str | None = None) -> Response:
        offered = self._found(study, series, sop)
        kind = _chosen(_JSON)
        if kind is None:
            return _plain("Only application/dicom+json is offered.", 406)
        try:
            return _as_json(retrieving.metadata(self._root, offered, self._service), kind)
        except OSError:
            abort(404)

    def _fetch(self, study: str, series: str | None = None, sop: str | None = None) -> Response:
        offered = self._found(study, series, sop)
        return self._send([Part(self._root / one.file) for one in offered], DICOM, may_be_bare=sop is not None)

    def _frames(self, study: str, series: str, sop: str, numbers: str) -> Response:
        [one] = self._found(study, series, sop)
        if not all(number.isdecimal() and number.isascii() and len(number) < 10 for number in numbers.split(",")):
            return _plain("Frames are numbers, with commas between them.", 400)
        parts = retrieving.frames(self._root, one, [int(number) for number in numbers.split(",")])
        if parts is None:
            abort(404)
        return self._send(parts, OCTETS, may_be_bare=len(parts) == 1)

    def _bulk(self, study: str, series: str, sop: str, tag: str) -> Response:
        [one] = self._found(study, series, sop)
        if tag not in one.bulk:
            abort(404)
        start, size, _ = one.bulk[tag]
        return self._send([Part(self._root / one.file, start, size)], OCTETS, may_be_bare=True)

    # --- what they share -------------------------------------------------------------------------------------------

    @property
    def _service(self) -> str:
        """The service's address as the client knows it: the front speaks TLS."""
        return f"https://{request.host}{request.path[: request.path.index('/', 1)]}"

    def _found(self, study: str, series: str | None, sop: str | None) -> list[OfferedResult]:
        """What is offered under these UIDs, the fetching of it in the audit; 404 where there is nothing."""
        offered = self._offered.find(study, series, sop)
        if not offered:
            abort(404)
        for case in {one.case for one in offered}:
            self._record(case)
        return offered

    def _record(self, case: str) -> None:
        key, now = (self._client(), case), time.monotonic()
        if now - self._audited.get(key, -_AUDITED_S) < _AUDITED_S:
            return
        self._audit(*key)
        if len(self._audited) >= _MOST_REMEMBERED:
            self._audited.clear()
        self._audited[key] = now

    def _send(self, parts: Sequence[Part], kind: str, *, may_be_bare: bool) -> Response:
        form = _chosen(retrieving.forms(kind, may_be_bare=may_be_bare))
        if form is None:
            return _plain(f'Only multipart/related; type="{kind}" is offered, in Explicit VR Little Endian.', 406)
        try:
            body = Body(parts, kind, multipart=form.name == MULTIPART)
        except OSError:  # withdrawn at this very moment
            abort(404)
        return Response(body, headers={"Content-Length": str(body.length)}, content_type=body.content_type)


def _chosen(offers: Sequence[MediaType]) -> MediaType | None:
    return media.chosen(offers, request.headers.get("Accept", ""), request.args.getlist("accept"))


def _as_json(made: list[dict[str, Any]], kind: MediaType) -> Response:
    return Response(json.dumps(made, ensure_ascii=False), content_type=kind.name)


def _plain(sentence: str, status: int) -> Response:
    return Response(sentence + "\n", status, content_type="text/plain; charset=utf-8")


def _unreadable(_: Exception) -> Response:
    return _plain("The box cannot read its results now. Ask again.", 503)
