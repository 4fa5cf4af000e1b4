"""How large an image may be, and which exceptions decoders raise on broken bytes; for DICOM files and pictures."""

from __future__ import annotations

import struct
import zlib
from typing import Final

LONGEST_SIDE_PX: Final = 32_768
MOST_FRAMES: Final = 100_000

DECODING_ERRORS: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    RecursionError,
    ArithmeticError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    OSError,
    MemoryError,
    AssertionError,
    SyntaxError,  # Pillow's, of a TIFF whose pages it cannot follow
    zlib.error,
)
