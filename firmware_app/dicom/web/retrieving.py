"""WADO-RS (PS3.18 10.4): whole objects, their metadata, frames and long values, as the sender has laid them ready.

Nothing is parsed here: an object is sent as bytes of its file, a frame or a long value as a part of these, and metadata
as they were written when the object was made (`results.dicom_objects.description`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from firmware_app.dicom.web.media import MULTIPART, MediaType
from firmware_app.dicom.web.offered import OfferedResult
from firmware_app.dicom.web.searching import address

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_PIXELS: Final = "7FE00010"
_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file for one part of an answer; *size* None: to its end."""

    path: Path
    start: int = 0
    size: int | None = None


def forms(kind: str, *, may_be_bare: bool) -> list[MediaType]:
    """How parts of *kind* are given: in a multipart/related, and a single one bare too."""
    syntax = {"transfer-syntax": _EXPLICIT}
    bare = [MediaType(kind, syntax)] if may_be_bare else []
    return [MediaType(MULTIPART, {"type": kind, **syntax}), *bare]


def metadata(root: Path, offered: Sequence[OfferedResult], service: str) -> list[dict[str, Any]]:
    """The metadata of *offered*, each long value as the address where it is fetched; raises `OSError`."""
    made = []
    for one in offered:
        told: dict[str, Any] = json.loads((root / one.file).with_suffix(".json").read_text("utf-8"))["metadata"]
        for tag in one.bulk:
            told[tag]["BulkDataURI"] = f"{address(service, one)}/bulkdata/{tag}"
        made.append(told)
    return made


def frames(root: Path, one: OfferedResult, numbers: Sequence[int]) -> list[Part] | None:
    """The frames of *one* with these *numbers*, from 1; None when it has not all of them."""
    start, size, count = one.bulk.get(_PIXELS, (0, 0, 0))
    if not numbers or not all(1 <= number <= count for number in numbers):
        return None
    each = size // count
    return [Part(root / one.file, start + (number - 1) * each, each) for number in numbers]


class Body:
    """The parts of an answer, opened, so that they stay whole while a newer version replaces them.

    Raises `OSError` when one is not there.  Closed when it has been iterated, or by `close`.
    """

    def __init__(self, parts: Sequence[Part], kind: str, *, multipart: bool) -> None:
        self._boundary = secrets.token_hex(16) if multipart else ""
        self._kind = kind
        with ExitStack() as opened:
            self._parts = [(opened.enter_context(part.path.open("rb")), *_extent(part)) for part in parts]
            self._opened = opened.pop_all()

    @property
    def content_type(self) -> str:
        syntax = f"; transfer-syntax={_EXPLICIT}"
        if not self._boundary:
            return self._kind + syntax
        return f'multipart/related; type="{self._kind}"{syntax}; boundary={self._boundary}'

    @property
    def length(self) -> int:
        return (
            sum(len(self._head) + size + 2 for _, _, size in self._parts) + len(self._tail)
            if self._boundary
            else (self._parts[0][2])
        )

    @property
    def _head(self) -> bytes:
        return f"--{self._boundary}\r\nContent-Type: {self._kind}; transfer-syntax={_EXPLICIT}\r\n\r\n".encode()

    @property
    def _tail(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()

    def __iter__(self) -> Iterator[bytes]:
        for file, start, size in self._parts:
            if self._boundary:
                yield self._head
            yield from _pieces(file, start, size)
            if self._boundary:
                yield b"\r\n"
        if self._boundary:
            yield self._tail

    def close(self) -> None:
        self._opened.close()


def _extent(part: Part) -> tuple[int, int]:
    return part.start, part.path.stat().st_size - part.start if part.size is None else part.size


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece
