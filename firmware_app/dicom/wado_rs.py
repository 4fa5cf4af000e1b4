"""WADO-RS (PS3.18 10.4), and the addresses under which results are searched and fetched.

Whole objects, their metadata, frames and long values are sent as the sender has laid them ready.  Nothing is parsed
here: an object is sent as bytes of its file, a frame or a long value as a part of these, and metadata as they were
written when the object was made.

Who fetches is in the audit, once for each client, case and hour; a search tells no more than a list of the viewer.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from flask import Blueprint, Response, abort, request

from firmware_app.core.errors import StoreError
from firmware_app.dicom import media_types, qido_rs
from firmware_app.dicom.dicomweb import OfferedObjects, OfferedResult
from firmware_app.dicom.media_types import MULTIPART, MediaType
from firmware_app.dicom.qido_rs import Level, resource_url
from firmware_app.dicom.query_keys import InvalidQuery

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_PIXELS: Final = "7FE00010"
_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of a file for one part of an answer; *size* None: to its end."""

    path: Path
    start: int = 0
    size: int | None = None


def list_media_types(kind: str, *, may_be_bare: bool) -> list[MediaType]:
    """How parts of *kind* are given: in a multipart/related, and a single one bare too."""
    syntax = {"transfer-syntax": _EXPLICIT}
    bare = [MediaType(kind, syntax)] if may_be_bare else []
    return [MediaType(MULTIPART, {"type": kind, **syntax}), *bare]


def load_metadata(root: Path, offered: Sequence[OfferedResult], service: str) -> list[dict[str, Any]]:
    """The metadata of *offered*, each long value as the address where it is fetched; raises `OSError`."""
    made = []
    for offered_result in offered:
        told: dict[str, Any] = json.loads((root / offered_result.file).with_suffix(".json").read_text("utf-8"))[
            "metadata"
        ]
        for tag in offered_result.bulk:
            told[tag]["BulkDataURI"] = f"{resource_url(service, offered_result)}/bulkdata/{tag}"
        made.append(told)
    return made


def find_frames(root: Path, one: OfferedResult, numbers: Sequence[int]) -> list[FilePart] | None:
    """The frames of *one* with these *numbers*, from 1; None when it has not all of them."""
    start, size, count = one.bulk.get(_PIXELS, (0, 0, 0))
    if not numbers or not all(1 <= number <= count for number in numbers):
        return None
    each = size // count
    return [FilePart(root / one.file, start + (number - 1) * each, each) for number in numbers]


class MultipartBody:
    """The parts of an answer, opened, so that they stay whole while a newer version replaces them.

    Raises `OSError` when one is not there.  Closed when it has been iterated, or by `close`.
    """

    def __init__(self, parts: Sequence[FilePart], kind: str, *, multipart: bool) -> None:
        self._boundary = secrets.token_hex(16) if multipart else ""
        self._kind = kind
        with ExitStack() as opened:
            self._parts = [(opened.enter_context(part.path.open("rb")), *_part_extent(part)) for part in parts]
            self._opened = opened.pop_all()

    @property
    def content_type(self) -> str:
        syntax = f"; transfer-syntax={_EXPLICIT}"
        if not self._boundary:
            return self._kind + syntax
        return f'multipart/related; type="{self._kind}"{syntax}; boundary={self._boundary}'

    @property
    def length(self) -> int:
        return (
            sum(len(self._head) + size + 2 for _, _, size in self._parts) + len(self._tail)
            if self._boundary
            else (self._parts[0][2])
        )

    @property
    def _head(self) -> bytes:
        return f"--{self._boundary}\r\nContent-Type: {self._kind}; transfer-syntax={_EXPLICIT}\r\n\r\n".encode()

    @property
    def _tail(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()

    def __iter__(self) -> Iterator[bytes]:
        for file, start, size in self._parts:
            if self._boundary:
                yield self._head
            yield from _read_pieces(file, start, size)
            if self._boundary:
                yield b"\r\n"
        if self._boundary:
            yield self._tail

    def close(self) -> None:
        self._opened.close()


def _part_extent(part: FilePart) -> tuple[int, int]:
    return part.start, part.path.stat().st_size - part.start if part.size is None else part.size


def _read_pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


_JSON: Final = (MediaType("application/dicom+json"), MediaType("application/json"))
_AUDITED_S: Final = 3600.0
_MOST_REMEMBERED: Final = 10_000


class ResultPages:
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
        pages.register_error_handler(sqlite3.Error, _answer_unreadable)
        pages.register_error_handler(StoreError, _answer_unreadable)
        return pages

    def _search(
        self, level: Level, told: Sequence[Level], study: str | None = None, series: str | None = None
    ) -> Response:
        kind = _choose_type(_JSON)
        if kind is None:
            return _plain_response("Only application/dicom+json is offered.", 406)
        try:
            query = qido_rs.parse_query(request.args.items(multi=True))
            offered = self._offered.find(study)  # the whole study: its counts are told too
            wanted = [
                offered_result for offered_result in offered if series is None or offered_result.series_uid == series
            ]
            made, more = qido_rs.find_answers(query, level, wanted, told, self._service)
        except InvalidQuery as error:
            return _plain_response(str(error), 400)
        answered = _json_response(made, kind)
        if more:
            answered.headers.add("Warning", '299 Lantern "There are more results, which can be asked for by offset."')
        if request.args.get("fuzzymatching") == "true":
            answered.headers.add("Warning", '299 Lantern "Only literal matching has been performed."')
        if request.args.get("multiplevaluematching") == "true":
            answered.headers.add("Warning", '299 Lantern "Multiple Value Matching has not been performed."')
        return answered

    def _metadata(self, study: str, series: str | None = None, sop: str | None = None) -> Response:
        offered = self._find_results(study, series, sop)
        kind = _choose_type(_JSON)
        if kind is None:
            return _plain_response("Only application/dicom+json is offered.", 406)
        try:
            return _json_response(load_metadata(self._root, offered, self._service), kind)
        except OSError:
            abort(404)

    def _fetch(self, study: str, series: str | None = None, sop: str | None = None) -> Response:
        offered = self._find_results(study, series, sop)
        return self._send(
            [FilePart(self._root / offered_result.file) for offered_result in offered],
            DICOM,
            may_be_bare=sop is not None,
        )

    def _frames(self, study: str, series: str, sop: str, numbers: str) -> Response:
        [one] = self._find_results(study, series, sop)
        if not all(number.isdecimal() and number.isascii() and len(number) < 10 for number in numbers.split(",")):
            return _plain_response("Frames are numbers, with commas between them.", 400)
        parts = find_frames(self._root, one, [int(number) for number in numbers.split(",")])
        if parts is None:
            abort(404)
        return self._send(parts, OCTETS, may_be_bare=len(parts) == 1)

    def _bulk(self, study: str, series: str, sop: str, tag: str) -> Response:
        [one] = self._find_results(study, series, sop)
        if tag not in one.bulk:
            abort(404)
        start, size, _ = one.bulk[tag]
        return self._send([FilePart(self._root / one.file, start, size)], OCTETS, may_be_bare=True)

    # --- what they share -------------------------------------------------------------------------------------------

    @property
    def _service(self) -> str:
        """The service's address as the client knows it: the front speaks TLS."""
        return f"https://{request.host}{request.path[: request.path.index('/', 1)]}"

    def _find_results(self, study: str, series: str | None, sop: str | None) -> list[OfferedResult]:
        """What is offered under these UIDs, the fetching of it in the audit; 404 where there is nothing."""
        offered = self._offered.find(study, series, sop)
        if not offered:
            abort(404)
        for case in {offered_result.case for offered_result in offered}:
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

    def _send(self, parts: Sequence[FilePart], kind: str, *, may_be_bare: bool) -> Response:
        form = _choose_type(list_media_types(kind, may_be_bare=may_be_bare))
        if form is None:
            return _plain_response(
                f'Only multipart/related; type="{kind}" is offered, in Explicit VR Little Endian.', 406
            )
        try:
            body = MultipartBody(parts, kind, multipart=form.name == MULTIPART)
        except OSError:  # withdrawn at this very moment
            abort(404)
        return Response(body, headers={"Content-Length": str(body.length)}, content_type=body.content_type)


def _choose_type(offers: Sequence[MediaType]) -> MediaType | None:
    return media_types.choose_media_type(offers, request.headers.get("Accept", ""), request.args.getlist("accept"))


def _json_response(made: list[dict[str, Any]], kind: MediaType) -> Response:
    return Response(json.dumps(made, ensure_ascii=False), content_type=kind.name)


def _plain_response(sentence: str, status: int) -> Response:
    return Response(sentence + "\n", status, content_type="text/plain; charset=utf-8")


def _answer_unreadable(_: Exception) -> Response:
    return _plain_response("The box cannot read its results now. Ask again.", 503)
