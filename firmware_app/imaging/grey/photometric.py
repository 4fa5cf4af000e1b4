"""The real colour model of the samples.  Some headers say YBR for RGB or the reverse, which shows false colours.

Three sources are compared:

1. The pixels.  Read in the wrong model, black and grey fall outside the range of colours, or nearly all pixels lose
   their colour.  Where this is clear, the pixels decide.
2. The stream: an Adobe segment, the component ids R G B, JFIF or shared chroma (ISO/IEC 10918-1, 10918-5, 10918-6).
3. The header, which decides where the other two say nothing.

If stream and header disagree and the pixels do not decide, the doctor gets a hint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.jpeg import codestream

Model = Literal["RGB", "YBR_FULL"]

CORRECTED: Final = "hint.colours_corrected"  # the sentences are in `reading.hints`
UNSURE: Final = "hint.colours_unsure"

OUT_OF_RANGE_IS_RGB: Final = 0.25
"""Share of pixels outside the range of RGB when read as YBR, from which they are RGB.  Real YBR stays near 0, except
for the ringing of strong compression."""
IN_RANGE: Final = 0.02
NEUTRAL_IS_YBR: Final = 0.5
"""Share of pixels with both chroma samples within `_NEAR` of the middle, from which they are YBR.  In RGB such pixels
have only colours from cyan through grey to red."""
_NEAR: Final = 6.0
_BEYOND: Final = 8.0  # levels outside 0 to 255
_LEAST_SPREAD: Final = 16.0  # of the first sample among the neutral pixels; a flat grey area proves nothing
_SAMPLED_PX: Final = 65536

_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_START_OF_SCAN: Final = 0xDA
_LOSSLESS: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF, 0xF7})
_RGB_IDS: Final = (b"RGB", b"rgb")
_J2K_SIGNATURE: Final = b"\xff\x4f\xff\x51"
_COD: Final = 0xFF52


@dataclass(frozen=True, slots=True)
class ColourVerdict:
    """The colour model to decode by, and the code of a hint if it is not simply the header's."""

    model: Model
    hint: str | None = None


def judged(declared: Model, stream: Model | None, pixels: Model | None, *, unmarked: bool = False) -> ColourVerdict:
    """The verdict of clear pixels, else of the stream, else of the header; with a hint where the header says RGB of a
    JPEG that is *unmarked*, because nearly every program writes YBR into such a JPEG."""
    if pixels is not None:
        return ColourVerdict(pixels, CORRECTED if pixels != declared else None)
    if stream is not None:
        return ColourVerdict(stream, UNSURE if stream != declared else None)
    return ColourVerdict(declared, UNSURE if unmarked and declared == "RGB" else None)


def declared(photometric: str) -> Model:
    """The colour model of the decoded samples, by the header's *photometric* interpretation.

    YBR_RCT and YBR_ICT give RGB: every JPEG 2000 decoder undoes them, and they exist only in such streams.
    """
    return "YBR_FULL" if photometric.startswith(("YBR_FULL", "YBR_PARTIAL")) else "RGB"


def of_pixels(samples: NDArray[Any], bits: int = 8) -> Model | None:
    """The only colour model that fits the raw *samples* (H, W, 3), or None where both fit."""
    step = max(1, int((samples.shape[0] * samples.shape[1] / _SAMPLED_PX) ** 0.5))
    by_sample = np.array(samples[::step, ::step].reshape(-1, 3).T, np.float32, order="C")  # each of the three in a row
    sampled = by_sample.T * np.float32(255.0 / (2**bits - 1))
    out_of_range = beyond(sampled)
    if out_of_range >= OUT_OF_RANGE_IS_RGB:
        return "RGB"
    if out_of_range > IN_RANGE:
        return None
    near = (np.abs(sampled[:, 1] - 128.0) <= _NEAR) & (np.abs(sampled[:, 2] - 128.0) <= _NEAR)
    neutral = sampled[near, 0]
    if len(neutral) < NEUTRAL_IS_YBR * len(sampled):
        return None
    darkest, lightest = np.percentile(neutral, (5, 95))
    return "YBR_FULL" if float(lightest - darkest) >= _LEAST_SPREAD else None


def beyond(sampled: NDArray[np.float32]) -> float:
    """The share of the pixels (N, 3) that would be outside RGB if they were YBR_FULL."""
    y, blue, red = sampled[:, 0], sampled[:, 1] - 128.0, sampled[:, 2] - 128.0
    outside = np.zeros(len(sampled), np.bool_)
    for level in (y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue):
        outside |= (level < -_BEYOND) | (level > 255.0 + _BEYOND)
    return float(outside.mean())


def of_stream(stream: bytes) -> Model | None:
    """The colour model that a JPEG, JPEG-LS or JPEG 2000 *stream* of three components declares for its decoded samples;
    None where it declares none."""
    if stream.startswith(b"\xff\xd8"):
        marks = _marks(stream)
        return _by_markers(marks) if marks is not None else None
    start = stream.find(_J2K_SIGNATURE, 0, 4096)
    return _of_jpeg_2000(stream, start) if start >= 0 else None


def is_unmarked(stream: bytes) -> bool:
    """Whether *stream* is a lossy JPEG that does not declare its colour model."""
    marks = _marks(stream) if stream.startswith(b"\xff\xd8") else None
    return marks is not None and not marks.lossless and _by_markers(marks) is None


class _Marks(NamedTuple):
    """The colour marks of a JPEG: the transform of its *adobe* segment (None: no segment), whether it is a *jfif*, and
    its components."""

    adobe: int | None
    jfif: bool
    ids: bytes
    shared: bool
    lossless: bool


def _marks(stream: bytes) -> _Marks | None:
    """The marks in the segments up to the first scan: a decoder accepts Adobe's after the frame header too."""
    adobe, jfif, kind, frame = None, False, 0, b""
    for marker, at in codestream.segments_of(stream):
        body = stream[at + 4 : at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")]
        if marker == _START_OF_SCAN:
            break
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker in _SOF and not kind:
            kind, frame = marker, body
    if not kind:
        return None
    shared = len(set(frame[7::3][:3])) > 1  # sampling factors that differ
    return _Marks(adobe, jfif, frame[6::3][:3], shared, kind in _LOSSLESS)


def _by_markers(marks: _Marks) -> Model | None:
    """The model by libjpeg's rules, except that Adobe's segment and the ids come before JFIF, because some libraries
    write JFIF before any stream.  In a lossless stream JFIF is ignored: such streams are not transformed.

    Subsampled components are chroma: no encoder subsamples green and blue.
    """
    if marks.adobe in (0, 1):
        return "YBR_FULL" if marks.adobe else "RGB"
    if marks.ids in _RGB_IDS:
        return "RGB"
    return "YBR_FULL" if (marks.jfif or marks.shared) and not marks.lossless else None


def _of_jpeg_2000(stream: bytes, start: int) -> Model | None:
    """RGB where the stream's component transform is on (ISO/IEC 15444-1 A.6.1): the decoder undoes it."""
    at = start + 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != 0x90:
        if int.from_bytes(stream[at : at + 2], "big") == _COD:
            return "RGB" if len(stream) > at + 8 and stream[at + 8] == 1 else None
        at += 2 + max(2, int.from_bytes(stream[at + 2 : at + 4], "big"))
    return None
