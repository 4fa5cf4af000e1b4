"""Hostile objects and files, made by code: small to send, ruinous to believe.

Each says by which way it comes to a box and with which codes the box may answer.  None holds a picture of anybody.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests import clips, films, lossless_jpeg
from tests.objects import SEQUENCE_END, UNDEFINED, element, item

Way = Literal["store", "folder"]
CR = "1.2.840.10008.5.1.4.1.1.1"
LARGEST = 65535
LARGE = 5600  # 31 million pixels: nearly as many as the box opens


@dataclass(frozen=True)
class Bomb:
    """`make` gives a data set to be stored over DICOM in `syntax`, or a file for the watched folder."""

    name: str
    make: Callable[[], bytes]
    codes: tuple[str, ...]
    way: Way = "store"
    syntax: str = str(ExplicitVRLittleEndian)
    suffix: str = ".dcm"


# --- DICOM --------------------------------------------------------------------------------------------------------


def data_set(made: FileDataset) -> bytes:
    """*made* as it goes over the wire: without preamble and file meta information."""
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    written = out.getvalue()
    return written[144 + int.from_bytes(written[140:144], "little") :]


def encapsulate_film(syntax: UID, rows: int, columns: int, *streams: bytes, **attributes: Any) -> bytes:
    """A chest film of *rows* × *columns* 8-bit pixels, whose compressed frames are *streams*."""
    pixels = np.zeros((1, 1), np.uint8)
    framed = encapsulate(list(streams))
    return data_set(films.film(pixels, syntax=syntax, pixel_data=framed, Rows=rows, Columns=columns, **attributes))


def rle() -> bytes:
    """One segment of runs, each two bytes for 128 pixels."""
    return np.array([1, 64] + [0] * 14, "<u4").tobytes() + b"\x81\x00" * 400


def jpeg2000(rows: int, columns: int, components: int = 1, tile: int | None = None) -> bytes:
    """A code stream that claims *rows* × *columns* and has one tile, which is empty (ISO/IEC 15444-1 A)."""
    sizes = (columns, rows, 0, 0, tile or columns, tile or rows, 0, 0)
    siz = pack(">H8LH", 0, *sizes, components) + b"\x07\x01\x01" * components
    cod = pack(">BBHBBBBBB", 0, 0, 1, 0, 5, 4, 4, 0, 1)
    qcd = b"\x40" + bytes(8 * n for n in range(1, 17))
    head = b"\xff\x4f" + b"".join(
        marker + pack(">H", len(body) + 2) + body
        for marker, body in ((b"\xff\x51", siz), (b"\xff\x52", cod), (b"\xff\x5c", qcd))
    )
    return head + pack(">2sHHLBB", b"\xff\x90", 10, 0, 14, 0, 1) + b"\xff\x93" + b"\xff\xd9"


def jpeg(rows: int, columns: int) -> bytes:
    """A black JPEG of *rows* × *columns*: its real size is written, then the claimed one over it."""
    small = encode_image(np.zeros((64, 64), np.uint8), "JPEG")
    at = small.index(b"\xff\xc0")
    return small[: at + 5] + pack(">HH", rows, columns) + small[at + 9 :]


def endless_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: every one has the whole picture looked at."""
    whole = encode_image(np.zeros((side, side), np.uint8), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * scans + b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_of_tables(rows: int, columns: int, marker: int, size: int, at_once: int = 400) -> bytes:
    """*size* bytes of quantizers (DB) or of codes (C4), each one given again and again."""
    whole = encode_image(np.zeros((rows, columns), np.uint8), "JPEG")
    table = b"\x11" + b"\1" * 128 if marker == 0xDB else b"\3\1" + bytes(15) + b"\0"
    one = segment(marker, table * at_once)
    return whole[:2] + one * min(size // len(one), 9_000) + whole[2:]


def jpeg_of_restarts(side: int) -> bytes:
    """A grey JPEG with a restart behind each of its blocks, which are flat: six bits of code, two of padding."""
    whole = encode_image(np.full((64, 64), 128, np.uint8), "JPEG")
    frame, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    head = whole[: frame + 5] + pack(">HH", side, side) + whole[frame + 9 : scan] + segment(0xDD, b"\0\1")
    eight = b"".join(bytes([0x2B, 0xFF, 0xD0 + number]) for number in range(8))
    blocks = (-(-side // 8)) ** 2
    return head + whole[scan : scan + 10] + (eight * (blocks // 8 + 1))[: 3 * blocks - 2] + b"\xff\xd9"


def jpeg_of_fill_bytes(size: int) -> bytes:
    """*size* FF bytes before the marker behind the coded data, of which there may be any number (B.1.1.2)."""
    whole = encode_image(np.full((64, 64), 128, np.uint8), "JPEG")
    return whole[:-2] + b"\xff" * size + whole[-2:]


def jpeg_of_scans(side: int, components: int, scans: int) -> bytes:
    """A flat baseline JPEG whose *scans* have one component each, and each block of them two bits."""
    one, named = b"\1" + bytes(15) + b"\0", b"".join(bytes([number, 0x11, 0]) for number in range(components))
    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, pack(">BHHB", 8, side, side, components) + named)
    head += segment(0xC4, b"\0" + one + b"\x10" + one)
    coded = bytes(((-(-side // 8)) ** 2 * 2 + 7) // 8)
    all_of_them = (segment(0xDA, bytes([1, number % components, 0, 0, 63, 0])) + coded for number in range(scans))
    return b"\xff\xd8" + head + b"".join(all_of_them) + b"\xff\xd9"


def jpeg_lossless(rows: int, columns: int) -> bytes:
    """A stream without loss, whose real size is written, then the claimed one over it."""
    small = lossless_jpeg.encode_lossless(np.zeros((16, 16), np.uint16), 16)
    at = small.index(b"\xff\xc3")
    return small[: at + 5] + pack(">HH", rows, columns) + small[at + 9 :]


def jpeg_ls(rows: int, columns: int) -> bytes:
    """ISO/IEC 14495-1: a frame header, a scan header, and then hardly any data."""
    frame = pack(">HBHHBBBB", 11, 8, rows, columns, 1, 1, 0x11, 0)
    scan = pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 0)
    return b"\xff\xd8\xff\xf7" + frame + b"\xff\xda" + scan + b"\x00" * 64 + b"\xff\xd9"


def claim_frames(frames: int) -> bytes:
    return data_set(films.film(films.shapes(1, 96, 80), NumberOfFrames=frames))


def nested(levels: int) -> bytes:
    """A film with *levels* sequences of undefined length inside one another."""
    made = data_set(films.film(films.shapes(2, 96, 80)))
    at = made.index(pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    opening = element(0x00400275, b"SQ", b"", length=UNDEFINED) + pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
    closing = pack("<HHL", 0xFFFE, 0xE00D, 0) + SEQUENCE_END
    return made[:at] + opening * levels + closing * levels + made[at:]


def many_elements(count: int) -> bytes:
    """A film with *count* empty items in one sequence: nothing but work."""
    made = data_set(films.film(films.shapes(3, 96, 80)))
    at = made.index(pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    items = element(0x00400275, b"SQ", b"", length=UNDEFINED) + item(b"") * count + SEQUENCE_END
    return made[:at] + items + made[at:]


def fragments_only(count: int) -> bytes:
    """A film in *count* empty fragments."""
    made = encapsulate_film(JPEGBaseline8Bit, 96, 80, jpeg(96, 80))
    return made[: -len(SEQUENCE_END)] + item(b"") * count + SEQUENCE_END


def make_deflate_bomb() -> bytes:
    """A file of a few hundred kilobytes that holds 200 MB (PS3.5 A.5)."""
    made = films.film(films.shapes(4, 96, 80))
    plain = io.BytesIO()
    made.save_as(plain, enforce_file_format=True)
    head = plain.getvalue().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    meta = 144 + int.from_bytes(head[140:144], "little") + 2
    head = head[:140] + pack("<L", meta - 144) + head[144:]
    named = head.index(b"1.2.840.10008.1.2.1.99")
    head = head[: named - 2] + pack("<H", 22) + head[named:]
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = engine.compress(head[meta:]) + engine.compress(bytes(200_000_000)) + engine.flush()
    return head[:meta] + body


# --- files --------------------------------------------------------------------------------------------------------


def encode_image(pixels: np.ndarray[Any, Any], kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def make_zip_bomb() -> bytes:
    """A film beside a path that leaves the folder, and 100 MB of nothing."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("film.dcm", b"\0" * 128 + b"DICM")
        archive.writestr("../../film.dcm", b"\0" * 128 + b"DICM")
        archive.writestr("nothing", bytes(100_000_000))
    return out.getvalue()


def png(columns: int, rows: int, *, bits: int = 8, colour: int = 0, filled: bool = False) -> bytes:
    """A PNG that claims *columns* × *rows*, and with *filled* has them all, black (ISO/IEC 15948)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return pack(">L", len(body)) + name + body + pack(">L", zlib.crc32(name + body))

    row = bytes(1 + columns * bits // 8 * {0: 1, 2: 3, 6: 4}[colour])
    engine = zlib.compressobj(9)
    data = b"".join(engine.compress(row) for _ in range(rows if filled else 1)) + engine.flush()
    head = chunk(b"IHDR", pack(">LLBBBBB", columns, rows, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_text() -> bytes:
    """A small PNG with 100 MB of text in it, packed (ISO/IEC 15948 11.3.4.3)."""
    body = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = pack(">L", len(body)) + b"zTXt" + body + pack(">L", zlib.crc32(b"zTXt" + body))
    whole = png(64, 64, filled=True)
    return whole[:33] + chunk + whole[33:]


def tiff(columns: int, rows: int, pages: int = 1) -> bytes:
    """A TIFF 6.0 of *pages* directories, each claiming *columns* × *rows* in one strip of 8 bytes."""
    entries = (
        (256, 4, columns),
        (257, 4, rows),
        (258, 3, 8),
        (259, 3, 32773),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, rows),
        (279, 4, 8),
    )
    directory = pack("<H", len(entries)) + b"".join(pack("<HHLL", tag, kind, 1, value) for tag, kind, value in entries)
    length = len(directory) + 4
    following = (16 + (page + 1) * length if page + 1 < pages else 0 for page in range(pages))
    return b"II*\0" + pack("<L", 16) + b"\x81\0" * 4 + b"".join(directory + pack("<L", at) for at in following)


def bmp(columns: int, rows: int, compression: int) -> bytes:
    """A BMP of 8 bits that claims *columns* × *rows*; compression 1 is its own run-length coding."""
    data = b"\xff\0" * 200 + b"\0\x01"
    head = pack("<LllHHLLllLL", 40, columns, rows, 1, 8, compression, len(data), 0, 0, 256, 0)
    palette = b"".join(pack("<L", grey * 0x10101) for grey in range(256))
    start = 14 + len(head) + len(palette)
    return pack("<2sLHHL", b"BM", start + len(data), 0, 0, start) + head + palette + data


def mp4_that_claims(count: int) -> bytes:
    """An MP4 whose table of samples promises *count* of one size (ISO/IEC 14496-12 8.7.3)."""
    whole = clips.encode_clip("mpeg4", "mp4", 8)
    at = whole.index(b"stsz") + 8
    return whole[:at] + pack(">LL", 1, count) + whole[at + 8 :]


def avi_of_size(columns: int, rows: int) -> bytes:
    """An AVI whose stream format claims *columns* × *rows* (BITMAPINFOHEADER)."""
    whole = bytearray(clips.encode_clip("rawvideo", "avi", 4))
    at = whole.index(b"strf") + 8 + 4
    whole[at : at + 8] = pack("<ll", columns, rows)
    return bytes(whole)


def mpeg_of_packets(count: int) -> bytes:
    """An MPEG program stream of *count* packets of one byte."""
    return b"\0\0\1\xba" + b"\x21" * 8 + b"\0\0\1\xe0\0\1\0" * count + b"\0\0\1\xb9"


# --- the set ------------------------------------------------------------------------------------------------------

UNDECODABLE, TOO_LARGE, UNSUPPORTED = "imaging.undecodable", "imaging.too_large", "imaging.unsupported"
BLANK = "quality.blank"
SHOWN = "reading.modality_unknown"  # opened, made smaller and shown; no picture says what machine made it

_STREAMS: Sequence[tuple[str, UID, Callable[[int, int], bytes]]] = (
    ("RLE", RLELossless, lambda _rows, _columns: rle()),
    ("JPEG", JPEGBaseline8Bit, jpeg),
    ("JPEG lossless", JPEGLosslessSV1, jpeg_lossless),
    ("JPEG-LS", JPEGLSLossless, jpeg_ls),
    ("JPEG 2000", JPEG2000Lossless, jpeg2000),
)


def _of_stream(name: str, syntax: UID, make: Callable[[int, int], bytes]) -> list[Bomb]:
    """Nearly as large as the box opens, and, where the stream says its size, much larger than its header."""
    large = Bomb(
        f"{name}, claims {LARGE}²",
        lambda: encapsulate_film(syntax, LARGE, LARGE, make(LARGE, LARGE)),
        (UNDECODABLE, UNSUPPORTED, BLANK),
        syntax=str(syntax),
    )
    lie = Bomb(
        f"{name}, 96 × 80 outside, 65535² inside",
        lambda: encapsulate_film(syntax, 96, 80, make(LARGEST, LARGEST)),
        (UNDECODABLE,),
        syntax=str(syntax),
    )
    return [large] if syntax == RLELossless else [large, lie]


STORED: Sequence[Bomb] = (
    *(bomb for stream in _STREAMS for bomb in _of_stream(*stream)),
    Bomb(
        "JPEG, claims 65535²",
        lambda: encapsulate_film(JPEGBaseline8Bit, LARGEST, LARGEST, jpeg(LARGEST, LARGEST)),
        (TOO_LARGE,),
        syntax=str(JPEGBaseline8Bit),
    ),
    Bomb(
        "JPEG, 2,000 scans",
        lambda: encapsulate_film(UID("1.2.840.10008.1.2.4.55"), 3000, 3000, endless_scans(3000, 2000)),
        (UNDECODABLE, UNSUPPORTED),
        syntax="1.2.840.10008.1.2.4.55",
    ),
    Bomb(
        "JPEG, 15 MB of fill bytes",
        lambda: encapsulate_film(JPEGBaseline8Bit, 64, 64, jpeg_of_fill_bytes(15_000_000)),
        (UNDECODABLE,),
        syntax=str(JPEGBaseline8Bit),
    ),
    Bomb(
        "JPEG 2000, 16,384 components",
        lambda: encapsulate_film(JPEG2000Lossless, 2000, 2000, jpeg2000(2000, 2000, components=16384)),
        (UNDECODABLE, UNSUPPORTED),
        syntax=str(JPEG2000Lossless),
    ),
    Bomb(
        "JPEG 2000, a million tiles",
        lambda: encapsulate_film(JPEG2000Lossless, 4000, 4000, jpeg2000(4000, 4000, tile=4)),
        (UNDECODABLE, UNSUPPORTED),
        syntax=str(JPEG2000Lossless),
    ),
    Bomb("NumberOfFrames 2,000,000,000", lambda: claim_frames(2_000_000_000), ("intake.pixel_length",)),
    Bomb("50,000 nested sequences", lambda: nested(50_000), ("intake.nested_too_deep",)),
    Bomb("300,000 items", lambda: many_elements(300_000), ("intake.malformed",)),
    Bomb(
        "200,000 fragments",
        lambda: fragments_only(200_000),
        (UNDECODABLE, UNSUPPORTED, BLANK),
        syntax=str(JPEGBaseline8Bit),
    ),
)

DROPPED: Sequence[Bomb] = tuple(
    Bomb(name, make, codes, way="folder", suffix=suffix)
    for name, make, codes, suffix in (
        ("deflated DICOM, 200 MB inside", make_deflate_bomb, ("intake.transfer_syntax",), ".dcm"),
        ("zip called an image", make_zip_bomb, ("intake.archive",), ".dcm"),
        ("PNG, claims 65535²", lambda: png(LARGEST, LARGEST), (TOO_LARGE,), ".png"),
        (
            f"PNG, {LARGE}² of 64 bits",
            lambda: png(LARGE, LARGE, bits=16, colour=6, filled=True),
            (UNDECODABLE, UNSUPPORTED, SHOWN),
            ".png",
        ),
        ("PNG, 100 MB of text", png_text, (UNDECODABLE,), ".png"),
        ("JPEG picture, 2,000 scans", lambda: endless_scans(3000, 2000), (UNDECODABLE, UNSUPPORTED), ".jpg"),
        ("TIFF, claims 4294967295²", lambda: tiff(0xFFFFFFFF, 0xFFFFFFFF), (UNDECODABLE, TOO_LARGE), ".tif"),
        ("TIFF, 90,000 pages", lambda: tiff(96, 80, 90_000), (UNDECODABLE, UNSUPPORTED), ".tif"),
        (f"BMP, claims {LARGE}²", lambda: bmp(LARGE, LARGE, 1), (UNDECODABLE, BLANK), ".bmp"),
    )
)

CLIPS: Sequence[Bomb] = tuple(
    Bomb(name, make, codes, way="folder", suffix=suffix)
    for name, make, codes, suffix in (
        ("MP4, promises 2,147,483,647 frames", lambda: mp4_that_claims(0x7FFFFFFF), (UNDECODABLE, UNSUPPORTED), ".mp4"),
        ("AVI, claims 65535²", lambda: avi_of_size(LARGEST, LARGEST), (TOO_LARGE, UNDECODABLE), ".avi"),
        ("MPEG, 2,000,000 packets", lambda: mpeg_of_packets(2_000_000), ("intake.end_not_marked",), ".mpg"),
    )
)
"""Only where PyAV is there."""
