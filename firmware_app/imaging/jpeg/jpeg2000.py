"""JPEG 2000 and High-Throughput JPEG 2000 through OpenJPEG: the samples of a plain code stream, on several cores.

Other streams are left to pydicom (`stored`), which brings its own OpenJPEG and uses one core: JP2 files, components of
different sizes or depths (imagecodecs would convert them to RGB), and streams without an end marker (pydicom's version
accepts more of them as complete).
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from imagecodecs import jpeg2k_decode
from numpy.typing import NDArray

from firmware_app.core import address_space
from firmware_app.core.errors import PixelsUnsupported
from firmware_app.imaging.jpeg import codestream
from firmware_app.imaging.source import PixelSource

_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
# ISO/IEC 15444-1 A.5.1: Csiz, and then Ssiz, XRsiz and YRsiz of each component.
_CSIZ: Final = 40
_COMPONENTS: Final = 42
_EVERY_PIXEL: Final = b"\x01\x01"
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_MODELS: Final = {1: (*_GREY, "PALETTE COLOR"), 3: ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")}
_MOST_CORES: Final = 4
"""Each thread takes 8 MB of address space for its stack, and a decode child has only a few hundred MB."""


def is_plain(source: PixelSource, stream: bytes) -> bool:
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
        and codestream.end_is_marked(stream)
    )


def check_depth(source: PixelSource, stream: bytes) -> None:
    """Raise `PixelsUnsupported` where a sample of *stream*, plain or in a JP2 file, has more bits than a word of
    *source*: the highest bits would be cut off, which gives wrong greys."""
    start = stream.find(_SOC_SIZ)
    count = int.from_bytes(stream[start + _CSIZ : start + _COMPONENTS], "big") if start >= 0 else 0
    depths = stream[start + _COMPONENTS : start + _COMPONENTS + 3 * count : 3]
    bits = max(((depth & 0x7F) + 1 for depth in depths), default=0)
    if bits > source.allocated:
        raise PixelsUnsupported(detail=f"a stream of {bits} bits, and {source.allocated} bits in a word")


def samples(stream: bytes) -> NDArray[Any]:
    """(H, W) or (H, W, 3) of the plain *stream*, signed as it says; raises `RuntimeError` where it is broken."""
    decoded = _decoded(stream)
    return decoded.view(f"{'i' if stream[_COMPONENTS] & 0x80 else 'u'}{decoded.itemsize}")


def _decoded(stream: bytes) -> NDArray[Any]:
    cores, peak = min(len(os.sched_getaffinity(0)), _MOST_CORES), address_space.peak()
    try:
        return np.asarray(jpeg2k_decode(stream, numthreads=cores))
    except RuntimeError:  # broken, or no memory for the threads' stacks: then one thread may still work
        near = address_space.room() < address_space.NEAR_BYTES or address_space.came_near_the_limit(peak)
        if cores == 1 or not near:
            raise
    return np.asarray(jpeg2k_decode(stream, numthreads=1))
