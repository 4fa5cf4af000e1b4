"""Video: MP4, AVI and MPEG files, and bit streams in DICOM objects, through PyAV (extra `video`).

The packets are counted first, which shows whether the clip is complete.  Then one frame is decoded at a time, so memory
does not grow with the length of the clip.  A frame that the decoder had to guess is an error.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import ImagingError, Undecodable
from firmware_app.imaging import ultrasound_regions
from firmware_app.imaging.errors import CLIP_WITHOUT_PICTURES, VIDEO_READER_MISSING, FrameTooLarge, PixelsUnsupported
from firmware_app.imaging.image_limits import DECODING_ERRORS, MOST_FRAMES
from firmware_app.imaging.picture import HeaderlessImage
from firmware_app.imaging.pixel_size import SQUARE, pixel_aspect

LARGEST_FRAME_PX: Final = 16 * 1024 * 1024
"""Twice a 4K frame: an ultrasound machine records what its screen shows."""
_PROGRAM_STREAM: Final = "mpeg"
FILE_FORMATS: Final = ("mov", "avi", _PROGRAM_STREAM)
BIT_STREAMS: Final = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "mov")
"""The containers that PS3.5 8.2.5 to 8.2.11 allow for a video in a DICOM object, and bare bit streams."""
_SEEKABLE: Final = ("mov", "avi")
# The codecs that cameras and ultrasound machines use in MP4 and AVI; no other decoder of FFmpeg is ever used.
_CODECS: Final = (
    "mpeg1video,mpeg2video,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,h263,h264,hevc,wmv1,wmv2,mjpeg,rawvideo,msvideo1,msrle,"
    "cinepak,huffyuv,ffvhuff,ffv1,png,vp8,vp9"
)
_GREYS: Final = ("gray", "gray9le", "gray10le", "gray12le", "gray14le", "gray16le")
_PACK: Final = b"\0\0\1\xba"
_LONE_PTS: Final = -(1 << 62)


def is_clip(head: bytes) -> bool:
    """Whether *head*, 12 bytes, begins an MP4 (ISO/IEC 14496-12 4.3), AVI or MPEG file (ISO/IEC 13818-1 2.5.3)."""
    return head[4:8] == b"ftyp" or (head.startswith(b"RIFF") and head[8:12] == b"AVI ") or head.startswith(_PACK)


class Track:
    """The first video track of *file*, which must be one of *formats* (FFmpeg's names)."""

    def __init__(self, file: Any, formats: tuple[str, ...]) -> None:
        self._file, self._formats = file, formats
        self._container: Any = None
        self._decoded: Iterator[Any] = iter(())
        self._at = 0  # the index of the next frame
        self._stamps = array("q")  # presentation times, ascending; empty where the packets have none
        self._keys = array("L")  # key frames: they can be decoded without earlier frames
        self._key_stamps = array("q")  # the time to seek to for each key frame
        self._format = ""
        self._shape: tuple[int, ...] = ()  # of the first decoded frame, upright
        self.frames = 0
        self._on_its_side = False
        self._open()
        try:
            self._index()
        except ImagingError:
            self.close()
            raise
        except (*DECODING_ERRORS, pyav_error()):
            self.close()
            raise Undecodable(detail="the clip is broken") from None

    @property
    def rows(self) -> int:
        return int(self._stream.codec_context.height)

    @property
    def columns(self) -> int:
        return int(self._stream.codec_context.width)

    @property
    def aspect(self) -> float:
        """The height of a pixel over its width, of frames as they were decoded last: upright."""
        ratio = self._stream.sample_aspect_ratio  # width to height, None or 0 where the file does not say it
        if not ratio:
            return SQUARE
        return pixel_aspect((float(ratio), 1.0) if self._on_its_side else (1.0, float(ratio)))

    @property
    def frames_per_second(self) -> float | None:
        """The mean frame rate in the file; None where it has none or an impossible one."""
        rate = self._stream.average_rate
        return ultrasound_regions.plausible_rate([float(rate)]) if rate else None

    def close(self) -> None:
        if self._container is not None:
            self._decoded = iter(())
            self._container.close()
            self._container = None

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame *index*, (H, W) or (H, W, 3) uint8; raises `Undecodable`."""
        if not 0 <= index < self.frames:
            raise Undecodable(detail=f"there is no frame {index}")
        try:
            return self._frame_at(index, seeking=self._seeks)
        except (*DECODING_ERRORS, pyav_error(), Undecodable):
            if not self._seeks:
                self._at = self.frames  # the decoder's position is no longer known
                raise Undecodable(detail=f"frame {index} of the clip is broken") from None
        try:  # frames after a key frame may need earlier ones: decode again from the beginning
            self._restart()
            return self._frame_at(index, seeking=False)
        except (*DECODING_ERRORS, pyav_error()):
            self._at = self.frames
            raise Undecodable(detail=f"frame {index} of the clip is broken") from None

    @property
    def _stream(self) -> Any:
        return self._container.streams.video[0]

    @property
    def _seeks(self) -> bool:
        return bool(self._stamps) and self._format.startswith(_SEEKABLE)

    def _open(self) -> None:
        av = load_pyav()
        self._file.seek(0)
        whitelist = {"format_whitelist": ",".join(self._formats), "codec_whitelist": _CODECS}
        try:
            self._container = av.open(
                self._file, container_options={**whitelist, "ignore_editlist": "1"}, metadata_errors="replace"
            )
            self._format = str(self._container.format.name)
            if not self._container.streams.video:
                raise CLIP_WITHOUT_PICTURES()
            context = self._stream.codec_context
            if context is None or not context.codec.name:
                raise PixelsUnsupported(detail="the clip is compressed in a way this box does not know")
            if context.name not in _CODECS.split(","):
                raise PixelsUnsupported(detail=f"a clip compressed as {context.name}")
            context.thread_type, context.thread_count = "NONE", 1
            context.options = {"err_detect": "explode", "ec": "0", "max_pixels": str(LARGEST_FRAME_PX)}
        except (*DECODING_ERRORS, pyav_error()):
            raise Undecodable(detail="the clip is broken") from None
        if self.rows * self.columns > LARGEST_FRAME_PX:
            raise FrameTooLarge(columns=self.columns, rows=self.rows, megapixels=LARGEST_FRAME_PX // 1_000_000)
        if self.rows <= 0 or self.columns <= 0:
            raise Undecodable(detail="the clip does not say how large its frames are")

    def _index(self) -> None:
        """Count the packets and note the key frames; nothing is decoded."""
        shown, keys = array("q"), []
        for packet in self._container.demux(self._stream):
            if not packet.size:
                continue
            if packet.is_corrupt:
                raise Undecodable(detail=f"the clip is cut short in frame {self.frames}")
            self.frames += 1
            if self.frames > MOST_FRAMES:
                raise PixelsUnsupported(detail=f"more than {MOST_FRAMES} frames")
            shown.append(_LONE_PTS if packet.pts is None else packet.pts)
            if packet.is_keyframe and packet.pts is not None and packet.dts is not None:
                keys.append((packet.pts, packet.dts))
        if not self.frames:
            raise CLIP_WITHOUT_PICTURES()
        promised = int(self._stream.frames)
        if self.frames < promised:
            raise Undecodable(detail=f"the clip promises {promised} frames, {self.frames} are there")
        ordered = sorted(shown)
        if ordered[0] != _LONE_PTS and all(one < other for one, other in pairwise(ordered)):
            self._stamps = array("q", ordered)
            for pts, dts in sorted(keys):
                self._keys.append(bisect_left(self._stamps, pts))
                self._key_stamps.append(dts)
        if (
            self._format == _PROGRAM_STREAM and self._formats == FILE_FORMATS
        ):  # in DICOM the header says how many frames
            _check_times(ordered)
        self._restart()

    def _restart(self) -> None:
        self.close()
        self._open()
        self._decoded, self._at = self._container.decode(self._stream), 0

    def _frame_at(self, index: int, *, seeking: bool) -> NDArray[np.uint8]:
        key = bisect_right(self._keys, index) - 1
        if seeking and key >= 0 and not self._keys[key] <= self._at <= index:
            self._container.seek(self._key_stamps[key], stream=self._stream, backward=True)
            self._decoded, self._at = self._container.decode(self._stream), self._keys[key]
        elif index < self._at:
            self._restart()
        for frame in self._decoded:
            if self._seeks and frame.pts is not None:
                self._at = bisect_left(self._stamps, frame.pts)
            if self._at > index:
                break
            self._at += 1
            if self._at > index:
                return self._pixels(frame, index)
        raise Undecodable(detail=f"frame {index} of the clip is missing")

    def _pixels(self, frame: Any, index: int) -> NDArray[np.uint8]:
        if frame.is_corrupt:
            raise Undecodable(detail=f"frame {index} of the clip is broken")
        if (frame.height, frame.width) != (self.rows, self.columns):
            raise Undecodable(detail=f"frame {index} of the clip is {frame.width} × {frame.height} pixels")
        upright = upright_pixels(frame)
        self._on_its_side = int(frame.rotation) // 90 % 2 == 1
        self._shape = self._shape or upright.shape[:2]
        if upright.shape[:2] != self._shape:  # a broken stream can change the frame size midway
            raise Undecodable(detail=f"frame {index} of the clip has another size than others")
        return upright


class Clip(HeaderlessImage):
    """An opened clip (an `ImageFile`)."""

    def __init__(self, track: Track) -> None:
        super().__init__()
        self.track = track

    @property
    def frames(self) -> int:
        return self.track.frames

    def frame_pixels(self, index: int) -> NDArray[np.generic]:
        return self.track.frame(index)

    def aspect(self, index: int) -> float:
        """Of the clip's sample aspect ratio."""
        self._pixels(index)
        return self.track.aspect


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """Open the clip at *path*; raises `VIDEO_READER_MISSING`, `FrameTooLarge` or `Undecodable`."""
    file: BinaryIO
    with path.open("rb") as file:
        track = Track(file, FILE_FORMATS)
        try:
            yield Clip(track)
        finally:
            track.close()


def upright_pixels(frame: Any) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) uint8 of a decoded frame of PyAV, upright."""
    made: NDArray[np.uint8] = frame.to_ndarray(format="gray" if frame.format.name in _GREYS else "rgb24")
    turns = int(frame.rotation) // 90 % 4  # a phone stores its orientation beside the frames
    return np.ascontiguousarray(np.rot90(made, turns)) if turns else made


def _check_times(shown: Sequence[int]) -> None:
    """Refuse a program stream with a lost frame: it has no frame count, but a lost frame leaves a gap in time.

    *shown* are the presentation times, ascending.  A gap alone is not a loss: where several frames share a pack, FFmpeg
    guesses all times but one, and a frame placed too late is followed by two close together.  Gaps of up to one and a
    half frames come from converting film to television rates.
    """
    if shown[0] == _LONE_PTS and len(shown) > 1:
        raise Undecodable(detail="the clip does not say when each of its frames is shown")
    gaps = [other - one for one, other in pairwise(shown)]
    if not gaps or max(gaps) < 2 * min(gaps):
        return
    middle = sorted(gaps)[len(gaps) // 2]
    even = [gap for gap in gaps if 0.6 * middle < gap < 1.6 * middle]
    if not even or round(sum(gaps) * len(even) / sum(even)) > len(gaps):
        raise Undecodable(detail="frames of the clip are missing")


def load_pyav() -> Any:
    """PyAV, imported only when a clip arrives: it takes 50 MB, and most boxes never receive one."""
    try:
        import av
    except ImportError:
        raise VIDEO_READER_MISSING() from None
    return av


def pyav_error() -> type[Exception]:
    return load_pyav().error.FFmpegError  # type: ignore[no-any-return]
