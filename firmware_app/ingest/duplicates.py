"""Compares an object under a known SOP Instance UID with the stored one: the same, corrected, or another image.

Equal pixels are not enough: an age, a view, a polarity or a patient may have been corrected at the modality, and
answering "success" to a correction without keeping it would lose it.
"""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from struct import pack
from typing import Final

from firmware_app.cases.errors import HeaderConflict, InstanceConflict
from firmware_app.core.records import Header
from firmware_app.dicom import transfer_syntax
from firmware_app.dicom.data_elements import BIG, LITTLE, LONG_VRS, PIXEL_DATA, SHORT_VRS, Buffer, Encoding
from firmware_app.dicom.file_meta import guess_encoding
from firmware_app.dicom.header import examine_file, pixel_digest

_ITEM, _ITEM_END, _SEQUENCE_END, _TRAILING_PADDING = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0xFFFCFFFC
_PIXEL_TAGS: Final = (PIXEL_DATA, 0x7FE00008, 0x7FE00009)
_UNDEFINED: Final = 0xFFFFFFFF
_PIECE_BYTES: Final = 1 << 20
_PLAIN: Final = (transfer_syntax.IMPLICIT_LITTLE, transfer_syntax.EXPLICIT_LITTLE)


class ObjectComparison(Enum):
    """How a second object under one SOP Instance UID compares with the first."""

    SAME = auto()
    OTHER_DETAILS = auto()
    OTHER_PIXELS = auto()  # or the same pixels encoded differently: only decoding could tell


@dataclass(frozen=True, slots=True)
class _ObjectDigest:
    header: Header
    details: str
    pixels: str | None


def compare_objects(coming: Path, held: Path) -> ObjectComparison:
    """Compare the DICOM object *coming* with *held*; raises `FileNotFoundError` when one of them does not exist."""
    one, other = _digest_object(coming), _digest_object(held)
    if (one.pixels, one.header.transfer_syntax_uid) != (other.pixels, other.header.transfer_syntax_uid):
        return ObjectComparison.OTHER_PIXELS
    return ObjectComparison.SAME if one == other else ObjectComparison.OTHER_DETAILS


def find_conflict(coming: Path, held: Path) -> HeaderConflict | InstanceConflict | None:
    """The refusal of *coming* when it differs from *held*, or when *held* is missing; None when they are the same."""
    try:
        sameness = compare_objects(coming, held)
    except FileNotFoundError:
        return InstanceConflict()
    if sameness is ObjectComparison.SAME:
        return None
    return HeaderConflict() if sameness is ObjectComparison.OTHER_DETAILS else InstanceConflict()


def digest_details(path: Path) -> str:
    """The sha256 of all tags and values of the data set at *path*, without its pixels.

    Left out is only what a router rewrites without changing the meaning: the file meta information, group lengths
    (retired, PS3.5 7.2), trailing padding and bytes after the data set, the VR, and whether a length is defined or
    delimited.  Everything else counts, private elements too, because software may rely on any of them.  In implicit VR
    a sequence of defined length looks like plain bytes without a dictionary, so such an object counts as changed after
    a conversion.  That keeps one copy too many, never one too few.
    """
    examined = examine_file(path)
    syntax = transfer_syntax.find_transfer_syntax(examined.header.transfer_syntax_uid)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        encoding = guess_encoding(data, examined.data_set, Encoding(syntax.explicit, syntax.big_endian))
        return _DetailsDigest(data, encoding).digest(examined.data_set, examined.end)


def _digest_object(path: Path) -> _ObjectDigest:
    header = examine_file(path).header
    if header.transfer_syntax_uid in _PLAIN:  # between these two the bytes of the pixels mean the same
        header = replace(header, transfer_syntax_uid=_PLAIN[0])
    return _ObjectDigest(header, digest_details(path), pixel_digest(path) if header.has_pixels else None)


class _DetailsDigest:
    """One pass over a data set that `examine_file` found complete, by the same rules as its walk."""

    def __init__(self, data: Buffer, encoding: Encoding) -> None:
        self.data = data
        self.hash = hashlib.sha256()
        self.stack: list[tuple[int | None, Encoding]] = []  # open containers: their end where it is known
        self.encoding = encoding

    def digest(self, position: int, end: int) -> str:
        while end - position >= 8:
            while self.stack and self.stack[-1][0] == position:
                self.encoding = self.stack.pop()[1]
            layout = BIG if self.encoding.big_endian else LITTLE
            group, number, length = layout.implicit.unpack_from(self.data, position)
            tag = group << 16 | number
            if group == 0xFFFE:
                position = self._structure(tag, position + 8, length)
            else:
                position = self._element(tag, position, length)
        return self.hash.hexdigest()

    def _structure(self, tag: int, position: int, length: int) -> int:
        """An item begins, or a container of undefined length ends."""
        if tag == _ITEM:
            self._token(tag, 0)
            self._open(None if length == _UNDEFINED else position + length, self.encoding)
        elif self.stack and self.stack[-1][0] is None:
            self.encoding = self.stack.pop()[1]
        return position

    def _element(self, tag: int, position: int, length: int) -> int:
        layout = BIG if self.encoding.big_endian else LITTLE
        vr, value = b"", position + 8
        if self.encoding.explicit:
            _, _, vr, short = layout.explicit.unpack_from(self.data, position)
            if vr in SHORT_VRS:
                length = short
            elif vr in LONG_VRS or (vr.isalpha() and vr.isupper()):
                length, value = layout.length.unpack_from(self.data, value)[0], value + 4
            else:
                vr = b""
        is_told = not (tag & 0xFFFF == 0 or tag == _TRAILING_PADDING or (tag in _PIXEL_TAGS and not self.stack))
        if length == _UNDEFINED and (tag == PIXEL_DATA or vr in (b"OB", b"OW")):
            return self._fragments(tag, value, is_told)
        if is_told:
            self._token(tag, 0 if vr == b"SQ" or length == _UNDEFINED else length)
        if length == _UNDEFINED:
            inner = {b"SQ": self.encoding, b"UN": Encoding(explicit=False, big_endian=False)}.get(
                vr, Encoding(explicit=False, big_endian=self.encoding.big_endian)
            )
            self._open(None, inner)
            return value
        if vr == b"SQ" and length:
            self._open(value + length, self.encoding)
            return value
        if is_told:
            self._bytes(value, length)
        return value + length

    def _fragments(self, tag: int, position: int, is_told: bool) -> int:
        """The items of an encapsulated value (PS3.5 A.4), up to and with its delimiter."""
        read = (BIG if self.encoding.big_endian else LITTLE).implicit.unpack_from
        while True:
            group, number, length = read(self.data, position)
            position += 8
            if (group << 16 | number) != _ITEM:
                return position
            if is_told:
                self._token(tag, length)
                self._bytes(position, length)
            position += length

    def _open(self, end: int | None, inner: Encoding) -> None:
        self.stack.append((end, self.encoding))
        self.encoding = inner

    def _token(self, tag: int, length: int) -> None:
        """Depth and length go in with each tag, so that two different data sets never hash the same bytes."""
        self.hash.update(pack("<BLL", len(self.stack), tag, length))

    def _bytes(self, start: int, length: int) -> None:
        for at in range(start, start + length, _PIECE_BYTES):
            self.hash.update(self.data[at : min(at + _PIECE_BYTES, start + length)])
