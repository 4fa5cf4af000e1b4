"""Preamble and file meta information (PS3.10 7.1) of the objects the box stores."""

from __future__ import annotations

from struct import pack
from typing import Final

from firmware_app.dicom.headers import implementation

# Always zeroed: an executable may be hidden in these 128 bytes (CVE-2019-11687).
PREAMBLE: Final = bytes(128) + b"DICM"


_UID_MOST: Final = 128  # what the door accepts (`header.UID_MOST_TAKEN`), though PS3.5 9.1 allows 64


def prefix(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """The bytes before the data set in a DICOM file: preamble, prefix and file meta information.

    The sender's AE title is left out, so that the same object from two senders is the same file.
    """
    group = b"".join(
        (
            pack("<HH2sHL", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _uid(0x0002, sop_class_uid),
            _uid(0x0003, sop_instance_uid),
            _uid(0x0010, transfer_syntax_uid),
            _uid(0x0012, implementation.CLASS_UID),
            _element(0x0013, b"SH", implementation.VERSION_NAME.encode("ascii"), b" "),
        )
    )
    return PREAMBLE + _element(0x0000, b"UL", pack("<L", len(group)), b"\0") + group


def _uid(number: int, value: str) -> bytes:
    return _element(number, b"UI", value.encode("ascii", "replace")[:_UID_MOST], b"\0")


def _element(number: int, vr: bytes, value: bytes, padding: bytes) -> bytes:
    value += padding * (len(value) % 2)
    return pack("<HH2sH", 0x0002, number, vr, len(value)) + value
