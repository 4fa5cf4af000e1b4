"""STOW-RS (PS3.18 10.5): each object of a request goes through the door, and the answer names what became of it.

An object is named as stored only when the door has returned, that is when it is on the disk (`ingest.accept`).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from firmware_app.core.errors import (
    IdentityMismatch,
    IntakeError,
    NotAnImage,
    NotKept,
    SpaceShort,
    StoreError,
    Truncated,
)
from firmware_app.core.records import Header
from firmware_app.dicom.headers.header import MAGIC, PREAMBLE_BYTES, examine_open
from firmware_app.dicom.scp import file_meta
from firmware_app.dicom.spool import Spool, not_kept
from firmware_app.dicom.storage import ImageDoor

log = logging.getLogger("lantern.gateway")

_HEAD_BYTES: Final = PREAMBLE_BYTES + len(MAGIC)


@dataclass(frozen=True, slots=True)
class OfStudy:
    """The study that a request's address names; every object must be of it (PS3.18 10.5.1.1)."""

    study_instance_uid: str

    def check(self, header: Header, identity: Mapping[str, str]) -> None:
        """Raise `IdentityMismatch` for an object of another study."""
        if header.study_instance_uid != self.study_instance_uid:
            raise IdentityMismatch(keyword="StudyInstanceUID")


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one object; the UIDs are empty where it could not be read, `error` is None where it is stored."""

    sop_class_uid: str
    sop_instance_uid: str
    error: IntakeError | None


class Storing:
    """The objects of one request on their way through the door: a `parts.Taker`.  Use as a context."""

    def __init__(self, door: ImageDoor, source: str, study: str | None) -> None:
        self.stored: list[Stored] = []
        self._door, self._source = door, source
        self._study = OfStudy(study) if study is not None else None
        self._record: int | None = None
        self._begun = False
        self._head = bytearray()
        self._spool: Spool | None = None
        self._error: IntakeError | None = None

    def __enter__(self) -> Storing:
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
                self._spool = self._opened()
            self._spool.write(piece)
        except IntakeError as error:
            self._fail(error)

    def end(self) -> None:
        """The object is whole: have it accepted."""
        if self._error is None and self._spool is None:
            self._fail(NotAnImage())
        sop_class, sop_instance = "", ""
        if self._spool is not None:
            try:
                header = examine_open(self._spool.descriptor).header
                sop_class, sop_instance = header.sop_class_uid, header.sop_instance_uid
            except IntakeError:
                pass  # the door says so too, and journals it
            try:
                self._door.accept_spooled(self._spool, self._source, self._record, self._study)
            except IntakeError as error:
                self._error = error
            self._spool = None
        self._begun = False
        self.stored.append(Stored(sop_class, sop_instance, self._error))

    def cut(self) -> None:
        """The request ends here; an object that has begun and not ended is not stored."""
        if self._begun and self._error is None:
            self._fail(Truncated(where="multipart/related"))
        if self._begun:
            self.stored.append(Stored("", "", self._error))

    def _opened(self) -> Spool:
        """A spool that begins with a preamble of zeros, whatever stood in the object's own."""
        if bytes(self._head[PREAMBLE_BYTES:]) != MAGIC:
            raise NotAnImage
        if self._record is None:
            try:
                self._record = self._door.clinical.open_association(self._source)
            except (sqlite3.Error, StoreError) as error:
                raise not_kept(self._door.state.root, error) from None
        return self._door.spool(file_meta.PREAMBLE)

    def _fail(self, error: IntakeError) -> None:
        self._error = error
        if self._spool is not None:
            self._spool.discard()
            self._spool = None
        self._door.refuse(self._source, error)


def status_of(stored: list[Stored]) -> int:
    """The HTTP status (PS3.18 Table 10.5.3-1)."""
    errors = [one.error for one in stored]
    if errors and all(isinstance(error, SpaceShort | NotKept) for error in errors):
        return 503
    if all(errors):
        return 409
    return 202 if any(errors) else 200


def answer(stored: list[Stored]) -> dict[str, Any]:
    """The Store Instances Response Module (PS3.18 I.2) as DICOM JSON (PS3.18 F)."""
    kept = [_reference(one) for one in stored if one.error is None]
    failed = [
        _reference(one) | {"00081197": {"vr": "US", "Value": [one.error.dimse_status]}}
        for one in stored
        if one.error is not None
    ]
    return {tag: {"vr": "SQ", "Value": items} for tag, items in (("00081199", kept), ("00081198", failed)) if items}


def _reference(one: Stored) -> dict[str, Any]:
    uids = (("00081150", one.sop_class_uid), ("00081155", one.sop_instance_uid))
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids if uid}
