"""The grab child: opens a running examination, and nobody else does; gives the newest frame, ready for the model.

``python -m firmware_app.reading.children.grab_child FD PARENT MEMORY_MB CPU_SECONDS``.  Jobs are ``{job: open, kind,
source, loop, input, modality, demands}``, ``{job: next, after, wait_s}``, with ``file`` and
``at`` the file of a DICOM object that has just come, and ``{job: keep, sequence, path, modality, body_part, study}``.
The answer to `next` is the tensor and facts of a frame with a JPEG of it for people, or why no model may see it with
the JPEG alone, or ``{waiting: true}``.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from firmware_app.core import child_loop, process
from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.errors import ImagingError
from firmware_app.dicom.header import MAGIC, PREAMBLE_BYTES, looks_like_data_set
from firmware_app.imaging import display, image_file, image_properties, live_frames, model_frames
from firmware_app.imaging.errors import ImageUnfit, WatchError
from firmware_app.imaging.input_spec import Demands, InputSpec
from firmware_app.imaging.live_frames import (
    FileSource,
    FrameSource,
    GrabbedFrame,
    LiveFrame,
    SectorTracker,
    StreamSource,
)
from firmware_app.imaging.pixel_size import SQUARE
from firmware_app.reading.children import decode_child
from firmware_app.reading.errors import FRAME_GONE

JPEG_SIDE_PX: Final = 1280
_QUALITY: Final = 88
_HELD: Final = 16
_HELD_BYTES: Final = 96 * 1024 * 1024


class OpenSource:
    """The open source, and the frames that were read last, in case one is to be kept."""

    def __init__(self) -> None:
        self._source: FrameSource | None = None
        self._job: Mapping[str, Any] = {}
        self._sector = SectorTracker(None)
        self._stated: dict[str, Any] = {}
        self._held: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._open = ExitStack()

    def handle_job(self, job: ChildMessage) -> child_loop.Answers:
        """The one answer to a job."""
        peak = process.read_peak_bytes()
        try:
            match job.header["job"]:
                case "open":
                    yield self._open_source(job.header)
                case "next":
                    yield self._grab_next(job.header)
                case "keep":
                    yield self._keep_frame(job.header)
        except WatchError as error:
            yield child_loop.make_refusal_answer(error)
        except ImagingError as error:
            yield child_loop.make_failure_answer(error, peak)
        except MemoryError:
            yield child_loop.make_out_of_memory_answer()

    def _open_source(self, job: Mapping[str, Any]) -> ChildMessage:
        self._job = job
        self._sector, self._stated = SectorTracker(None), {}
        rate = None
        match job["kind"]:
            case "file":
                path = Path(str(job["source"]))
                opened = self._open.enter_context(
                    image_file.open_image_file(path, is_picture=not is_dicom_object(path))
                )
                self._learn_header(opened)
                played = FileSource(opened, loop=bool(job["loop"]))
                self._source, rate = played, played.rate_hz
            case "device" | "stream" as kind:
                self._source = StreamSource(str(job["source"]), kind)
        return ChildMessage({"opened": True, "rate_hz": rate})

    def _grab_next(self, job: Mapping[str, Any]) -> ChildMessage:
        if "file" in job:
            with image_file.open_image_file(
                Path(str(job["file"])), is_picture=not is_dicom_object(Path(str(job["file"])))
            ) as opened:
                self._learn_header(opened)
                frame = LiveFrame.from_image(opened, opened.frames // 2)
            return self._build_answer(GrabbedFrame(int(job["sequence"]), float(job["at"]), 0, 0, frame))
        assert self._source is not None
        grabbed = self._source.newest(int(job["after"]), float(job["wait_s"]))
        return ChildMessage({"waiting": True}) if grabbed is None else self._build_answer(grabbed)

    def _learn_header(self, opened: image_file.ImageFile) -> None:
        """What the header of the file says for all its frames."""
        self._sector = SectorTracker(image_properties.header_sector(opened))
        self._stated = decode_child.describe_image(opened, 0)

    def _build_answer(self, grabbed: GrabbedFrame) -> ChildMessage:
        begun = time.perf_counter()
        frame = grabbed.frame
        pixels = to_eight_bits(frame)
        if frame.aspect(0) != SQUARE:
            pixels = np.asarray(display.reduce_pixels(pixels, aspect=frame.aspect(0)))
        self._hold_frame(grabbed.sequence, pixels)
        facts = {
            "sequence": grabbed.sequence,
            "at": grabbed.at,
            "came": grabbed.came,
            "dropped": grabbed.dropped,
            "frames": 1,
            "rows": frame.rows,
            "columns": frame.columns,
            "read": [0],
            "hints": frame.hints,
        }
        arrays = {"jpeg": encode_jpeg(pixels)}
        try:
            taken = self._prepare_for_model(frame, grabbed.at)
        except ImageUnfit as error:
            return ChildMessage({**facts, **child_loop.make_refusal_answer(error).header}, arrays)
        grab_ms = 1e3 * (time.perf_counter() - begun)
        return ChildMessage({**facts, **taken.header, **self._stated, "grab_ms": grab_ms}, {**arrays, **taken.arrays})

    def _prepare_for_model(self, frame: LiveFrame, at: float) -> ChildMessage:
        job, spec = self._job, InputSpec(**self._job["input"])
        has_sector = job["modality"] == model_frames.ULTRASOUND or spec.crop == "sector"
        found = self._sector.track(frame.greys, at) if has_sector else None
        taken = model_frames.prepare_frames(
            frame, spec, "middle", 1, job["modality"], demands=Demands(**job["demands"]), found=found
        )
        return decode_child.describe_frames(taken)

    def _hold_frame(self, sequence: int, pixels: NDArray[np.uint8]) -> None:
        self._held[sequence] = pixels
        most = max(1, min(_HELD, _HELD_BYTES // max(1, pixels.nbytes)))
        while len(self._held) > most:
            self._held.popitem(last=False)

    def _keep_frame(self, job: Mapping[str, Any]) -> ChildMessage:
        pixels = self._held.get(int(job["sequence"]))
        if pixels is None:
            raise FRAME_GONE()
        live_frames.write_kept_frame(
            pixels, Path(str(job["path"])), str(job["modality"]), str(job["body_part"]), str(job["study"])
        )
        return ChildMessage({"kept": int(job["sequence"])})


def is_dicom_object(path: Path) -> bool:
    """Whether the file is a DICOM object, by its first bytes; raises `ImagingError` where it cannot be read."""
    from firmware_app.core.errors import Undecodable

    try:
        with path.open("rb") as file:
            head = file.read(PREAMBLE_BYTES + len(MAGIC) + 12)
    except OSError as error:
        raise Undecodable(detail=f"its file cannot be read: {error.strerror}") from None
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC or looks_like_data_set(head)


def to_eight_bits(frame: LiveFrame) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3): the frame as people first see it."""
    shown = frame.display
    if shown.pixels.dtype == np.uint8:
        return np.ascontiguousarray(shown.pixels, np.uint8)
    low, high = 0.0, 65535.0
    if shown.centre is not None and shown.width:
        low, high = shown.centre - shown.width / 2, shown.centre + shown.width / 2
    scaled = (shown.pixels.astype(np.float32) - low) * np.float32(255.0 / max(high - low, 1.0))
    return np.asarray(np.clip(scaled, 0.0, 255.0), dtype=np.uint8)


def encode_jpeg(pixels: NDArray[np.uint8]) -> memoryview:
    """The frame for a page, its longer side at most `JPEG_SIDE_PX`."""
    small = pixels
    if max(pixels.shape) > JPEG_SIDE_PX:
        small = np.asarray(display.reduce_pixels(pixels, JPEG_SIDE_PX))
    colour = "GRAY" if small.ndim == 2 else "RGB"
    given = np.ascontiguousarray(small if small.ndim == 3 else small[:, :, np.newaxis])
    return memoryview(simplejpeg.encode_jpeg(given, quality=_QUALITY, colorspace=colour, colorsubsampling="420"))


def main() -> int:
    """Body of the process."""
    descriptor, parent, memory_mb, cpu_seconds = sys.argv[1:5]
    child_loop.die_with_parent(int(parent))
    # Libraries quote what they cannot read, and that may be a patient's, or an address with its password.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    child_loop.confine(int(memory_mb))
    with socket.socket(fileno=int(descriptor)) as channel:
        return child_loop.serve_jobs(channel, OpenSource().handle_job, float(cpu_seconds))


if __name__ == "__main__":
    sys.exit(main())
