"""Decode a plain JPEG 2000 or High-Throughput JPEG 2000 code stream on several cores, through imagecodecs' OpenJPEG.

Other streams are left to pydicom (`stored_frames`), which uses one core: JP2 files, components of different sizes or
depths (imagecodecs would convert them to RGB), and streams without an end marker.
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from imagecodecs import jpeg2k_decode
from numpy.typing import NDArray

from firmware_app.imaging.codec import codestream
from firmware_app.imaging.dicom_source import PixelSource

_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
# ISO/IEC 15444-1 A.5.1: Csiz, and then Ssiz, XRsiz and YRsiz of each component.
_CSIZ, _COMPONENTS = 40, 42
_EVERY_PIXEL: Final = b"\x01\x01"
_MODELS: Final = {
    1: ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"),
    3: ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
}
_MOST_CORES: Final = 4
"""Each thread takes 8 MB of address space for its stack, and a decode child has only a few hundred MB."""


def is_plain(source: PixelSource, stream: bytes) -> bool:
    """Whether *stream* is a complete bare code stream with one component per sample of *source*, all of one format."""
    components = {stream[at : at + 3] for at in range(_COMPONENTS, _COMPONENTS + 3 * source.samples, 3)}
    return (
        stream.startswith(_SOC_SIZ)
        and int.from_bytes(stream[_CSIZ:_COMPONENTS], "big") == source.samples
        and len(components) == 1
        and components.pop()[1:] == _EVERY_PIXEL
        and source.photometric in _MODELS[source.samples]
        and codestream.has_end_marker(stream)
    )


def decode_plain(stream: bytes) -> NDArray[Any]:
    """(H, W) or (H, W, 3) of the plain *stream*, signed as it says; raises `RuntimeError` where it is broken."""
    decoded = np.asarray(jpeg2k_decode(stream, numthreads=min(len(os.sched_getaffinity(0)), _MOST_CORES)))
    return decoded.view(f"{'i' if stream[_COMPONENTS] & 0x80 else 'u'}{decoded.itemsize}")
