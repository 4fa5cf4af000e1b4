"""DICOM objects made byte by byte, so that a test can break exactly one rule."""

from __future__ import annotations

import os
import secrets
from struct import pack

from firmware_app.dicom import file_meta

DX = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
LONG = (b"OB", b"OW", b"OF", b"OD", b"SQ", b"UN", b"UT", b"UC")


def new_uid() -> str:
    return f"2.25.{secrets.randbits(100)}"


def element(tag: int, vr: bytes, value: bytes, *, length: int | None = None, syntax: str = EXPLICIT) -> bytes:
    """One element; *length* overrides the true one."""
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB", b"UN") else b" "
    count = len(value) if length is None else length
    group, number = tag >> 16, tag & 0xFFFF
    if syntax == IMPLICIT:
        return pack("<HHL", group, number, count) + value
    order = ">" if syntax == BIG else "<"
    if vr in LONG:
        return pack(order + "HH2sHL", group, number, vr, 0, count) + value
    return pack(order + "HH2sH", group, number, vr, count) + value


def short(value: int, syntax: str = EXPLICIT) -> bytes:
    return pack(">H" if syntax == BIG else "<H", value)


def item(content: bytes, *, defined: bool = True) -> bytes:
    if defined:
        return pack("<HHL", 0xFFFE, 0xE000, len(content)) + content
    return pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + content + pack("<HHL", 0xFFFE, 0xE00D, 0)


def sequence(tag: int, *items: bytes, defined: bool = True) -> bytes:
    content = b"".join(items)
    if defined:
        return element(tag, b"SQ", content)
    return element(tag, b"SQ", content + SEQUENCE_END, length=UNDEFINED)


SEQUENCE_END = pack("<HHL", 0xFFFE, 0xE0DD, 0)


def fragments(*parts: bytes) -> bytes:
    """Encapsulated pixel data with an empty offset table (PS3.5 A.4)."""
    return element(
        0x7FE00010, b"OB", item(b"") + b"".join(item(part) for part in parts) + SEQUENCE_END, length=UNDEFINED
    )


def film(
    *,
    sop_class: str = DX,
    sop_instance: str | None = None,
    study: str | None = None,
    syntax: str = EXPLICIT,
    rows: int = 16,
    columns: int = 16,
    frames: int | None = None,
    pixels: bytes | None = None,
    extra: bytes = b"",
    pixel_element: bytes | None = None,
) -> bytes:
    """The data set of a small film, without preamble and meta information; *extra* comes before the pixels."""

    def add(tag: int, vr: bytes, value: bytes) -> bytes:
        return element(tag, vr, value, syntax=syntax)

    if pixels is None:
        pixels = os.urandom(rows * columns * 2 * (frames or 1))
    return b"".join(
        (
            add(0x00080016, b"UI", sop_class.encode()),
            add(0x00080018, b"UI", (sop_instance or new_uid()).encode()),
            add(0x00080060, b"CS", b"DX"),
            add(0x00101010, b"AS", b"034Y"),
            add(0x0020000D, b"UI", (study or new_uid()).encode()),
            add(0x0020000E, b"UI", new_uid().encode()),
            add(0x00280002, b"US", short(1, syntax)),
            add(0x00280004, b"CS", b"MONOCHROME2"),
            add(0x00280008, b"IS", str(frames).encode()) if frames is not None else b"",
            add(0x00280010, b"US", short(rows, syntax)),
            add(0x00280011, b"US", short(columns, syntax)),
            add(0x00280100, b"US", short(16, syntax)),
            extra,
            add(0x7FE00010, b"OW", pixels) if pixel_element is None else pixel_element,
        )
    )


def file_of(data_set: bytes, syntax: str = EXPLICIT, sop_class: str = DX, sop_instance: str = "2.25.1") -> bytes:
    return file_meta.encode_file_meta(sop_class, sop_instance, syntax) + data_set
