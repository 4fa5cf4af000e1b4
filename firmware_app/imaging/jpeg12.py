"""JPEG Extended with 12 bits a sample (PS3.5 8.2.1, process 4), which pydicom gives to none of its decoders.

gdcm decodes it right when it is told the precision of the stream, 12 bits, and not the fewer bits that the object says
are stored: a lossy value may lie just above those, and would come back wrapped around as its opposite.
"""

from __future__ import annotations

from typing import Any, Final

import gdcm
import numpy as np
from numpy.typing import NDArray

_PRECISION: Final = 12


def is_12_bit(stream: bytes) -> bool:
    """Whether the *stream*'s frame header (ISO/IEC 10918-1 B.2.2) says 12 bits a sample in process 4."""
    at = stream.find(b"\xff\xc1", 0, 65536)
    return 0 <= at < len(stream) - 5 and stream[at + 4] == _PRECISION


def decode(stream: bytes, rows: int, columns: int, signed: bool) -> NDArray[np.generic]:
    """One grey frame (rows, columns), 16 bits; raises `ValueError` when gdcm cannot."""
    image: Any = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(_pixel_data(stream))
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, _PRECISION, _PRECISION - 1, int(signed)))
    buffer = image.GetBuffer()
    data = buffer.encode("utf-8", "surrogateescape") if isinstance(buffer, str) else b""
    if len(data) != rows * columns * 2:
        raise ValueError("gdcm gave no frame")
    return np.frombuffer(data, "<i2" if signed else "<u2").reshape(rows, columns)


def _pixel_data(stream: bytes) -> Any:
    fragment: Any = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments: Any = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element: Any = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element
