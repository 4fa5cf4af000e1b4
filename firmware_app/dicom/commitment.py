"""The data sets of Storage Commitment (PS3.4 J.3): which objects are named, and which of them are kept.

A request names objects (N-ACTION, Action Type 1); an answer says of each whether it is kept (N-EVENT-REPORT, Event
Type 1: all of them; 2: not all).  Both come over the network, so they are walked with the bounded reader and their
references counted before pydicom sees them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from firmware_app.dicom import data_elements, element_stream
from firmware_app.dicom.errors import IntakeError

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
REQUEST: Final = 1
ALL_KEPT, NOT_ALL_KEPT = 1, 2

# Failure Reason, PS3.3 C.14.1.1
PROCESSING_FAILURE, NO_SUCH_OBJECT, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119

MOST_BYTES: Final = 4_000_000
MOST_REFERENCES: Final = 20_000
_ITEM: Final = b"\xfe\xff\x00\xe0"
_TRANSACTION_UID: Final = 0x00081195
_LONGEST_UID: Final = 128
_BROKEN: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    NotImplementedError,
    EOFError,
    OSError,
    struct.error,
    RecursionError,
    OverflowError,
)


class InvalidCommitment(ValueError):
    """The bytes are no request and no answer."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """One object: its SOP Class UID and SOP Instance UID."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentAnswer:
    """Of the objects of one request, which are kept, and which are not with the Failure Reason of each."""

    transaction_uid: str
    kept: tuple[ObjectReference, ...] = ()
    failed: tuple[tuple[ObjectReference, int], ...] = ()

    @property
    def event_type(self) -> int:
        return NOT_ALL_KEPT if self.failed else ALL_KEPT


def parse_commitment(data: bytes, *, explicit: bool) -> CommitmentAnswer:
    """The request or the answer in *data*, in a little endian transfer syntax; raises `InvalidCommitment`.

    Of a request, `kept` holds what it asks for.
    """
    if len(data) > MOST_BYTES or data.count(_ITEM) > MOST_REFERENCES:
        raise InvalidCommitment("too many references")
    encoding = data_elements.EXPLICIT_LITTLE if explicit else data_elements.IMPLICIT_LITTLE
    try:
        element_stream.walk_data_set(data, 0, encoding, (_TRANSACTION_UID,))
    except IntakeError as error:
        raise InvalidCommitment(error.code) from None
    from pydicom.filereader import read_dataset

    try:
        said = read_dataset(BytesIO(data), is_implicit_VR=not explicit, is_little_endian=True)
        return CommitmentAnswer(
            _uid(said, "TransactionUID"),
            tuple(one for one, _ in _references(said, "ReferencedSOPSequence")),
            tuple(_references(said, "FailedSOPSequence")),
        )
    except _BROKEN:
        raise InvalidCommitment("unreadable") from None


def build_request(transaction_uid: str, objects: Iterable[ObjectReference]) -> Any:
    """The `pydicom.Dataset` that asks for *objects*."""
    return _data_set(transaction_uid, [(object_reference, None) for object_reference in objects], [])


def build_answer(said: CommitmentAnswer) -> Any:
    """The `pydicom.Dataset` of an answer."""
    return _data_set(
        said.transaction_uid, [(object_reference, None) for object_reference in said.kept], list(said.failed)
    )


def _data_set(
    transaction_uid: str, kept: list[tuple[ObjectReference, None]], failed: list[tuple[ObjectReference, int]]
) -> Any:
    from pydicom.dataset import Dataset

    def item(one: ObjectReference, reason: int | None) -> Dataset:
        made = Dataset()
        made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = one.sop_class_uid, one.sop_instance_uid
        if reason is not None:
            made.FailureReason = reason
        return made

    said = Dataset()
    said.TransactionUID = transaction_uid
    for keyword, group in (("ReferencedSOPSequence", kept), ("FailedSOPSequence", failed)):
        if group:
            setattr(said, keyword, [item(*one) for one in group])
    return said


def _references(said: Any, keyword: str) -> Iterator[tuple[ObjectReference, int]]:
    for item in (said[keyword].value or ()) if keyword in said else ():
        reason = _bytes(item, "FailureReason")
        yield (
            ObjectReference(_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID")),
            int.from_bytes(reason, "little") if reason else PROCESSING_FAILURE,
        )


def _uid(said: Any, keyword: str) -> str:
    value = _bytes(said, keyword).decode("ascii").strip("\0 ")
    if not value or len(value) > _LONGEST_UID or not set(value) <= set("0123456789."):
        raise InvalidCommitment(keyword)
    return value


def _bytes(said: Any, keyword: str) -> bytes:
    """The value as it stands: pydicom warns of a value that breaks its VR, and quotes it."""
    from pydicom.tag import Tag

    element = said.get_item(Tag(keyword))
    return bytes(element.value) if element is not None else b""
