"""The objects in a STOW-RS request's body (PS3.18 8.6.1), streamed: no object is ever whole in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser
from werkzeug.http import parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

DICOM: Final = "application/dicom"
_READ_BYTES: Final = 1 << 18


class NotParts(ValueError):
    """The body is no multipart/related of DICOM objects, or ends before its last boundary."""


class Taker(Protocol):
    """What becomes of an object, piece by piece."""

    def begin(self) -> None: ...
    def data(self, piece: memoryview) -> None: ...
    def end(self) -> None: ...


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart/related of DICOM objects; None for one bare object.  Raises `NotParts`."""
    kind, options = parse_options_header(content_type)
    if kind == DICOM:
        return None
    if kind != "multipart/related" or options.get("type", DICOM).lower() != DICOM or not options.get("boundary"):
        raise NotParts
    return options["boundary"].encode("latin-1", "replace")


def take(body: BinaryIO, boundary: bytes | None, taker: Taker) -> None:
    """Give every object in *body* to *taker*; raises `NotParts`, perhaps after some of them."""
    if boundary is None:
        taker.begin()
        for piece in _pieces(body):
            taker.data(memoryview(piece))
        taker.end()
        return
    ended = False

    def on_end() -> None:
        nonlocal ended
        ended = True

    callbacks: MultipartCallbacks = {
        "on_part_begin": taker.begin,
        "on_part_data": lambda data, start, end: taker.data(memoryview(data)[start:end]),
        "on_part_end": taker.end,
        "on_end": on_end,
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        for piece in _pieces(body):
            parser.write(piece)
        parser.finalize()
    except (MultipartParseError, ValueError):
        raise NotParts from None
    if not ended:
        raise NotParts


def _pieces(body: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(_READ_BYTES):
        yield piece
