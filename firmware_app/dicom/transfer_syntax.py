"""The transfer syntaxes of PS3.6 Table A-1 that the box takes, and how each encodes a data set (PS3.5 10).

Refused are those that deflate a whole data set (1 MB sent can become 2 GB in memory), and those whose pixels are not in
the object (JPIP, SMPTE ST 2110): what is acknowledged must be on the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_app.dicom.errors import TRANSFER_SYNTAX_REFUSED

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How one transfer syntax encodes bytes; `video`: many frames in one fragment (PS3.5 8.2.5–8.2.9)."""

    uid: str
    name: str
    explicit: bool = True
    big_endian: bool = False
    video: bool = False


def _video(number: str, name: str) -> TransferSyntax:
    return TransferSyntax(f"1.2.840.10008.1.2.4.{number}", name, video=True)


ACCEPTED_SYNTAXES: Final = {
    syntax.uid: syntax
    for syntax in (
        TransferSyntax(IMPLICIT_LITTLE, "Implicit VR Little Endian", explicit=False),
        TransferSyntax(EXPLICIT_LITTLE, "Explicit VR Little Endian"),
        TransferSyntax(EXPLICIT_BIG, "Explicit VR Big Endian", big_endian=True),
        TransferSyntax("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian"),
        TransferSyntax("1.2.840.10008.1.2.4.50", "JPEG Baseline"),
        TransferSyntax("1.2.840.10008.1.2.4.51", "JPEG Extended"),
        TransferSyntax("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection (retired)"),
        TransferSyntax("1.2.840.10008.1.2.4.55", "JPEG Full Progression (retired)"),
        TransferSyntax("1.2.840.10008.1.2.4.57", "JPEG Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.70", "JPEG Lossless SV1"),
        TransferSyntax("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.81", "JPEG-LS Near-Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.91", "JPEG 2000"),
        TransferSyntax("1.2.840.10008.1.2.4.92", "JPEG 2000 Multi-component Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.93", "JPEG 2000 Multi-component"),
        TransferSyntax("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression"),
        TransferSyntax("1.2.840.10008.1.2.4.112", "JPEG XL"),
        TransferSyntax("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 RPCL Lossless"),
        TransferSyntax("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000"),
        TransferSyntax("1.2.840.10008.1.2.5", "RLE Lossless"),
        TransferSyntax("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression"),
        _video("100", "MPEG2 Main Profile / Main Level"),
        _video("100.1", "Fragmentable MPEG2 Main Profile / Main Level"),
        _video("101", "MPEG2 Main Profile / High Level"),
        _video("101.1", "Fragmentable MPEG2 Main Profile / High Level"),
        _video("102", "MPEG-4 AVC/H.264 High Profile"),
        _video("102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile"),
        _video("103", "MPEG-4 AVC/H.264 BD-compatible High Profile"),
        _video("103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile"),
        _video("104", "MPEG-4 AVC/H.264 High Profile for 2D Video"),
        _video("104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile for 2D Video"),
        _video("105", "MPEG-4 AVC/H.264 High Profile for 3D Video"),
        _video("105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile for 3D Video"),
        _video("106", "MPEG-4 AVC/H.264 Stereo High Profile"),
        _video("106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile"),
        _video("107", "HEVC/H.265 Main Profile"),
        _video("108", "HEVC/H.265 Main 10 Profile"),
    )
}

_REFUSED_NAMES: Final = {
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.94": "JPIP Referenced",
    "1.2.840.10008.1.2.4.95": "JPIP Referenced Deflate",
    "1.2.840.10008.1.2.4.204": "JPIP HTJ2K Referenced",
    "1.2.840.10008.1.2.4.205": "JPIP HTJ2K Referenced Deflate",
}


def find_transfer_syntax(uid: str) -> TransferSyntax:
    """The transfer syntax with this UID; raises `TRANSFER_SYNTAX_REFUSED` (it names standard syntaxes only)."""
    syntax = ACCEPTED_SYNTAXES.get(uid)
    if syntax is None:
        raise TRANSFER_SYNTAX_REFUSED(name=_REFUSED_NAMES.get(uid, "unknown"))
    return syntax
