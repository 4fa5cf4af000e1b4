"""The reader's side of the grab child: opens a source, requests its newest frame, and checks every answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from firmware_app.core.child_messages import UINT8, ChildMessage
from firmware_app.core.child_process import Child, ChildLost, start_child
from firmware_app.core.errors import ImagingError, LanternError
from firmware_app.core.errors.base import find_error
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.imaging.errors import SOURCE_LOST, ImageUnfit, WatchError
from firmware_app.packs.manifest import Manifest
from firmware_app.reading import decoder
from firmware_app.reading.decoder import INVALID, ChildAnswer, Count, DecodedImage, DecodeOptions, Number

SourceKind = Literal["file", "device", "stream", "dicom"]
MOST_JPEG_BYTES: Final = 16 * 1024 * 1024
_OPEN_S: Final = 15.0
_ANSWER_S: Final = 5.0
"""A child that gives no answer for so long, beyond the wait that was asked for, hangs and is killed."""
_REFUSALS: Final = (WatchError, ImagingError, ImageUnfit)


class FrameRefused(Exception):
    """The child's final answer: why there is no frame."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.code)
        self.reason = reason

    def to_error(self) -> LanternError:
        """The same as an error of the box, for a command that ends with it."""
        kind = find_error(self.reason.code, _REFUSALS)
        return kind(**self.reason.details) if kind is not None else SOURCE_LOST(detail=self.reason.code)


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Where frames come from.  `address` is a path or an RTSP address, which may hold a password: never log it."""

    kind: SourceKind
    address: str
    loop: bool = False


@dataclass(frozen=True, slots=True)
class GrabbedFrame:
    """One frame: its number, when it came (monotonic seconds), and how many had come and were dropped by then.

    `decoded` is ready for the model, or the reason why no model may see the frame.
    """

    sequence: int
    at: float
    came: int
    dropped: int
    rows: int
    columns: int
    jpeg: memoryview
    decoded: DecodedImage | Reason


class _FrameFacts(ChildAnswer):
    sequence: Count
    at: Number
    came: Count
    dropped: Count
    rows: Count
    columns: Count
    grab_ms: Annotated[Number, Field(ge=0.0, lt=1e6)] = 0.0


class FrameGrabber:
    """One grab child; `open` starts a fresh one."""

    def __init__(self, config: Config, manifest: Manifest) -> None:
        self._arguments = (str(config.reader.memory_mb), str(config.reader.decode_seconds))
        self._spec = manifest.input
        self._taking = DecodeOptions("middle", 1, manifest.route.modalities[0], manifest.quality.demands)
        self._child = self._spawn()

    @property
    def pid(self) -> int:
        return self._child.pid

    def open(self, source: FrameSource) -> None:
        """Open *source*; raises `FrameRefused` and `ChildLost`."""
        if not self._child.alive:
            self._child = self._spawn()
        self._child = start_child(self._child, self._spawn)
        job = {
            "job": "open",
            "kind": source.kind,
            "source": source.address,
            "loop": source.loop,
            "input": asdict(self._spec),
            "modality": self._taking.modality,
            "demands": asdict(self._taking.demands),
        }
        self._ask(job, _OPEN_S)

    def next(self, after: int, wait_s: float) -> GrabbedFrame | None:
        """The newest frame behind number *after*; None where none comes within *wait_s*.

        Raises `FrameRefused`, also at the end of a clip, and `ChildLost`.
        """
        return self._parse_frame(self._ask({"job": "next", "after": after, "wait_s": wait_s}, wait_s + _ANSWER_S))

    def grab_object(self, file: Path, sequence: int, at: float) -> GrabbedFrame | None:
        """The middle frame of a DICOM object that came *at*; raises `FrameRefused` and `ChildLost`."""
        job = {"job": "next", "file": str(file), "sequence": sequence, "at": at}
        return self._parse_frame(self._ask(job, _ANSWER_S))

    def keep(self, sequence: int, path: Path, body_part: str, study: str) -> None:
        """Write the frame of this number as a DICOM object at *path*; raises `FrameRefused` and `ChildLost`."""
        job = {
            "job": "keep",
            "sequence": sequence,
            "path": str(path),
            "modality": self._taking.modality,
            "body_part": body_part,
            "study": study,
        }
        self._ask(job, _ANSWER_S)

    def close(self) -> None:
        """End the child, and with it everything that is open."""
        self._child.kill()

    def _ask(self, job: Mapping[str, Any], seconds: float) -> ChildMessage:
        self._child.send(job)
        message = self._child.receive(seconds)
        if message.header.get("spent"):
            self._child.kill()
        if "refusal" in message.header and "jpeg" not in message.arrays:
            reason = decoder.parse_refusal(message, _REFUSALS)
            raise FrameRefused(reason or Reason.from_error(SOURCE_LOST(detail=INVALID)))
        return message

    def _parse_frame(self, message: ChildMessage) -> GrabbedFrame | None:
        if message.header.get("waiting") is True:
            return None
        try:
            return self._check(message)
        except (KeyError, ValueError):
            self._child.kill()
            raise ChildLost(INVALID) from None

    def _check(self, message: ChildMessage) -> GrabbedFrame:
        """The frame in an answer; raises `KeyError` and `ValueError` for an invalid one."""
        facts, jpeg = _FrameFacts.model_validate(message.header), message.arrays["jpeg"]
        if facts.at > time.monotonic() + _OPEN_S:
            raise ValueError("a frame of the future")
        if jpeg.format != UINT8 or len(jpeg.shape or ()) != 1 or jpeg.nbytes > MOST_JPEG_BYTES:
            raise ValueError("no JPEG")
        refusal = decoder.parse_refusal(message)
        if refusal is None and "refusal" in message.header:
            raise ValueError("an unknown refusal")
        given = ChildMessage(message.header, {name: one for name, one in message.arrays.items() if name != "jpeg"})
        decoded = refusal or decoder.check_answer(given, self._spec, self._taking, facts.grab_ms)
        return GrabbedFrame(**facts.model_dump(exclude={"grab_ms"}), jpeg=jpeg, decoded=decoded)

    def _spawn(self) -> Child:
        return Child("firmware_app.reading.children.grab_child", self._arguments, silent=True)
