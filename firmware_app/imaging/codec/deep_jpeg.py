"""Decoders that most decode children never need: lossless JPEG, JPEG of 12 bits, and JPEG 2000.

This module loads their libraries, so it is imported when such a frame arrives.

Lossless JPEG and JPEG of 12 bits go through libjpeg-turbo: the stored samples, without colour conversion.  It supports
every predictor, point transform, restart interval and precision of ISO/IEC 10918-1 H, and reports a broken stream as an
error instead of aborting.  Timings: docs/decisions/pixels.md.

JPEG 2000 and High-Throughput JPEG 2000 go through OpenJPEG: the samples of a plain code stream, on several cores.
Other streams are left to pydicom (`stored_frames`), which brings its own OpenJPEG and uses one core: JP2 files,
components of different sizes or depths (imagecodecs would convert them to RGB), and streams without an end marker
(pydicom's version accepts more of them as complete).
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from imagecodecs import jpeg2k_decode, jpeg8_decode
from numpy.typing import NDArray

from firmware_app.core import process
from firmware_app.imaging.codec import codestream, jpeg
from firmware_app.imaging.dicom_source import PixelSource
from firmware_app.imaging.errors import PixelsUnsupported

_UNCONVERTED: Final = {1: "GRAYSCALE", 3: "RGB"}
"""By samples: the colour space that libjpeg does not convert."""


def decode_deep_jpeg(stream: bytes, samples: int, allocated: int) -> NDArray[np.generic]:
    """(H, W) or (H, W, 3), unsigned, of *allocated* bits.

    Raises `ValueError` or `RuntimeError` for a *stream* that is broken, has more bits or another number of *samples*,
    and `Undecodable` for one that lost coded data.
    """
    depth = codestream.read_depth(stream)
    if depth is None or depth.samples != samples or not 2 <= depth.bits <= allocated <= 16:
        raise ValueError("other samples than the header says")
    jpeg.check_lost_data(stream)
    space = _UNCONVERTED[samples]
    pixels: NDArray[Any] = jpeg8_decode(stream, colorspace=space, outcolorspace=space)
    return pixels.astype(f"<u{allocated // 8}", copy=False)


_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
# ISO/IEC 15444-1 A.5.1: Csiz, and then Ssiz, XRsiz and YRsiz of each component.
_CSIZ: Final = 40
_COMPONENTS: Final = 42
_EVERY_PIXEL: Final = b"\x01\x01"
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_MODELS: Final = {1: (*_GREY, "PALETTE COLOR"), 3: ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")}
_MOST_CORES: Final = 4
"""Each thread takes 8 MB of address space for its stack, and a decode child has only a few hundred MB."""


def is_plain_jpeg2000(source: PixelSource, stream: bytes) -> bool:
    """Whether *stream* is a complete bare code stream with one component per sample of *source*, all of one format."""
    end = _COMPONENTS + 3 * source.samples
    components = {stream[at : at + 3] for at in range(_COMPONENTS, end, 3)}
    return (
        stream.startswith(_SOC_SIZ)
        and int.from_bytes(stream[_CSIZ:_COMPONENTS], "big") == source.samples
        and len(components) == 1
        and components.pop()[1:] == _EVERY_PIXEL
        and source.photometric in _MODELS[source.samples]
        and source.allocated % 8 == 0
        and codestream.has_end_marker(stream)
    )


def check_jpeg2000_depth(source: PixelSource, stream: bytes) -> None:
    """Raise `PixelsUnsupported` where a sample of *stream*, plain or in a JP2 file, has more bits than a word of
    *source*: the highest bits would be cut off, which gives wrong greys."""
    start = stream.find(_SOC_SIZ)
    count = int.from_bytes(stream[start + _CSIZ : start + _COMPONENTS], "big") if start >= 0 else 0
    depths = stream[start + _COMPONENTS : start + _COMPONENTS + 3 * count : 3]
    bits = max(((depth & 0x7F) + 1 for depth in depths), default=0)
    if bits > source.allocated:
        raise PixelsUnsupported(detail=f"a stream of {bits} bits, and {source.allocated} bits in a word")


def decode_jpeg2000(stream: bytes) -> NDArray[Any]:
    """(H, W) or (H, W, 3) of the plain *stream*, signed as it says; raises `RuntimeError` where it is broken."""
    decoded = _decode_on_cores(stream)
    return decoded.view(f"{'i' if stream[_COMPONENTS] & 0x80 else 'u'}{decoded.itemsize}")


def _decode_on_cores(stream: bytes) -> NDArray[Any]:
    cores, peak = min(len(os.sched_getaffinity(0)), _MOST_CORES), process.peak_bytes()
    try:
        return np.asarray(jpeg2k_decode(stream, numthreads=cores))
    except RuntimeError:  # broken, or no memory for the threads' stacks: then one thread may still work
        near = process.available_bytes() < process.NEAR_BYTES or process.came_near_memory_limit(peak)
        if cores == 1 or not near:
            raise
    return np.asarray(jpeg2k_decode(stream, numthreads=1))
