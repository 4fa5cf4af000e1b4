"""Where the data set of a DICOM file begins and how it is encoded, also when the file meta information is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from firmware_app.core.errors import Malformed, Truncated
from firmware_app.dicom.headers.element_stream import (
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


def meta_elements(data: Buffer, start: int) -> Iterator[Element]:
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
