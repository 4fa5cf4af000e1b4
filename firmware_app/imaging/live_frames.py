"""Frames of a running examination: from a file that plays at its own rate, or a device or stream through PyAV.

A source gives the newest frame that it has; older ones that were not taken are dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, UltrasoundImageStorage, generate_uid

from firmware_app.core.errors import ImagingError
from firmware_app.imaging import clip, image_properties, keyframes, ultrasound_sector
from firmware_app.imaging.display import DisplayFrame
from firmware_app.imaging.errors import (
    SOURCE_ENDED,
    SOURCE_LOST,
    SOURCE_UNREACHABLE,
    FrameTooLarge,
    PixelsUnsupported,
    WatchError,
)
from firmware_app.imaging.grey_scale import luminance
from firmware_app.imaging.image_file import ImageFile
from firmware_app.imaging.image_limits import DECODING_ERRORS
from firmware_app.imaging.ultrasound_sector import Sector

_LOOK_S: Final = 0.125


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrame:
    """An `ImageFile` of the one frame; `greys` is (H, W) float32, as `ImageFile.grey`."""

    greys: NDArray[np.float32]
    display: DisplayFrame
    black_and_white: tuple[float, float]
    padding: NDArray[np.bool_] | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()

    @classmethod
    def from_pixels(cls, pixels: NDArray[np.uint8]) -> LiveFrame:
        """Of (H, W) or (H, W, 3) uint8."""
        greys = luminance(pixels) if pixels.ndim == 3 else pixels.astype(np.float32)
        return cls(greys, DisplayFrame(pixels), (0.0, 255.0))

    @classmethod
    def from_image(cls, film: ImageFile, index: int) -> LiveFrame:
        """Frame *index* of an opened file; raises `ImagingError`."""
        greys = film.grey(index)
        return cls(
            greys,
            film.render_frame(index),
            film.read_grey_limits(index),
            film.read_padding_mask(index),
            hints=film.hints,
        )

    @property
    def rows(self) -> int:
        return int(self.greys.shape[0])

    @property
    def columns(self) -> int:
        return int(self.greys.shape[1])

    @property
    def frames(self) -> int:
        """One."""
        return 1

    def read_padding_mask(self, _index: int) -> NDArray[np.bool_] | None:
        return self.padding

    def grey(self, _index: int) -> NDArray[np.float32]:
        return self.greys

    def read_grey_limits(self, _index: int) -> tuple[float, float]:
        return self.black_and_white

    def aspect(self, _index: int) -> float:
        return self.display.aspect

    def render_frame(self, _index: int) -> DisplayFrame:
        return self.display


class SectorTracker:
    """The sector of an examination: the header's, else found as in a clip (`ultrasound_sector.SectorDetector`) every
    two seconds.

    The first frame's is found as in a still.  Frames of another size begin anew.
    """

    def __init__(self, stated: Sector | None) -> None:
        self._stated = stated
        self._found: Sector | None = None
        self._shape: tuple[int, ...] = ()
        self._watch, self._watched, self._looked = ultrasound_sector.SectorDetector(), 0, 0.0

    def track(self, grey: NDArray[np.float32], at: float) -> Sector | None:
        """The sector of the frame *grey*, (H, W), that came *at* (monotonic seconds); None where none is found."""
        if self._stated is not None and self._stated.mask.shape == grey.shape:
            return self._stated
        if grey.shape != self._shape:
            self._shape, self._found = grey.shape, ultrasound_sector.detect_sector(grey)
            self._watch, self._watched = ultrasound_sector.SectorDetector(), 0
        if at - self._looked >= _LOOK_S:
            self._watch.add_frame(grey)
            self._watched, self._looked = self._watched + 1, at
            if self._watched == keyframes.MOST_WATCHED:
                self._found = self._watch.sector()
                self._watch, self._watched = ultrasound_sector.SectorDetector(), 0
        return self._found


SourceKind = Literal["file", "device", "stream", "dicom"]
OPEN_S: Final = 10.0
SILENT_S: Final = 10.0
"""A stream from which nothing comes for so long is lost."""
_CLOCK_S: Final = 60.0
_USUAL_HZ: Final = 25.0
_BEHIND_S: Final = 1.0
_STREAM_CODECS: Final = "h264,hevc,mjpeg,mpeg4,rawvideo"
_DEVICE: Final = {"format": "v4l2", "options": {"framerate": "30"}, "formats": "video4linux2,v4l2", "protocols": "file"}
_STREAM: Final = {
    "format": "rtsp",
    # No buffering ahead of the decoder; over TCP, because a lost packet of UDP spoils the picture until the next key.
    "options": {"rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay", "max_delay": "0"},
    "formats": "rtsp",
    "protocols": "rtsp,rtp,tcp,tls,crypto",
}


@dataclass(frozen=True, slots=True, eq=False)
class GrabbedFrame:
    """A frame: its number from 0, when it came (monotonic seconds), and how many had come and were dropped by then."""

    sequence: int
    at: float
    came: int
    dropped: int
    frame: LiveFrame


class FrameSource(Protocol):
    """A running examination."""

    def newest(self, after: int, wait_s: float) -> GrabbedFrame | None:
        """The newest frame behind number *after*; None where none comes within *wait_s*.

        Raises `SOURCE_ENDED`, `SOURCE_LOST` and `ImagingError`.
        """

    def close(self) -> None: ...


class _ThreadedSource:
    """A thread that decodes everything in time, and the newest frame that it has."""

    def __init__(self) -> None:
        self._new = threading.Condition()
        self._slot: tuple[int, float, Callable[[], LiveFrame]] | None = None
        self._came = self._dropped = 0
        self._taken = True
        self._over: WatchError | ImagingError | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)

    def newest(self, after: int, wait_s: float) -> GrabbedFrame | None:
        """As `Source.newest`."""
        with self._new:
            self._new.wait_for(lambda: self._over is not None or self._is_newer(after), wait_s)
            if not self._is_newer(after):
                if self._over is not None:
                    raise self._over
                return None
            assert self._slot is not None
            number, at, frame = self._slot
            self._taken = True
            came, dropped = self._came, self._dropped
        return GrabbedFrame(number, at, came, dropped, frame())

    def close(self) -> None:
        """Let go of the source.  The thread may wait for it a while longer; it holds nothing else."""
        self._closing.set()

    def _decode(self) -> None:
        """Call `_put` for each frame until all is over."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            self._decode()
            over: WatchError | ImagingError = SOURCE_ENDED()
        except (WatchError, ImagingError) as error:
            over = error
        except (*DECODING_ERRORS, MemoryError) as error:
            over = SOURCE_LOST(detail=_describe_error(error))
        with self._new:
            self._over = over
            self._new.notify_all()

    def _is_newer(self, after: int) -> bool:
        return self._slot is not None and self._slot[0] > after

    def _put(self, at: float, frame: Callable[[], LiveFrame]) -> None:
        with self._new:
            self._dropped += not self._taken
            self._slot, self._taken = (self._came, at, frame), False
            self._came += 1
            self._new.notify_all()


class FileSource(_ThreadedSource):
    """An opened file whose frames come at its own rate; *loop*: again and again.  Nobody else may use *film*.

    Where this machine cannot decode as quickly, the clip plays more slowly: nothing is dropped undecoded.
    """

    def __init__(self, film: ImageFile, *, loop: bool = False) -> None:
        super().__init__()
        self._film, self._loop = film, loop
        self.rate_hz = image_properties.frame_rate(film) or _USUAL_HZ
        self._thread.start()

    def _decode(self) -> None:
        due, number = time.monotonic(), 0
        while (self._loop or number < self._film.frames) and not self._closing.is_set():
            now = time.monotonic()
            due = max(due, now - _BEHIND_S)
            if self._closing.wait(max(0.0, due - now)):
                return
            self._put(due, self._frame(number % self._film.frames))
            due, number = due + 1.0 / self.rate_hz, number + 1

    def _frame(self, index: int) -> Callable[[], LiveFrame]:
        """The frame; of a clip in colour it is only decoded, and greys are made of those that are read."""
        if isinstance(self._film, clip.Clip) and self._film.is_colour:
            pixels = self._film.render_frame(index).pixels.astype(np.uint8, copy=False)
            return lambda: LiveFrame.from_pixels(pixels)
        frame = LiveFrame.from_image(self._film, index)
        return lambda: frame


class PacketClock:
    """When a packet came, by its own time against the quickest packet of the last minute.

    What waited in a buffer so counts as waiting.  A source whose clock runs slow is followed within two minutes.
    """

    def __init__(self) -> None:
        self._offsets = [float("inf"), float("inf")]
        self._turned = float("-inf")

    def estimate_arrival(self, stamp: float | None, now: float) -> float:
        """*stamp*: seconds in the source's own time, None where it has none; *now*: when it was decoded."""
        if stamp is None:
            return now
        if now - self._turned > _CLOCK_S:
            self._offsets, self._turned = [self._offsets[1], float("inf")], now
        self._offsets[1] = min(self._offsets[1], now - stamp)
        return min(now, stamp + min(self._offsets))


class StreamSource(_ThreadedSource):
    """A V4L2 device or an RTSP address.

    Raises `SOURCE_UNREACHABLE`, `VIDEO_READER_MISSING`, `PixelsUnsupported` or `FrameTooLarge`.
    """

    def __init__(self, address: str, kind: SourceKind) -> None:
        super().__init__()
        self._container = _open_container(address, _DEVICE if kind == "device" else _STREAM)
        self._thread.start()

    def _decode(self) -> None:
        clock = PacketClock()
        try:
            for frame in self._container.decode(video=0):
                if self._closing.is_set():
                    return
                if frame.width * frame.height > clip.LARGEST_FRAME_PX:
                    raise _too_large(frame.width, frame.height)
                if not frame.is_corrupt:
                    at, pixels = clock.estimate_arrival(frame.time, time.monotonic()), clip.upright_pixels(frame)
                    self._put(at, lambda pixels=pixels: LiveFrame.from_pixels(pixels))  # type: ignore[misc]
            raise SOURCE_LOST(detail="it has ended")
        except clip.pyav_error() as error:
            raise SOURCE_LOST(detail=_describe_error(error)) from None
        finally:
            self._container.close()


def _open_container(address: str, way: Any) -> Any:
    """The container at *address*; no format, protocol or decoder but those of *way* is ever used."""
    av = clip.load_pyav()
    lists = {
        "format_whitelist": way["formats"],
        "codec_whitelist": _STREAM_CODECS,
        "protocol_whitelist": way["protocols"],
    }
    try:
        container = av.open(
            address,
            format=way["format"],
            options=way["options"],
            container_options=lists,
            timeout=(OPEN_S, SILENT_S),
            metadata_errors="replace",
        )
    except (*DECODING_ERRORS, clip.pyav_error(), ValueError) as error:
        raise SOURCE_UNREACHABLE(detail=_describe_error(error)) from None
    try:
        if not container.streams.video:
            raise SOURCE_UNREACHABLE(detail="it has no picture")
        context = container.streams.video[0].codec_context
        if context.name not in _STREAM_CODECS.split(","):
            raise PixelsUnsupported(detail=f"a stream compressed as {context.name}")
        context.thread_type, context.thread_count = "NONE", 1
        context.options = {"max_pixels": str(clip.LARGEST_FRAME_PX)}
        if context.width * context.height > clip.LARGEST_FRAME_PX:
            raise _too_large(context.width, context.height)
    except BaseException:
        container.close()
        raise
    return container


def _too_large(columns: int, rows: int) -> FrameTooLarge:
    return FrameTooLarge(columns=columns, rows=rows, megapixels=clip.LARGEST_FRAME_PX // 1_000_000)


def _describe_error(error: BaseException) -> str:
    """What FFmpeg or the system says, without the address, which may hold a password."""
    return str(getattr(error, "strerror", None) or type(error).__name__)[:120]


_ULTRASOUND: Final = "US"


def write_kept_frame(pixels: NDArray[np.uint8], path: Path, modality: str, body_part: str, study: str) -> None:
    """Write *pixels*, (H, W) or (H, W, 3), at *path* as one image of the study with this UID; it names nobody.

    Raises `OSError`.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = UltrasoundImageStorage if modality == _ULTRASOUND else SecondaryCaptureImageStorage
    made.SOPInstanceUID = generate_uid(prefix=None)
    made.StudyInstanceUID = study
    made.SeriesInstanceUID = generate_uid(prefix=None, entropy_srcs=[study, "kept frames"])
    now = datetime.now()
    made.StudyDate = made.ContentDate = now.strftime("%Y%m%d")
    made.StudyTime = made.ContentTime = now.strftime("%H%M%S")
    made.Modality, made.BodyPartExamined = modality, body_part
    made.PatientName = made.PatientID = made.PatientBirthDate = made.PatientSex = ""
    made.AccessionNumber = made.ReferringPhysicianName = made.StudyID = made.Manufacturer = ""
    made.SeriesNumber, made.InstanceNumber = 1, None
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.ConversionType = "DV"  # digitized video (PS3.3 C.8.6.1)
    made.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    made.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = pixels.shape[:2]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    data = np.ascontiguousarray(pixels).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made.save_as(path, enforce_file_format=True)
