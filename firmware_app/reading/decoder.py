"""The reader's side of the decode child: sends it one file after the other and checks every field of its answers.

A hostile file may have taken over the child.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from firmware_app.core import child_messages
from firmware_app.core.child_messages import Arrays, ChildMessage
from firmware_app.core.child_process import Child, ChildLost, start_child
from firmware_app.core.errors import ImagingError, LanternError
from firmware_app.core.errors.base import find_error
from firmware_app.core.records import Reason
from firmware_app.imaging.errors import ImageUnfit
from firmware_app.imaging.image_limits import DRIFT_MEASURES, MOST_FRAMES, OUTSIDE_CELLS, QUALITY_LIMITS
from firmware_app.imaging.input_spec import NO_DEMANDS, Demands, FrameRule, InputSpec, QualityKind
from firmware_app.reading import decoded_metadata
from firmware_app.reading.decoded_metadata import DecodedMetadata
from firmware_app.reading.hints import PIXEL_HINTS

log = logging.getLogger("lantern.reader")

REFUSALS: Final[tuple[type[LanternError], ...]] = (ImagingError, ImageUnfit)

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The child's result for a file.

    `arrays` holds ``input``, a tensor for each frame in `read`, when one was asked for.  Where there are any, it holds
    ``beside``, the cells of each frame that lie beside the anatomy (`imaging.outside_anatomy`), and ``unmarked``, the
    tensors with the marks in an ultrasound's sector painted over (`imaging.ultrasound_marks`).  `box` is the part of
    each frame that the tensors show (None: all of it), `coloured` the share of an ultrasound's sector that is in
    colour, `flow` whether its header states colour flow.
    """

    read: tuple[int, ...]
    frames: int
    rows: int
    columns: int
    milliseconds: float
    split: Mapping[str, float]  # decode_ms and prepare_ms as the child measured them
    arrays: Arrays
    box: Box | None = None
    coloured: float = 0.0
    flow: bool = False
    hints: tuple[str, ...] = ()  # codes, on how the pixels were interpreted
    quality: tuple[tuple[str, float], ...] = ()  # quality measures that reached their limit, each with its value
    stated: DecodedMetadata = field(default_factory=DecodedMetadata)
    watched: Mapping[str, float] = field(default_factory=dict)  # quality measures of every image

    @property
    def seen(self) -> tuple[int, int]:
        """(columns, rows) of the part of a frame that the model sees."""
        x0, y0, x1, y1 = self.box or (0, 0, self.columns, self.rows)
        return x1 - x0, y1 - y0


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """Which frames of a clip are read (`packs.tasks.interface.FramePolicy`), and what the pack demands of an image."""

    rule: FrameRule = "middle"
    budget: int = 1
    modality: str = ""
    demands: Demands = NO_DEMANDS


class Decoder:
    """One warm decode child, replaced when lost.  `begin` … `end` bracket one file."""

    def __init__(self, memory_mb: int, seconds: float) -> None:
        self._arguments = (str(memory_mb), str(seconds))
        self._seconds = seconds
        self._ready = False
        self._again: Mapping[str, Any] = {}  # the job to send to a fresh child when memory runs short
        self._child = self._spawn()
        self.refusal: Reason | None = None
        """Why there is no frame of the latest file for people, as far as the child said."""
        self.hints: tuple[str, ...] = ()
        """Hints on how the pixels of the latest file were interpreted, also of a refused one."""

    @property
    def pid(self) -> int:
        return self._child.pid

    def warm(self) -> None:
        """Return when the child is ready; raises `ChildWillNotStart`."""
        if self._ready and not self._child.alive:
            self._replace()
        if not self._ready:
            self._child = start_child(self._child, self._spawn)
            self._ready = True

    def begin(
        self,
        path: Path,
        is_picture: bool,
        spec: InputSpec | None,
        folder: Path | None,
        taking: DecodeOptions = DecodeOptions(),
    ) -> DecodedImage | Reason:
        """Decode the file at *path*; a `Reason` is the child's final refusal.  Raises `ChildLost`.

        After a `DecodedImage` the child goes on to write frames for people into *folder*, if any; call `end` for it.
        """
        self.warm()
        begun = time.perf_counter()
        job = {
            "file": str(path),
            "picture": is_picture,
            "display": str(folder) if folder is not None else "",
            "input": asdict(spec) if spec else None,
            **asdict(taking),
        }
        message, self._again = self._ask(job), job
        if message.header.get("again"):
            message = self._asked_again()
        elif message.header.get("spent"):
            self._replace()
        self.hints = _filter_hints(message.header.get("hints"))
        return parse_refusal(message) or self._checked(message, spec, taking, 1e3 * (time.perf_counter() - begun))

    def end(self) -> bool:
        """Wait for the frames for people; False when they could not be made, the child being replaced if it died."""
        self.refusal = None
        try:
            message = self._child.receive(self._seconds)
            if message.header.get("again") and self._again:
                message = self._asked_again()
                message = message if "refusal" in message.header else self._child.receive(self._seconds)
            self.refusal = parse_refusal(message)
            self.hints = _filter_hints(message.header.get("hints")) or self.hints
            if message.header.get("spent"):
                self._replace()
            return bool(message.header.get("displayed"))
        except ChildLost as lost:
            log.warning("the decode child was lost while it wrote frames for the screen (%s)", lost.detail)
            self._replace()
            return False

    def fill(self, path: Path, is_picture: bool, folder: Path, first: int) -> int | None:
        """Write some more frames of a clip for people, from frame *first* on, as light pictures; the frame to go on
        with, *first* again where the disk takes none, None when there is none left.  Raises `ChildLost`."""
        self.warm()
        message = self._ask({"file": str(path), "picture": is_picture, "display": str(folder), "first": first})
        if message.header.get("spent") or message.header.get("again"):
            self._replace()
        going = message.header.get("next")
        return going if isinstance(going, int) and first <= going < MOST_FRAMES else None

    def close(self) -> None:
        self._child.kill()

    def _asked_again(self) -> ChildMessage:
        """The first answer of a fresh child, after the previous one ran short of memory, maybe over earlier files."""
        job, self._again = self._again, {}
        log.warning("the decode child had too little memory for an image; a fresh one is started")
        self._replace()
        self.warm()
        message = self._ask(job)
        if message.header.get("spent"):
            self._replace()
        return message

    def _ask(self, job: Mapping[str, Any]) -> ChildMessage:
        try:
            self._child.send(job)
            return self._child.receive(self._seconds)
        except ChildLost:
            self._replace()
            raise

    def _checked(
        self, message: ChildMessage, spec: InputSpec | None, taking: DecodeOptions, milliseconds: float
    ) -> DecodedImage:
        """As `check_answer`.  Raises `ChildLost`, the child being replaced."""
        try:
            return check_answer(message, spec, taking, milliseconds)
        except (KeyError, ValueError):
            self._replace()
            raise ChildLost("it sent an invalid message") from None

    def _replace(self) -> None:
        self._child.kill()
        self._child = self._spawn()
        self._ready = False

    def _spawn(self) -> Child:
        return Child("firmware_app.reading.children.decode_child", self._arguments, silent=True)


def check_answer(
    message: ChildMessage, spec: InputSpec | None, taking: DecodeOptions, milliseconds: float
) -> DecodedImage:
    """A child's answer with every field checked: a hostile file may have taken over the child.

    Raises `KeyError` and `ValueError` for an invalid one.
    """
    head, coloured = message.header, message.header.get("coloured")
    frames, rows, columns = (_check_count(head[name]) for name in ("frames", "rows", "columns"))
    read, box = _check_frames(head["read"], frames, taking.budget), _check_box(head.get("box"), rows, columns, spec)
    if spec is not None:
        _require_tensors(message, (len(read), spec.channels, *spec.shape))
    said = decoded_metadata.check_metadata(head, len(read))
    split = {name: float(head[name]) for name in ("decode_ms", "prepare_ms") if isinstance(head.get(name), float)}
    share = coloured if isinstance(coloured, float) and 0.0 <= coloured <= 1.0 else 0.0
    quality, flow = _filter_quality(head.get("quality"), taking.demands.kind), head.get("flow") is True
    hints = _filter_hints(head.get("hints"))
    return DecodedImage(
        read=read,
        frames=frames,
        rows=rows,
        columns=columns,
        milliseconds=milliseconds,
        split=split,
        arrays=message.arrays,
        box=box,
        coloured=share,
        flow=flow,
        hints=hints,
        quality=quality,
        stated=said,
        watched=_filter_watched(head.get("watched")),
    )


def _check_count(number: object) -> int:
    if not isinstance(number, int) or not 0 <= number < 2**31:
        raise ValueError
    return number


def _check_frames(read: object, frames: int, most: int) -> tuple[int, ...]:
    """The frames that were read: one to *most* of the clip, in order; raises `ValueError`."""
    numbers = tuple(_check_count(frame) for frame in read) if isinstance(read, list) else ()
    if not 1 <= len(numbers) <= most or list(numbers) != sorted(set(numbers)) or numbers[-1] >= frames:
        raise ValueError
    return numbers


def _check_box(box: object, rows: int, columns: int, spec: InputSpec | None) -> Box | None:
    """x0, y0, x1, y1 inside the frame, or None; raises `ValueError`.  A letterbox may reach beyond two of its sides."""
    if box is None:
        return None
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError
    if not all(isinstance(side, int) and abs(side) < 2**31 for side in box):
        raise ValueError
    x0, y0, x1, y1 = box
    letterbox = spec is not None and spec.resize == "letterbox"
    across, down = 0 <= x0 < x1 <= columns, 0 <= y0 < y1 <= rows
    if not (across and down) and not (letterbox and x0 < min(x1, columns) and y0 < min(y1, rows) and min(x1, y1) > 0):
        raise ValueError
    return x0, y0, x1, y1


def _filter_hints(codes: object) -> tuple[str, ...]:
    """Those of the child's hints that have a sentence."""
    return tuple(code for code in PIXEL_HINTS if isinstance(codes, list) and code in codes)


def _filter_quality(measures: object, kind: QualityKind) -> tuple[tuple[str, float], ...]:
    """Those of the child's measures that have a limit for this kind of image, each once and finite."""
    pairs = [one for one in measures if isinstance(one, list) and len(one) == 2] if isinstance(measures, list) else []
    numbers = {str(name): number for name, number in pairs if isinstance(number, float) and math.isfinite(number)}
    return tuple((name, round(numbers[name], 4)) for name in QUALITY_LIMITS[kind] if name in numbers)


def _filter_watched(measures: object) -> dict[str, float]:
    """Those of the child's measures by which drift is watched, if finite."""
    given = measures if isinstance(measures, dict) else {}
    numbers = {name: given.get(name) for name in DRIFT_MEASURES}
    return {name: one for name, one in numbers.items() if isinstance(one, float) and math.isfinite(one)}


def _require_tensors(message: ChildMessage, shape: tuple[int, ...]) -> None:
    tensors = message.arrays.get("input")
    if tensors is None:
        raise ValueError
    for one in (tensors, message.arrays.get("unmarked", tensors)):
        if one.shape != shape or one.format != child_messages.FLOAT32:
            raise ValueError
    cells = message.arrays.get("beside")
    if cells is not None and (
        cells.shape != (shape[0], OUTSIDE_CELLS, OUTSIDE_CELLS) or cells.format != child_messages.UINT8
    ):
        raise ValueError


def parse_refusal(message: ChildMessage, kinds: tuple[type[LanternError], ...] = REFUSALS) -> Reason | None:
    """The refusal in an answer, if its code is of *kinds* and its details fit; anything else is ignored."""
    refusal = message.header.get("refusal")
    kind = find_error(str(refusal.get("code")), kinds) if isinstance(refusal, dict) else None
    details = refusal.get("details") if isinstance(refusal, dict) else None
    if kind is None or not isinstance(details, dict):
        return None
    names = kind.placeholders
    kept = {name: details[name] for name in names if isinstance(details.get(name), (str, int, float))}
    if len(kept) != len(names):
        return None
    return Reason(kind.code, {name: value[:200] if isinstance(value, str) else value for name, value in kept.items()})
