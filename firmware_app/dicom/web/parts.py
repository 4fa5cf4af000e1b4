"""The objects in a STOW-RS request's body (PS3.18 8.6.1), streamed: no object is ever whole in memory.

A multipart is read as RFC 2046 5.1.1 writes it, with preamble, padding and epilogue.  Our own reader, because those of
werkzeug and python-multipart read HTML forms, which have none of these, and the standard library's reads whole mails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, Protocol

from firmware_app.dicom.web.media import MULTIPART, media_type

DICOM: Final = "application/dicom"
_READ_BYTES: Final = 1 << 18
_MOST_PADDING: Final = 128
_MOST_HEAD: Final = 16_384
_HEAD_END: Final = re.compile(rb"(?:\A|\n)\r?\n")


class NotParts(ValueError):
    """The body cannot be divided into objects; the text says why, in plain English, for the client."""


class NotTaken(NotParts):
    """The body is of a media type that is not stored."""


class Taker(Protocol):
    """What becomes of an object, piece by piece."""

    def begin(self) -> None: ...
    def data(self, piece: memoryview) -> None: ...
    def end(self) -> None: ...


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart/related of DICOM objects; None for one bare object.  Raises `NotParts`."""
    media = media_type(content_type)
    if media.name == DICOM:
        return None
    if media.name != MULTIPART or media.root not in ("", DICOM):
        raise NotTaken(content_type)
    boundary = media.parameters.get("boundary", "").rstrip()
    if not boundary:
        raise NotParts("The Content-Type is multipart/related without a boundary.")
    return boundary.encode("latin-1", "replace")


def take(body: BinaryIO, boundary: bytes | None, taker: Taker) -> None:
    """Give every object in *body* to *taker*; raises `NotParts`, perhaps after some of them.

    An object that has begun and not ended when it raises is cut.
    """
    if boundary is None:
        taker.begin()
        while piece := body.read(_READ_BYTES):
            taker.data(memoryview(piece))
        taker.end()
        return
    lines = _Lines(body, boundary)
    try:
        is_last = lines.pass_boundary(lambda _: None)
    except NotParts:
        raise NotParts("The body holds no line with the boundary that its Content-Type names.") from None
    while not is_last:
        lines.pass_head()
        taker.begin()
        is_last = lines.pass_boundary(taker.data)
        taker.end()


class _Lines:
    """A body that is read from one line with the boundary to the next."""

    def __init__(self, body: BinaryIO, boundary: bytes) -> None:
        self._pieces = _pieces(body)
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
                raise NotParts("The headers of a part do not end.")
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
            raise NotParts("The body ends before its last boundary.")
        self._buffer += piece


def _pieces(body: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(_READ_BYTES):
        yield piece
