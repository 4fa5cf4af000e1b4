"""STOW-RS (PS3.18 10.5): each object of a request goes through the door, and the answer names what became of it.

The objects in the body (PS3.18 8.6.1) are streamed: no object is ever whole in memory.  A multipart is read as RFC 2046
5.1.1 writes it, with preamble, padding and epilogue.  The reader is our own, because those of werkzeug and
python-multipart read HTML forms, which have none of these, and the standard library's reads whole mails.

An object is named as stored only when the door has returned, that is when it is on the disk.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from firmware_app.core.errors import StoreError
from firmware_app.core.records import Header
from firmware_app.dicom import file_meta
from firmware_app.dicom.errors import IDENTITY_MISMATCH, NOT_AN_IMAGE, IntakeError, NotKept, SpaceShort, Truncated
from firmware_app.dicom.header import MAGIC, PREAMBLE_BYTES, examine_descriptor
from firmware_app.dicom.media_types import MULTIPART, parse_media_type
from firmware_app.dicom.storage import ImageDoor, Spool, explain_not_kept

DICOM: Final = "application/dicom"
_READ_BYTES: Final = 1 << 18
_MOST_PADDING: Final = 128
_MOST_HEAD: Final = 16_384
_HEAD_END: Final = re.compile(rb"(?:\A|\n)\r?\n")


class InvalidMultipart(ValueError):
    """The body cannot be divided into objects; the text says why, in plain English, for the client."""


class UnsupportedMediaType(InvalidMultipart):
    """The body is of a media type that is not stored."""


class ObjectReceiver(Protocol):
    """What becomes of an object, piece by piece."""

    def begin(self) -> None: ...
    def data(self, piece: memoryview) -> None: ...
    def end(self) -> None: ...


def parse_boundary(content_type: str) -> bytes | None:
    """The boundary of a multipart/related of DICOM objects; None for one bare object.  Raises `InvalidMultipart`."""
    media = parse_media_type(content_type)
    if media.name == DICOM:
        return None
    if media.name != MULTIPART or media.root not in ("", DICOM):
        raise UnsupportedMediaType(content_type)
    boundary = media.parameters.get("boundary", "").rstrip()
    if not boundary:
        raise InvalidMultipart("The Content-Type is multipart/related without a boundary.")
    return boundary.encode("latin-1", "replace")


def read_objects(body: BinaryIO, boundary: bytes | None, taker: ObjectReceiver) -> None:
    """Give every object in *body* to *taker*; raises `InvalidMultipart`, perhaps after some of them.

    An object that has begun and not ended when it raises is cut.
    """
    if boundary is None:
        taker.begin()
        while piece := body.read(_READ_BYTES):
            taker.data(memoryview(piece))
        taker.end()
        return
    lines = _BoundaryReader(body, boundary)
    try:
        is_last = lines.pass_boundary(lambda _: None)
    except InvalidMultipart:
        raise InvalidMultipart("The body holds no line with the boundary that its Content-Type names.") from None
    while not is_last:
        lines.pass_head()
        taker.begin()
        is_last = lines.pass_boundary(taker.data)
        taker.end()


class _BoundaryReader:
    """A body that is read from one line with the boundary to the next."""

    def __init__(self, body: BinaryIO, boundary: bytes) -> None:
        self._pieces = _read_pieces(body)
        self._boundary = boundary
        self._buffer = bytearray(b"\n")  # so that the first boundary stands behind a line's end too
        self._line_end = b""
        self._delimiter = self._pattern(rb"(?:\r\n|\n)")
        self._held = len(boundary) + _MOST_PADDING + len(b"\r\n--\r\n")

    def pass_boundary(self, give: Callable[[memoryview], None]) -> bool:
        """Give what comes before the next boundary; returns whether it is the last one."""
        while (found := self._delimiter.search(self._buffer)) is None:
            self._give(give, max(0, len(self._buffer) - self._held))
            self._read()
        is_last, line_end = (
            found[1] is not None,
            bytes(found[2] or b""),
        )  # the match reads the buffer, which changes now
        self._give(give, found.start())
        del self._buffer[: found.end() - found.start()]
        if not self._line_end:  # a sender ends all its lines alike, so no byte of an object is taken for a line's end
            self._line_end = line_end
            self._delimiter = self._pattern(re.escape(line_end))
        return is_last

    def pass_head(self) -> None:
        """Pass the headers of a part, and the empty line that ends them; an object says itself what it is."""
        while (end := _HEAD_END.search(self._buffer, 0, _MOST_HEAD)) is None:
            if len(self._buffer) >= _MOST_HEAD:
                raise InvalidMultipart("The headers of a part do not end.")
            self._read()
        del self._buffer[: end.end()]

    def _pattern(self, line_end: bytes) -> re.Pattern[bytes]:
        padding = rb"[ \t]{0,%d}" % _MOST_PADDING
        return re.compile(line_end + rb"--" + re.escape(self._boundary) + rb"(?:(--)|" + padding + rb"(\r\n|\n))")

    def _give(self, give: Callable[[memoryview], None], count: int) -> None:
        if count:
            give(memoryview(bytes(self._buffer[:count])))
            del self._buffer[:count]

    def _read(self) -> None:
        piece = next(self._pieces, b"")
        if not piece:
            raise InvalidMultipart("The body ends before its last boundary.")
        self._buffer += piece


def _read_pieces(body: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(_READ_BYTES):
        yield piece


log = logging.getLogger("lantern.gateway")

_HEAD_BYTES: Final = PREAMBLE_BYTES + len(MAGIC)


@dataclass(frozen=True, slots=True)
class StudyExpectation:
    """The study that a request's address names; every object must be of it (PS3.18 10.5.1.1)."""

    study_instance_uid: str

    def check(self, header: Header, identity: Mapping[str, str]) -> None:
        """Raise `IDENTITY_MISMATCH` for an object of another study."""
        if header.study_instance_uid != self.study_instance_uid:
            raise IDENTITY_MISMATCH(keyword="StudyInstanceUID")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What became of one object; the UIDs are empty where it could not be read, `error` is None where it is stored."""

    sop_class_uid: str
    sop_instance_uid: str
    error: IntakeError | None


class StowRequest:
    """The objects of one request on their way through the intake.  Use as a context."""

    def __init__(self, door: ImageDoor, source: str, study: str | None) -> None:
        self.stored: list[StoredObject] = []
        self._door, self._source = door, source
        self._study = StudyExpectation(study) if study is not None else None
        self._record: int | None = None
        self._begun = False
        self._head = bytearray()
        self._spool: Spool | None = None
        self._error: IntakeError | None = None

    def __enter__(self) -> StowRequest:
        return self

    def __exit__(self, *_: object) -> None:
        if self._spool is not None:
            self._spool.discard()
        try:
            if self._record is not None:
                self._door.clinical.close_association(self._record)
        except (sqlite3.Error, StoreError) as error:
            log.error("a request is not closed in the database: %s", getattr(error, "sqlite_errorname", "error"))

    def begin(self) -> None:
        """An object begins."""
        self._begun = True
        self._head.clear()
        self._spool = self._error = None

    def data(self, piece: memoryview) -> None:
        """Bytes of the object; after an error they are dropped, so that the others of the request still come."""
        if self._error is not None:
            return
        try:
            if self._spool is None:
                lacking = _HEAD_BYTES - len(self._head)
                self._head += piece[:lacking]
                piece = piece[lacking:]
                if len(self._head) < _HEAD_BYTES:
                    return
                self._spool = self._open_spool()
            self._spool.write(piece)
        except IntakeError as error:
            self._fail(error)

    def end(self) -> None:
        """The object is whole: have it accepted."""
        if self._error is None and self._spool is None:
            self._fail(NOT_AN_IMAGE())
        sop_class, sop_instance = "", ""
        if self._spool is not None:
            try:
                header = examine_descriptor(self._spool.descriptor).header
                sop_class, sop_instance = header.sop_class_uid, header.sop_instance_uid
            except IntakeError:
                pass  # the door says so too, and journals it
            try:
                self._door.accept_spooled(self._spool, self._source, self._record, self._study)
            except IntakeError as error:
                self._error = error
            self._spool = None
        self._begun = False
        self.stored.append(StoredObject(sop_class, sop_instance, self._error))

    def cut(self) -> None:
        """The request ends here; an object that has begun and not ended is not stored."""
        if self._begun and self._error is None:
            self._fail(Truncated(where="multipart/related"))
        if self._begun:
            self.stored.append(StoredObject("", "", self._error))

    def _open_spool(self) -> Spool:
        """A spool that begins with a preamble of zeros, whatever stood in the object's own."""
        if bytes(self._head[PREAMBLE_BYTES:]) != MAGIC:
            raise NOT_AN_IMAGE()
        if self._record is None:
            try:
                self._record = self._door.clinical.open_association(self._source)
            except (sqlite3.Error, StoreError) as error:
                raise explain_not_kept(self._door.state.root, error) from None
        return self._door.spool(file_meta.PREAMBLE)

    def _fail(self, error: IntakeError) -> None:
        self._error = error
        if self._spool is not None:
            self._spool.discard()
            self._spool = None
        self._door.refuse(self._source, error)


def http_status(stored: list[StoredObject]) -> int:
    """The HTTP status (PS3.18 Table 10.5.3-1)."""
    errors = [stored_object.error for stored_object in stored]
    if errors and all(isinstance(error, SpaceShort | NotKept) for error in errors):
        return 503
    if all(errors):
        return 409
    return 202 if any(errors) else 200


def build_answer(stored: list[StoredObject]) -> dict[str, Any]:
    """The Store Instances Response Module (PS3.18 I.2) as DICOM JSON (PS3.18 F)."""
    kept = [_reference(stored_object) for stored_object in stored if stored_object.error is None]
    failed = [
        _reference(stored_object) | {"00081197": {"vr": "US", "Value": [stored_object.error.dimse_status]}}
        for stored_object in stored
        if stored_object.error is not None
    ]
    return {tag: {"vr": "SQ", "Value": items} for tag, items in (("00081199", kept), ("00081198", failed)) if items}


def _reference(one: StoredObject) -> dict[str, Any]:
    uids = (("00081150", one.sop_class_uid), ("00081155", one.sop_instance_uid))
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids if uid}
