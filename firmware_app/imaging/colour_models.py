"""Colour models: find the real one of the samples, and convert stored samples to RGB (PS3.3 C.7.6.3.1.2).

Some headers say YBR for RGB or the reverse, which shows false colours.  So clear pixels decide first (read in the wrong
model, black and grey fall outside the range of colours, or nearly all pixels lose their colour), then the stream (an
Adobe segment, component ids, JFIF, shared chroma), then the header.  YBR_RCT and YBR_ICT exist only within JPEG 2000
streams; the decoder undoes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.codec import codestream

Samples = NDArray[Any]

# Rows give R, G, B; columns take Y, Cb, Cr relative to their zero.  ITU-R BT.601, as in PS3.3 C.7.6.3.1.2.
_KR, _KB = 0.299, 0.114
_KG: Final = 1.0 - _KR - _KB
_FULL: Final = np.array(
    [
        [1.0, 0.0, 2 * (1 - _KR)],
        [1.0, -2 * (1 - _KB) * _KB / _KG, -2 * (1 - _KR) * _KR / _KG],
        [1.0, 2 * (1 - _KB), 0.0],
    ],
    dtype=np.float32,
)
_PARTIAL: Final = _FULL * np.array([255 / 219, 255 / 224, 255 / 224], dtype=np.float32)
_PILLOWS_PX: Final = 50_000


def extract_values(samples: Samples, stored: int, high_bit: int) -> Samples:
    """The *stored* bits up to *high_bit* of every word, without the bits around them (as `grey_scale.StoredWords`)."""
    return np.asarray((samples >> (high_bit + 1 - stored)) & (2**stored - 1))


def ybr_full_to_rgb(samples: Samples, bits: int = 8) -> Samples:
    """YBR_FULL → RGB; for YBR_FULL_422 call `upsample_chroma` first."""
    if bits == 8 and samples.dtype == np.uint8 and samples.ndim == 3:  # five times as fast, the same within a level
        return _convert_with_pillow(samples)
    return _convert(samples, _FULL, 0.0, bits)


def ybr_partial_to_rgb(samples: Samples, bits: int = 8) -> Samples:
    """YBR_PARTIAL_422 and _420, upsampled → RGB: Y from 16 to 235, chroma from 16 to 240 of 255 (studio range)."""
    return _convert(samples, _PARTIAL, 16.0 / 256.0, bits)


def arrange_planes(data: Samples, rows: int, columns: int, planar: int) -> Samples:
    """Flat native samples of one frame → (rows, columns, 3); *planar* is Planar Configuration (PS3.3 C.7.6.3.1.3)."""
    if planar == 1:
        return np.moveaxis(data.reshape(3, rows, columns), 0, -1)
    return data.reshape(rows, columns, 3)


def upsample_chroma(data: Samples, rows: int, columns: int) -> Samples:
    """Flat native YBR_FULL_422 (Y1 Y2 Cb Cr for two pixels of a row) → (rows, columns, 3), chroma repeated.

    PS3.3 C.7.6.3.1.2 asks for rows of even length.  In odd rows, a pair may span two rows.
    """
    quads = data.reshape(-1, 4)
    out = np.empty((len(quads), 2, 3), data.dtype)
    out[..., 0] = quads[:, :2]
    out[..., 1:] = quads[:, np.newaxis, 2:]
    return out.reshape(rows, columns, 3)


def _convert_with_pillow(samples: Samples) -> Samples:
    """Convert a few rows at a time: Pillow copies the input once and the output twice; small copies stay in cache."""
    rows, columns = samples.shape[:2]
    rgb, at_once = np.empty(samples.shape, np.uint8), max(1, _PILLOWS_PX // columns)
    for first in range(0, rows, at_once):
        some = np.ascontiguousarray(samples[first : first + at_once])
        image = Image.frombytes("YCbCr", (columns, len(some)), some.data)
        rgb[first : first + at_once] = np.asarray(image.convert("RGB"))
    return rgb


def _convert(samples: Samples, matrix: NDArray[np.float32], foot: float, bits: int) -> Samples:
    zero = np.array([foot * 2**bits, 2 ** (bits - 1), 2 ** (bits - 1)], dtype=np.float32)
    return _round_to_level(np.asarray((samples.astype(np.float32) - zero) @ matrix.T), samples.dtype, bits)


def _round_to_level(values: NDArray[np.floating[Any]], kind: np.dtype[Any], bits: int) -> Samples:
    return np.asarray(np.rint(np.clip(values, 0, 2**bits - 1)).astype(kind))


ColourModel = Literal["RGB", "YBR_FULL"]

COLOURS_CORRECTED_HINT: Final = "hint.colours_corrected"  # the sentences are in `reading.hints`
COLOURS_UNSURE_HINT: Final = "hint.colours_unsure"

OUT_OF_RANGE_IS_RGB: Final = 0.25
"""Share of pixels outside the range of RGB when read as YBR, from which they are RGB.  Real YBR stays near 0, except
for the ringing of strong compression."""
IN_RANGE: Final = 0.02
NEUTRAL_IS_YBR: Final = 0.5
"""Share of pixels with both chroma samples within `_NEAR_LEVELS` of the middle, from which they are YBR.  In RGB such
pixels have only colours from cyan through grey to red."""
_NEAR_LEVELS: Final = 6.0
_BEYOND_LEVELS: Final = 8.0  # levels outside 0 to 255
_LEAST_SPREAD: Final = 16.0  # of the first sample among the neutral pixels; a flat grey area proves nothing
_SAMPLED_PX: Final = 65536

_RGB_IDS: Final = (b"RGB", b"rgb")
_J2K_SIGNATURE: Final = b"\xff\x4f\xff\x51"
_COD: Final = 0x52


@dataclass(frozen=True, slots=True)
class ColourVerdict:
    """The colour model to decode by, and the code of a hint if it is not simply the header's."""

    model: ColourModel
    hint: str | None = None


def judge_model(
    declared: ColourModel, stream: ColourModel | None, pixels: ColourModel | None, *, unmarked: bool = False
) -> ColourVerdict:
    """The verdict of clear pixels, else of the stream, else of the header; with a hint where the header says RGB of a
    JPEG that is *unmarked*, because nearly every program writes YBR into such a JPEG."""
    if pixels is not None:
        return ColourVerdict(pixels, COLOURS_CORRECTED_HINT if pixels != declared else None)
    if stream is not None:
        return ColourVerdict(stream, COLOURS_UNSURE_HINT if stream != declared else None)
    return ColourVerdict(declared, COLOURS_UNSURE_HINT if unmarked and declared == "RGB" else None)


def model_of_photometric(photometric: str) -> ColourModel:
    """The colour model of the decoded samples, by the header's *photometric* interpretation.

    YBR_RCT and YBR_ICT give RGB: every JPEG 2000 decoder undoes them, and they exist only in such streams.
    """
    return "YBR_FULL" if photometric.startswith(("YBR_FULL", "YBR_PARTIAL")) else "RGB"


def model_of_pixels(samples: NDArray[Any], bits: int = 8) -> ColourModel | None:
    """The only colour model that fits the raw *samples* (H, W, 3), or None where both fit."""
    step = max(1, int((samples.shape[0] * samples.shape[1] / _SAMPLED_PX) ** 0.5))
    by_sample = np.array(samples[::step, ::step].reshape(-1, 3).T, np.float32, order="C")  # each of the three in a row
    sampled = by_sample.T * np.float32(255.0 / (2**bits - 1))
    out_of_range = out_of_range_share(sampled)
    if out_of_range >= OUT_OF_RANGE_IS_RGB:
        return "RGB"
    if out_of_range > IN_RANGE:
        return None
    near = (np.abs(sampled[:, 1] - 128.0) <= _NEAR_LEVELS) & (np.abs(sampled[:, 2] - 128.0) <= _NEAR_LEVELS)
    neutral = sampled[near, 0]
    if len(neutral) < NEUTRAL_IS_YBR * len(sampled):
        return None
    darkest, lightest = np.percentile(neutral, (5, 95))
    return "YBR_FULL" if float(lightest - darkest) >= _LEAST_SPREAD else None


def out_of_range_share(sampled: NDArray[np.float32]) -> float:
    """The share of the pixels (N, 3) that would be outside RGB if they were YBR_FULL."""
    y, blue, red = sampled[:, 0], sampled[:, 1] - 128.0, sampled[:, 2] - 128.0
    outside = np.zeros(len(sampled), np.bool_)
    for level in (y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue):
        outside |= (level < -_BEYOND_LEVELS) | (level > 255.0 + _BEYOND_LEVELS)
    return float(outside.mean())


def model_of_stream(stream: bytes) -> ColourModel | None:
    """The colour model that a JPEG, JPEG-LS or JPEG 2000 *stream* of three components declares for its decoded samples;
    None where it declares none."""
    if stream.startswith(b"\xff\xd8"):
        marks = _read_marks(stream)
        return _model_of_marks(marks) if marks is not None else None
    start = stream.find(_J2K_SIGNATURE, 0, 4096)
    return _model_of_jpeg_2000(stream, start) if start >= 0 else None


def is_unmarked_jpeg(stream: bytes) -> bool:
    """Whether *stream* is a lossy JPEG that does not declare its colour model."""
    marks = _read_marks(stream) if stream.startswith(b"\xff\xd8") else None
    return marks is not None and not marks.lossless and _model_of_marks(marks) is None


class _ColourMarks(NamedTuple):
    """The colour marks of a JPEG: the transform of its *adobe* segment (None: no segment), whether it is a *jfif*, and
    its components."""

    adobe: int | None
    jfif: bool
    ids: bytes
    shared: bool
    lossless: bool


def _read_marks(stream: bytes) -> _ColourMarks | None:
    """The marks in the segments up to the first scan: a decoder accepts Adobe's after the frame header too."""
    adobe, jfif, kind, frame = None, False, 0, b""
    for marker, at in codestream.iterate_segments(stream):
        body = stream[at + 4 : at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")]
        if marker == codestream.START_OF_SCAN:
            break
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker in codestream.FRAME_HEADERS and not kind:
            kind, frame = marker, body
    if not kind:
        return None
    shared = len(set(frame[7::3][:3])) > 1  # sampling factors that differ
    return _ColourMarks(adobe, jfif, frame[6::3][:3], shared, kind in codestream.WITHOUT_LOSS)


def _model_of_marks(marks: _ColourMarks) -> ColourModel | None:
    """The model by libjpeg's rules, except that Adobe's segment and the ids come before JFIF.

    Some libraries write JFIF before any stream; in a lossless stream it is ignored.  Subsampled components are chroma.
    """
    if marks.adobe in (0, 1):
        return "YBR_FULL" if marks.adobe else "RGB"
    if marks.ids in _RGB_IDS:
        return "RGB"
    return "YBR_FULL" if (marks.jfif or marks.shared) and not marks.lossless else None


def _model_of_jpeg_2000(stream: bytes, start: int) -> ColourModel | None:
    """RGB where the stream's component transform is on (ISO/IEC 15444-1 A.6.1): the decoder undoes it."""
    segments = codestream.iterate_header_segments(stream, start)
    coding = next((content for marker, content in segments if marker == _COD), b"")
    return "RGB" if coding[4:5] == b"\1" else None
