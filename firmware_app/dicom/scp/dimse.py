"""DIMSE command sets (PS3.7 6.3, Annex E): the few fields the gateway acts on, read and written directly.

A command set is Implicit VR Little Endian, group 0000 only, and small; one is decoded for every image received.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812 - the module's own name, `error`, says nothing here
from struct import pack, unpack_from
from typing import Final

C_STORE_RQ: Final = 0x0001
C_FIND_RQ: Final = 0x0020
C_ECHO_RQ: Final = 0x0030
C_CANCEL_RQ: Final = 0x0FFF
N_EVENT_REPORT_RQ: Final = 0x0100
N_EVENT_REPORT_RSP: Final = 0x8100
N_ACTION_RQ: Final = 0x0130
_RESPONSE_BIT: Final = 0x8000
_NO_DATA_SET: Final = 0x0101
_DATA_SET: Final = 0x0001

SUCCESS: Final = 0x0000
UNRECOGNIZED_OPERATION: Final = 0x0211
PROCESSING_FAILURE, INVALID_ARGUMENT, RESOURCE_LIMITATION = 0x0110, 0x0115, 0x0213
# C-FIND (PS3.4 K.4.1.1.4)
PENDING, PENDING_WITHOUT_KEYS, TOO_MANY, DOES_NOT_MATCH, UNABLE = 0xFF00, 0xFF01, 0xA700, 0xA900, 0xC000

_AFFECTED_CLASS, _REQUESTED_CLASS, _FIELD, _MESSAGE_ID, _RESPONDED_TO = 0x0002, 0x0003, 0x0100, 0x0110, 0x0120
_DATA_SET_TYPE, _STATUS, _OFFENDING_ELEMENT, _ERROR_COMMENT = 0x0800, 0x0900, 0x0901, 0x0902
_AFFECTED_INSTANCE, _REQUESTED_INSTANCE, _EVENT_TYPE = 0x1000, 0x1001, 0x1002

_COMMENT_CHARACTERS: Final = 64  # Error Comment is an LO (PS3.7 C)
_PLAIN: Final = str.maketrans({"“": '"', "”": '"', "’": "'", "…": "...", "–": "-", "×": "x"})


class InvalidCommand(ValueError):
    """The bytes are not a command set; the association cannot go on."""


@dataclass(frozen=True, slots=True)
class Command:
    """The fields of a request that the gateway needs."""

    field: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool

    @property
    def is_response(self) -> bool:
        return bool(self.field & _RESPONSE_BIT)


def parse_command(data: bytes) -> Command:
    """The command in *data*; raises `InvalidCommand`."""
    fields: dict[int, bytes] = {}
    position = 0
    try:
        while position < len(data):
            group, number, length = unpack_from("<HHL", data, position)
            position += 8
            if group != 0 or position + length > len(data):
                raise InvalidCommand(f"({group:04X},{number:04X})")
            fields[number] = data[position : position + length]
            position += length
        return Command(
            field=unpack_from("<H", fields[_FIELD])[0],
            message_id=unpack_from("<H", fields.get(_MESSAGE_ID, b"\0\0"))[0],
            sop_class_uid=_uid(fields.get(_AFFECTED_CLASS) or fields.get(_REQUESTED_CLASS)),
            sop_instance_uid=_uid(fields.get(_AFFECTED_INSTANCE) or fields.get(_REQUESTED_INSTANCE)),
            has_data_set=unpack_from("<H", fields[_DATA_SET_TYPE])[0] != _NO_DATA_SET,
        )
    except (StructError, KeyError):
        raise InvalidCommand("incomplete") from None


def encode_response(
    request: Command, status: int, comment: str = "", *, offending: int | None = None, has_data_set: bool = False
) -> bytes:
    """The command set that answers *request* with *status*: *comment* is its Error Comment, the tag *offending* its
    Offending Element."""
    elements = [
        (_AFFECTED_CLASS, _even(request.sop_class_uid, b"\0")),
        (_FIELD, pack("<H", request.field | _RESPONSE_BIT)),
        (_RESPONDED_TO, pack("<H", request.message_id)),
        (_DATA_SET_TYPE, pack("<H", _DATA_SET if has_data_set else _NO_DATA_SET)),
        (_STATUS, pack("<H", status)),
    ]
    if offending is not None:
        elements.append((_OFFENDING_ELEMENT, pack("<HH", offending >> 16, offending & 0xFFFF)))
    if comment:
        elements.append((_ERROR_COMMENT, _even(short_comment(comment), b" ")))
    if request.sop_instance_uid:
        elements.append((_AFFECTED_INSTANCE, _even(request.sop_instance_uid, b"\0")))
    return _encode_elements(elements)


def encode_event_report(sop_class_uid: str, sop_instance_uid: str, message_id: int, event_type: int) -> bytes:
    """The command set of an N-EVENT-REPORT with a data set (PS3.7 10.3.1.1)."""
    elements = (
        (_AFFECTED_CLASS, _even(sop_class_uid, b"\0")),
        (_FIELD, pack("<H", N_EVENT_REPORT_RQ)),
        (_MESSAGE_ID, pack("<H", message_id)),
        (_DATA_SET_TYPE, pack("<H", _DATA_SET)),
        (_AFFECTED_INSTANCE, _even(sop_instance_uid, b"\0")),
        (_EVENT_TYPE, pack("<H", event_type)),
    )
    return _encode_elements(elements)


def _encode_elements(elements: Iterable[tuple[int, bytes]]) -> bytes:
    """A command set of *elements*, without those that are empty, behind its group length."""
    body = b"".join(pack("<HHL", 0, number, len(value)) + value for number, value in elements if value)
    return pack("<HHLL", 0, 0, 4, len(body)) + body


def short_comment(sentence: str) -> str:
    """*sentence* as an LO: plain ASCII, no backslash, at most 64 characters, cut between words."""
    plain = sentence.translate(_PLAIN).encode("ascii", "replace").decode("ascii").replace("\\", "/")
    if len(plain) <= _COMMENT_CHARACTERS:
        return plain
    return plain[: _COMMENT_CHARACTERS - 3].rsplit(" ", 1)[0].rstrip(",.;:") + "..."


def _uid(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0 ").decode("ascii", "replace")


def _even(value: str, padding: bytes) -> bytes:
    raw = value.encode("ascii", "replace")
    return raw + padding * (len(raw) % 2)
