"""Clips made by code: a bright bar that walks over a ramp, so that every frame tells its number."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np

from tests import peers

ROWS, COLUMNS = 48, 64


def draw_frame(number: int) -> np.ndarray[Any, Any]:
    """(ROWS, COLUMNS, 3) uint8 of frame *number*: grey, so that no colour conversion can hide a mistake."""
    frame = np.tile(np.linspace(30, 120, COLUMNS), (ROWS, 1))
    frame[:, number % 8 * 8 : number % 8 * 8 + 8] = 220
    frame[number // 8 % 6 * 8 : number // 8 % 6 * 8 + 8] += 30
    return np.repeat(frame.astype(np.uint8)[..., np.newaxis], 3, axis=2)


def encode_clip(codec: str, container: str, frames: int, times: int = 1, /, **options: str) -> bytes:
    """A clip of *frames* frames by FFmpeg's encoder *codec* in *container* (``mp4``, ``avi``, ``h264`` …).

    Each is so many *times* as high and as wide as `draw_frame`.
    """
    try:
        import av
    except ImportError:
        peers.skip_or_fail("needs PyAV (extra video)")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as clip:
        stream: Any = clip.add_stream(codec, rate=Fraction(25), options=options)
        stream.width, stream.height = COLUMNS * times, ROWS * times
        stream.pix_fmt = {"mjpeg": "yuvj420p", "rawvideo": "bgr24"}.get(codec, "yuv420p")
        stream.thread_count, stream.bit_rate = 1, 4_000_000
        for number in range(frames):
            large = draw_frame(number).repeat(times, axis=0).repeat(times, axis=1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(large, format="rgb24")):
                clip.mux(packet)
        for packet in stream.encode(None):
            clip.mux(packet)
    return file.getvalue()
