"""What fuzzing found, made small by hand: bytes that ended the decode child with an error that nobody foresaw,
or that the door took and could not read again."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from struct import pack
from typing import Final

import numpy as np
from PIL import Image

from tests import clips
from tests.fuzz import seeds


def png_broken_before_its_exif() -> bytes:
    """Pillow decodes a PNG when it is asked for its EXIF block, which may stand behind the pixels."""
    out = io.BytesIO()
    Image.fromarray(seeds.grey("uint8")).save(out, "PNG")
    whole = bytearray(out.getvalue())
    at = whole.index(b"IDAT") + 4
    whole[at : at + 2] = b"\0\0"
    return bytes(whole)


def tiff_whose_second_page_is_none() -> bytes:
    """Pillow counts the pages of a TIFF by opening each, and calls a page that it cannot follow a syntax error."""
    pixels = np.arange(16, dtype=np.uint8).tobytes()
    first = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8, 278: 4, 279: 16}
    second = {256: 4, 257: 4}  # says neither where its pixels are nor how they are laid
    start = 8 + len(pixels)
    behind = start + 2 + 12 * len(first) + 4
    return pack("<2sHL", b"II", 42, start) + pixels + _directory(first, behind) + _directory(second, 0)


def tiff_of_two_sizes() -> bytes:
    """The frames of a clip are all of one size, which the search for an ultrasound's sector relied on."""
    first, second = (Image.fromarray(seeds.grey("uint8")).resize(size) for size in ((160, 128), (96, 200)))
    out = io.BytesIO()
    first.save(out, "TIFF", save_all=True, append_images=[second])
    return out.getvalue()


def avi_of_two_sizes() -> bytes:
    """The same of a clip: FFmpeg's decoder takes a frame's size from its own header, and the file's is forgotten."""
    clip = bytearray(clips.encode_clip("mjpeg", "avi", 4))
    size = pack(">HH", clips.ROWS, clips.COLUMNS)
    last = clip.rindex(b"\xff\xc0\x00\x11\x08" + size)
    clip[last + 5 : last + 9] = pack(">HH", clips.ROWS - 1, clips.COLUMNS)
    return bytes(clip)


def _directory(entries: dict[int, int], following: int) -> bytes:
    fields = b"".join(pack("<HHLL", tag, 4, 1, value) for tag, value in entries.items())
    return pack("<H", len(entries)) + fields + pack("<L", following)


def directory_without_meta_information() -> bytes:
    """The door took it, and refused it once its own meta information stood before it and named the class."""
    uids = ((0x0016, b"1.2.840.10008.1.3.10\0\0"), (0x0018, b"2.25"))
    return b"".join(pack("<HH2sH", 8, number, b"UI", len(uid)) + uid for number, uid in uids)


REGRESSIONS_AT_THE_DOOR: Final[tuple[Callable[[], bytes], ...]] = (directory_without_meta_information,)
REGRESSIONS: Final[Mapping[Callable[[], bytes], str]] = {
    png_broken_before_its_exif: "imaging.undecodable",
    tiff_whose_second_page_is_none: "imaging.undecodable",
    tiff_of_two_sizes: "quality.pages",
    avi_of_two_sizes: "imaging.undecodable",
}
"""Each with the code that the decode child refuses it with."""
