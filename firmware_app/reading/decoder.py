"""The reader's side of the decode child: sends it one file after the other and checks every field of its answers.

A hostile file may have taken over the child.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from firmware_app.core import child_messages
from firmware_app.core.child_messages import Arrays, ChildMessage
from firmware_app.core.child_process import Child, ChildLost, start_child
from firmware_app.core.errors import ImagingError, LanternError
from firmware_app.core.errors.base import find_error
from firmware_app.core.records import Reason
from firmware_app.imaging.errors import ImageUnfit
from firmware_app.imaging.image_limits import (
    DIAGNOSIS_PATTERN,
    DRIFT_MEASURES,
    MOST_DIAGNOSES,
    MOST_FRAMES,
    MOST_SCALES,
    OUTSIDE_CELLS,
    QUALITY_LIMITS,
)
from firmware_app.imaging.input_spec import NO_DEMANDS, Demands, FrameRule, InputSpec
from firmware_app.imaging.pixel_size import SQUARE, Scale, is_aspect
from firmware_app.reading.hints import PIXEL_HINTS

log = logging.getLogger("lantern.reader")

INVALID: Final = "it sent an invalid message"
REFUSALS: Final[tuple[type[LanternError], ...]] = (ImagingError, ImageUnfit)

_LARGEST_MM: Final = 1000.0


def _check_scale(scale: Scale) -> Scale:
    corners = all(0 <= side < 2**31 for side in (scale.x0, scale.y0, scale.x1, scale.y1))
    if not corners or not all(mm is None or 0 < mm < _LARGEST_MM for mm in (scale.mm_down, scale.mm_across)):
        raise ValueError("no scale")
    return scale


def _check_aspect(aspect: float) -> float:
    if not is_aspect(aspect):
        raise ValueError("no aspect")
    return aspect


Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
Pixels = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
_Side = Annotated[int, Field(strict=True, gt=-(2**31), lt=2**31)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0.0, le=1.0)]
Box = tuple[_Side, _Side, _Side, _Side]


class ChildAnswer(BaseModel):
    """A child's answer: every field is checked, because a hostile file may have taken over the child."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)


class DecodedImage(ChildAnswer):
    """The child's result for a file.

    `arrays` holds ``input``, a tensor for each frame in `read`, when one was asked for.  Where there are any, it holds
    ``beside``, the cells of each frame that lie beside the anatomy (`imaging.outside_anatomy`), and ``unmarked``, the
    tensors with the marks in an ultrasound's sector painted over (`imaging.ultrasound_marks`).  `box` is the part of
    each frame that the tensors show (None: all of it), `coloured` the share of an ultrasound's sector that is in
    colour, `flow` whether its header states colour flow.  `hints`: codes, on how the pixels were interpreted.
    `quality`: measures that reached their limit; `watched`: those that are kept of every image.

    `scales`: parts of the frames whose pixel size is known.  `rate_hz`: of a clip, where the file says it.  `weights`:
    the quality of each frame that was read, from 0 to 1; empty for a single one.  `diagnoses`: those that the header
    codes, each as ``SCHEME:CODE`` (PS3.3 8.8), for example ``I10:B18.1``.  `aspect`: a pixel's height over its width.
    """

    frames: Pixels
    rows: Pixels
    columns: Pixels
    read: tuple[Pixels, ...] = Field(min_length=1)
    box: Box | None = None
    coloured: Share = 0.0
    flow: bool = False
    hints: tuple[str, ...] = ()
    quality: tuple[tuple[str, Number], ...] = ()
    watched: dict[str, Number] = Field(default_factory=dict)
    scales: tuple[Annotated[Scale, AfterValidator(_check_scale)], ...] = Field((), max_length=MOST_SCALES)
    rate_hz: Annotated[Number, Field(gt=0.0)] | None = None
    weights: tuple[Annotated[Number, Field(gt=0.0, le=1.0)], ...] = ()
    diagnoses: tuple[Annotated[str, Field(pattern=DIAGNOSIS_PATTERN)], ...] = Field((), max_length=MOST_DIAGNOSES)
    aspect: Annotated[Number, AfterValidator(_check_aspect)] = SQUARE
    milliseconds: float
    arrays: Any

    @property
    def visible_size(self) -> tuple[int, int]:
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
            message = self._ask_again()
        elif message.header.get("spent"):
            self._replace()
        self.hints = filter_hints(message.header.get("hints"))
        return parse_refusal(message) or self._check_answer(message, spec, taking, 1e3 * (time.perf_counter() - begun))

    def end(self) -> bool:
        """Wait for the frames for people; False when they could not be made, the child being replaced if it died."""
        self.refusal = None
        try:
            message = self._child.receive(self._seconds)
            if message.header.get("again") and self._again:
                message = self._ask_again()
                message = message if "refusal" in message.header else self._child.receive(self._seconds)
            self.refusal = parse_refusal(message)
            self.hints = filter_hints(message.header.get("hints")) or self.hints
            if message.header.get("spent"):
                self._replace()
            return bool(message.header.get("displayed"))
        except ChildLost as lost:
            log.warning("the decode child was lost while it wrote frames for the screen (%s)", lost.detail)
            self._replace()
            return False

    def write_clip_frames(self, path: Path, is_picture: bool, folder: Path, first: int) -> int | None:
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

    def _ask_again(self) -> ChildMessage:
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

    def _check_answer(
        self, message: ChildMessage, spec: InputSpec | None, taking: DecodeOptions, milliseconds: float
    ) -> DecodedImage:
        """As `check_answer`.  Raises `ChildLost`, the child being replaced."""
        try:
            return check_answer(message, spec, taking, milliseconds)
        except ValueError:
            self._replace()
            raise ChildLost(INVALID) from None

    def _replace(self) -> None:
        self._child.kill()
        self._child = self._spawn()
        self._ready = False

    def _spawn(self) -> Child:
        return Child("firmware_app.reading.children.decode_child", self._arguments, silent=True)


def check_answer(
    message: ChildMessage, spec: InputSpec | None, taking: DecodeOptions, milliseconds: float
) -> DecodedImage:
    """The image in a child's answer, checked against what was asked for; raises `ValueError` for an invalid one."""
    image = DecodedImage.model_validate({**message.header, "milliseconds": milliseconds, "arrays": message.arrays})
    if len(image.read) > taking.budget or sorted(set(image.read)) != list(image.read) or image.read[-1] >= image.frames:
        raise ValueError("other frames than were asked for")
    if image.weights and len(image.weights) != len(image.read):
        raise ValueError("a weight for each frame or none")
    if image.box is not None and not _is_inside(
        image.box, image, is_letterbox=spec is not None and spec.resize == "letterbox"
    ):
        raise ValueError("a box outside the frame")
    if spec is not None:
        _require_tensors(message.arrays, (len(image.read), spec.channels, *spec.shape))
    numbers = dict(image.quality)
    limits = QUALITY_LIMITS[taking.demands.kind]
    return image.model_copy(
        update={
            "hints": filter_hints(image.hints),
            "quality": tuple((name, round(numbers[name], 4)) for name in limits if name in numbers),
            "watched": {name: number for name, number in image.watched.items() if name in DRIFT_MEASURES},
        }
    )


def _is_inside(box: Box, image: DecodedImage, *, is_letterbox: bool) -> bool:
    """Whether x0, y0, x1, y1 is a part of the frame.  A letterbox may reach beyond two of its sides."""
    x0, y0, x1, y1 = box
    if is_letterbox and x0 < min(x1, image.columns) and y0 < min(y1, image.rows) and min(x1, y1) > 0:
        return True
    return 0 <= x0 < x1 <= image.columns and 0 <= y0 < y1 <= image.rows


def filter_hints(codes: object) -> tuple[str, ...]:
    """Those of a child's hints that have a sentence."""
    return tuple(code for code in PIXEL_HINTS if isinstance(codes, (list, tuple)) and code in codes)


def _require_tensors(arrays: Arrays, shape: tuple[int, ...]) -> None:
    tensors, cells = arrays.get("input"), arrays.get("beside")
    if tensors is None:
        raise ValueError("no tensor")
    for tensor in (tensors, arrays.get("unmarked", tensors)):
        if (tensor.shape, tensor.format) != (shape, child_messages.FLOAT32):
            raise ValueError("a tensor of another shape")
    if cells is not None and (cells.shape, cells.format) != (
        (shape[0], OUTSIDE_CELLS, OUTSIDE_CELLS),
        child_messages.UINT8,
    ):
        raise ValueError("cells of another shape")


class _Refusal(BaseModel):
    code: str
    details: dict[str, str | int | float]


def parse_refusal(message: ChildMessage, kinds: tuple[type[LanternError], ...] = REFUSALS) -> Reason | None:
    """The refusal in an answer, if its code is of *kinds* and its details fit; anything else is ignored."""
    try:
        refusal = _Refusal.model_validate(message.header.get("refusal"))
    except ValidationError:
        return None
    kind = find_error(refusal.code, kinds)
    names = kind.placeholders if kind is not None else ()
    kept = {name: value for name, value in refusal.details.items() if name in names}
    if kind is None or len(kept) != len(names):
        return None
    return Reason(kind.code, {name: value[:200] if isinstance(value, str) else value for name, value in kept.items()})
