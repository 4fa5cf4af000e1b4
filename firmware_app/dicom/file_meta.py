"""File meta information (PS3.10 7.1): written for the objects that the box stores, and read from those that come.

The reader finds where the data set begins and how it is encoded, also when the file meta information is wrong.  The
implementation UID and version name say who the box is, in every association and every file that it writes (PS3.7
D.3.3.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from firmware_app.dicom.data_elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_BIG,
    IMPLICIT_LITTLE,
    LITTLE,
    LONG_VRS,
    SHORT_VRS,
    Buffer,
    Element,
    Encoding,
    tag_name,
)
from firmware_app.dicom.errors import Malformed, Truncated

# Always zeroed: an executable may be hidden in these 128 bytes (CVE-2019-11687).
PREAMBLE: Final = bytes(128) + b"DICM"


_MOST_UID_BYTES: Final = 128  # what the door accepts (`header.UID_MOST_TAKEN`), though PS3.5 9.1 allows 64


def encode_file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """The bytes before the data set in a DICOM file: preamble, prefix and file meta information.

    The sender's AE title is left out, so that the same object from two senders is the same file.
    """
    group = b"".join(
        (
            struct.pack("<HH2sHL", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _uid(0x0002, sop_class_uid),
            _uid(0x0003, sop_instance_uid),
            _uid(0x0010, transfer_syntax_uid),
            _uid(0x0012, IMPLEMENTATION_CLASS_UID),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" "),
        )
    )
    return PREAMBLE + _element(0x0000, b"UL", struct.pack("<L", len(group)), b"\0") + group


def _uid(number: int, value: str) -> bytes:
    return _element(number, b"UI", value.encode("ascii", "replace")[:_MOST_UID_BYTES], b"\0")


def _element(number: int, vr: bytes, value: bytes, padding: bytes) -> bytes:
    value += padding * (len(value) % 2)
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value


def guess_encoding(data: Buffer, start: int, declared: Encoding | None) -> Encoding:
    """The encoding of the first element, where it contradicts *declared* or nothing is declared.

    Some devices declare one encoding and write the other; pydicom and dcmtk read such objects, so the box takes them.
    """
    if len(data) - start < 8:
        return declared or IMPLICIT_LITTLE
    group_little = int.from_bytes(data[start : start + 2], "little")
    group_big = int.from_bytes(data[start : start + 2], "big")
    big = declared.big_endian if declared else group_little > 0xFF and group_big <= 0xFF
    vr = data[start + 4 : start + 6]
    known = vr in SHORT_VRS or vr in LONG_VRS
    if declared is not None and declared.explicit == known:
        return declared
    if declared is not None and declared.explicit and vr.isalpha() and vr.isupper():
        return declared
    if known:
        return EXPLICIT_BIG if big else EXPLICIT_LITTLE
    return IMPLICIT_BIG if big else IMPLICIT_LITTLE


def read_meta_elements(data: Buffer, start: int) -> Iterator[Element]:
    """The elements of the file meta information (PS3.10 7.1): group 0002, always Explicit VR Little Endian.

    The group's own length is not trusted: it ends where another group begins.  Raises `Truncated` or `Malformed`.
    """
    position, end = start, len(data)
    while position < end:
        if end - position < 8:
            raise Truncated(where="(0002,0000)")
        group, number, vr, length = LITTLE.explicit.unpack_from(data, position)
        if group != 0x0002:
            return
        tag = group << 16 | number
        value = position + 8
        if vr in LONG_VRS:
            if end - position < 12:
                raise Truncated(where=tag_name(tag))
            length, value = LITTLE.length.unpack_from(data, value)[0], value + 4
        elif vr not in SHORT_VRS:
            raise Malformed(where=tag_name(tag))
        if value + length > end:
            raise Truncated(where=tag_name(tag))
        yield Element(tag, value, length)
        position = value + length


IMPLEMENTATION_CLASS_UID: Final = "2.25.181007716306648637370933937661982833095"
"""Our own root under the UUID-derived arc (PS3.5 B.2), which needs no registration."""
IMPLEMENTATION_VERSION_NAME: Final = "LANTERN_1"
