"""The reader's side of the decode child."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.errors import ImageUnfit, ImagingError
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.reading import wire
from firmware_app.reading.child import Child, ChildLost
from firmware_app.reading.starting import started
from firmware_app.reading.wire import Arrays, Message
from firmware_app.records import Reason

log = logging.getLogger("lantern.reader")

_REFUSALS: Final = {kind.code: kind for kind in (*ImagingError.__subclasses__(), *ImageUnfit.__subclasses__())}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the child made of a file; `arrays` holds ``input`` when one was asked for."""

    frame: int
    frames: int
    rows: int
    columns: int
    milliseconds: float
    split: Mapping[str, float]  # decode_ms and prepare_ms as the child measured them
    arrays: Arrays


class Decoder:
    """One warm decode child, replaced when lost.  `begin` … `end` bracket one file."""

    def __init__(self, memory_mb: int, seconds: float) -> None:
        self._arguments = (str(memory_mb), str(seconds))
        self._seconds = seconds
        self._ready = False
        self._child = self._spawn()

    @property
    def pid(self) -> int:
        return self._child.pid

    def warm(self) -> None:
        """Return when the child is ready; raises `ChildWillNotStart`."""
        if self._ready and not self._child.alive:
            self._replace()
        if not self._ready:
            self._child = started(self._child, self._spawn)
            self._ready = True

    def begin(self, path: Path, is_picture: bool, spec: InputSpec | None, folder: Path) -> Decoded | Reason:
        """Decode the file at *path*; a `Reason` is the child's final refusal.  Raises `ChildLost`.

        After a `Decoded` the child goes on to write frames for people into *folder*; call `end` for it.
        """
        self.warm()
        begun = time.perf_counter()
        message = self._ask(
            {"file": str(path), "picture": is_picture, "display": str(folder), "input": asdict(spec) if spec else None}
        )
        return _refused(message) or self._checked(message, spec, 1e3 * (time.perf_counter() - begun))

    def end(self) -> bool:
        """Wait for the frames for people; False when they could not be made, the child being replaced if it died."""
        try:
            return bool(self._child.receive(self._seconds).header.get("displayed"))
        except ChildLost as lost:
            log.warning("the decode child was lost while it wrote frames for the screen (%s)", lost.detail)
            self._replace()
            return False

    def close(self) -> None:
        self._child.kill()

    def _ask(self, job: Mapping[str, Any]) -> Message:
        try:
            self._child.send(job)
            return self._child.receive(self._seconds)
        except ChildLost:
            self._replace()
            raise

    def _checked(self, message: Message, spec: InputSpec | None, milliseconds: float) -> Decoded:
        """The answer, believed only as far as it has the form that was asked for."""
        head, shape = message.header, (1, spec.channels, spec.height, spec.width) if spec else None
        numbers = [head.get(name) for name in ("frame", "frames", "rows", "columns")]
        tensor = message.arrays.get("input")
        if not all(isinstance(number, int) and 0 <= number < 2**31 for number in numbers) or (
            shape is not None and (tensor is None or tensor.shape != shape or tensor.format != wire.FLOAT32)
        ):
            self._replace()
            raise ChildLost("it spoke nonsense")
        split = {name: float(head[name]) for name in ("decode_ms", "prepare_ms") if isinstance(head.get(name), float)}
        frame, frames, rows, columns = (head[name] for name in ("frame", "frames", "rows", "columns"))
        return Decoded(frame, frames, rows, columns, milliseconds, split, message.arrays)

    def _replace(self) -> None:
        self._child.kill()
        self._child = self._spawn()
        self._ready = False

    def _spawn(self) -> Child:
        return Child("firmware_app.reading.decode_child", self._arguments, silent=True)


def _refused(message: Message) -> Reason | None:
    """The refusal in an answer, if it is one of imaging or of fitness: what the child says is not believed further."""
    told = message.header.get("refusal")
    kind = _REFUSALS.get(str(told.get("code"))) if isinstance(told, dict) else None
    details = told.get("details") if isinstance(told, dict) else None
    if kind is None or not isinstance(details, dict):
        return None
    names: list[str] = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    kept = {name: details[name] for name in names if isinstance(details.get(name), (str, int, float))}
    if len(kept) != len(names):
        return None
    return Reason(kind.code, {name: value[:200] if isinstance(value, str) else value for name, value in kept.items()})
