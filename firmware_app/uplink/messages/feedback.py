"""The form of a clinic's feedback for a model engineer (docs/feedback-export.md): written by the box, read by the
converters.

    LNF1 | key id, 8 | length, 8 | HPKE: enc, 32 + zip + tag, 16

The zip holds ``labels.csv``, ``images/`` and, where a doctor drew on a film, ``drawn.csv``, stored, not compressed.
Every word in it is a number or hexadecimal: there is no place for a name.
"""

from __future__ import annotations

import csv
import io
import re
import struct
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.uplink.messages.envelope import SUITE as SUITE
from firmware_app.uplink.messages.envelope import compute_key_id as compute_key_id

FORM: Final = b"LNF1"
MOST_FEEDBACK_BYTES: Final = 512 * 1024 * 1024
MOST_IMAGES: Final = 10_000
MOST_IMAGE_SIDE: Final = 8192
LABELS_FILE, IMAGES_FOLDER, DRAWINGS_FILE = "labels.csv", "images/", "drawn.csv"
COLUMNS: Final = ("file", "label", "patient", "pack", "version")
DRAWING_COLUMNS: Final = ("file", "points")
COLUMN_PATTERNS: Final = {
    "file": re.compile(r"[0-9a-f]{8,64}\.png"),
    "label": re.compile(r"[01]"),
    "patient": re.compile(r"[0-9a-f]{16,64}"),
    "pack": re.compile(r"[a-z0-9][a-z0-9-]{0,63}"),
    "version": re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}"),
    "points": re.compile(r"[0-9]{1,5} [0-9]{1,5}(?: [0-9]{1,5} [0-9]{1,5}){1,399}"),
}

Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """One film: the doctor's last word (``label`` 1: the finding is there), who (a pseudonym), and which pack read it.

    ``png`` is a grey PNG of 8 or 16 bits that holds nothing but its pixels.  ``drawn`` are the places that doctors drew
    on it, in its pixels: two points are corners of a box, more are those of an outline.
    """

    file: str
    label: str
    patient: str
    pack: str
    version: str
    png: bytes = field(repr=False)
    drawn: tuple[Points, ...] = ()


def pack_feedback(images: Sequence[FeedbackRecord]) -> bytes:
    """The zip of *images*."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        rows = ((image.file, image.label, image.patient, image.pack, image.version) for image in images)
        archive.writestr(zipfile.ZipInfo(LABELS_FILE), _table(COLUMNS, rows))
        places = [(image.file, _format_points(points)) for image in images for points in image.drawn]
        if places:
            archive.writestr(zipfile.ZipInfo(DRAWINGS_FILE), _table(DRAWING_COLUMNS, places))
        for image in images:
            archive.writestr(zipfile.ZipInfo(IMAGES_FOLDER + image.file), image.png)
    return body.getvalue()


def seal_feedback(plain: bytes, engineer: X25519PublicKey) -> bytes:
    """The zip *plain*, sealed to the engineer's key."""
    head = FORM + compute_key_id(engineer) + len(plain).to_bytes(8)
    return head + SUITE.encrypt(plain, engineer, make_seal_context(head))


def make_seal_context(head: bytes) -> bytes:
    """What the seal is bound to besides the key: form, key and length."""
    return b"lantern/1\x00feedback\x00" + head


def parse_engineer_key(pem: bytes) -> X25519PublicKey:
    """The key that a clinic seals to; raises `ValueError` for anything else."""
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, X25519PublicKey):
        raise ValueError("no X25519 key")
    return key


def is_plain_png(png: bytes) -> bool:
    """Whether it is a grey PNG of our size and nothing else: no text, no EXIF, no time, nothing behind its end."""
    kinds, at = [], 8
    while at + 12 <= len(png):
        kinds.append(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4])
    ordered = kinds[:1] == [b"IHDR"] and kinds[-1:] == [b"IEND"] and set(kinds[1:-1]) == {b"IDAT"}
    if png[:8] != b"\x89PNG\r\n\x1a\n" or at != len(png) or not ordered or png[8:12] != b"\x00\x00\x00\x0d":
        return False
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    return 0 < width <= MOST_IMAGE_SIDE and 0 < height <= MOST_IMAGE_SIDE and depth in (8, 16) and colour == 0


def parse_points(text: str) -> Points:
    """What `drawn.csv` says of one place."""
    numbers = [int(number) for number in text.split()]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _format_points(points: Points) -> str:
    return " ".join(f"{x} {y}" for x, y in points)


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return table.getvalue()
