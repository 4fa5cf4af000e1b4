"""What doctors of a clinic said of films that a pack had read, sealed for the model engineer (docs/feedback-export.md).

    LNF1 | key id, 8 | length, 8 | HPKE: enc, 32 + zip + tag, 16

HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) to the engineer's key; its ``info`` binds form, key and length.  The
zip holds ``labels.csv`` and ``images/``, stored, not compressed, and every word in it is one of ours, a number or
hexadecimal: there is no place for a name.  What was opened stays in memory; no film is written in the clear.
"""

import csv
import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from numpy.typing import NDArray
from PIL import Image

from converters.data.datasets import SIXTEEN_BITS, Film, FilmSet
from converters.failures import (
    DataUnreadable,
    FeedbackCutOff,
    FeedbackForAnother,
    FeedbackForeign,
    FeedbackKeyUnusable,
    FeedbackMalformed,
    FeedbackTampered,
    OutputUnwritable,
)
from converters.workflow.atomic import write_json
from firmware_app.imaging.model_input import EIGHT_BITS, InputSpec
from firmware_app.uplink.messages.feedback import (
    COLUMN_PATTERNS,
    DRAWING_COLUMNS,
    DRAWINGS_FILE,
    IMAGES_FOLDER,
    LABELS_FILE,
    MOST_FEEDBACK_BYTES,
    MOST_IMAGE_SIDE,
    MOST_IMAGES,
    Points,
    is_plain_png,
    make_seal_context,
    pack_feedback,
    parse_points,
    seal_feedback,
)
from firmware_app.uplink.messages.feedback import COLUMNS as COLUMNS
from firmware_app.uplink.messages.feedback import FORM as FORM
from firmware_app.uplink.messages.feedback import SUITE as SUITE
from firmware_app.uplink.messages.feedback import FeedbackRecord as FeedbackRecord
from firmware_app.uplink.messages.feedback import compute_key_id as compute_key_id

HEAD, SEAL = len(FORM) + 16, 48
MOST_TABLE = 4 * 1024 * 1024
PRIVATE, PUBLIC = "feedback.key", "feedback.pub"
NOTE = "feedback.json"
_ENTRY, _END, _LOCATOR = 46 + 128, 22, 20
"""Bytes of a zip: most for one entry of the directory, the end record without a comment, the locator of zip64."""


@dataclass(frozen=True, slots=True)
class FeedbackFilm(Film):
    """A film of an export; its picture lives in memory only.  ``drawn`` are the places that doctors drew on it."""

    png: bytes = field(default=b"", repr=False)
    drawn: tuple[Points, ...] = ()

    @property
    def is_dicom(self) -> bool:
        """See :attr:`converters.data.datasets.Film.is_dicom`."""
        return False

    def frame(self, spec: InputSpec) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """See :meth:`converters.data.datasets.Film.frame`."""
        return self.read(), SIXTEEN_BITS if self.png[24] == 16 else EIGHT_BITS

    def read(self) -> NDArray[np.float32]:
        """See :meth:`converters.data.datasets.Film.read`."""
        try:
            with Image.open(io.BytesIO(self.png), formats=("PNG",)) as image:
                return np.asarray(image, dtype=np.float32)
        except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
            raise DataUnreadable(self.name, str(error)) from error


# --- sealing --------------------------------------------------------------------------------------------------------


def seal(films: Sequence[FeedbackRecord], engineer: X25519PublicKey) -> bytes:
    """The export of ``films``. Raises :class:`~converters.failures.FeedbackMalformed` for what the form has no place
    for: a clinic finds out, not the engineer."""
    plain = pack_feedback(films)
    _unpack("the export", plain)
    return seal_feedback(plain, engineer)


def unseal(path: Path, own: X25519PrivateKey) -> tuple[FeedbackRecord, ...]:
    """The films of the export at ``path``.  Raises a :class:`~converters.failures.FeedbackUnreadable`."""
    data = _read(path)
    head, length = data[:HEAD], int.from_bytes(data[HEAD - 8 : HEAD])
    if len(head) < HEAD or head[: len(FORM)] != FORM or length > MOST_FEEDBACK_BYTES:
        raise FeedbackForeign(str(path))
    mine = compute_key_id(own.public_key())
    if head[len(FORM) : -8] != mine:
        raise FeedbackForAnother(str(path), head[len(FORM) : -8].hex(), mine.hex())
    if len(data) < HEAD + SEAL + length:
        raise FeedbackCutOff(str(path), len(data), HEAD + SEAL + length)
    try:
        plain = SUITE.decrypt(data[HEAD:], own, make_seal_context(head))
    except (InvalidTag, ValueError) as error:  # ValueError: an `enc` of small order
        raise FeedbackTampered(str(path)) from error
    return _unpack(str(path), plain)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > HEAD + SEAL + MOST_FEEDBACK_BYTES:
            raise FeedbackForeign(str(path))
        return path.read_bytes()
    except OSError as error:
        raise DataUnreadable(str(path), error.strerror or str(error)) from error


def _unpack(where: str, plain: bytes) -> tuple[FeedbackRecord, ...]:
    """The films of a zip in the export's form. Anyone with the public key may have made it, so nothing is trusted."""
    content = _members(where, plain)
    rows = _rows(where, LABELS_FILE, COLUMNS, content.pop(LABELS_FILE, b""))
    places = (
        _rows(where, DRAWINGS_FILE, DRAWING_COLUMNS, content.pop(DRAWINGS_FILE)) if DRAWINGS_FILE in content else []
    )
    named = [IMAGES_FOLDER + row["file"] for row in rows]
    if len(set(named)) != len(named) or set(named) != set(content):
        raise FeedbackMalformed(where, f"{LABELS_FILE} and {IMAGES_FOLDER} do not name the same films, each once")
    for number, name in enumerate(named, 1):
        if not is_plain_png(content[name]):
            raise FeedbackMalformed(
                where,
                f"film {number} is no grey PNG of 8 or 16 bits and at most {MOST_IMAGE_SIDE} px a side without remarks",
            )
    drawn: dict[str, list[Points]] = {row["file"]: [] for row in rows}
    for place in places:
        if place["file"] not in drawn:
            raise FeedbackMalformed(where, f"{DRAWINGS_FILE} names a film that is not in it")
        drawn[place["file"]].append(parse_points(place["points"]))
    return tuple(
        FeedbackRecord(**row, png=content[name], drawn=tuple(drawn[row["file"]]))
        for row, name in zip(rows, named, strict=True)
    )


def _members(where: str, plain: bytes) -> dict[str, bytes]:
    end = plain[-_END:]
    directory = int.from_bytes(end[12:16], "little")
    if end[:4] != b"PK\x05\x06" or directory > _ENTRY * (MOST_IMAGES + 2) or b"PK\x06\x07" in plain[-_END - _LOCATOR :]:
        raise FeedbackMalformed(where, f"it holds no zip, or one of more than {MOST_IMAGES} films")
    try:
        with zipfile.ZipFile(io.BytesIO(plain)) as archive:
            members = archive.infolist()
            for number, one in enumerate(members, 1):
                known = one.filename in (LABELS_FILE, DRAWINGS_FILE) or COLUMN_PATTERNS["file"].fullmatch(
                    one.filename.removeprefix(IMAGES_FOLDER)
                )
                if not known or one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1:
                    raise FeedbackMalformed(where, f"member {number} has a strange name, or is compressed or locked")
            # Members that are only stored and are no more than the file cannot swell, whatever they overlap.
            if len({member.filename for member in members}) < len(members) or sum(map(_size, members)) > len(plain):
                raise FeedbackMalformed(where, "a member stands in it twice")
            return {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error) as error:
        raise FeedbackMalformed(where, f"the zip is broken ({error})") from error


def _size(member: zipfile.ZipInfo) -> int:
    return max(member.file_size, member.compress_size)


def _rows(where: str, name: str, columns: tuple[str, ...], table: bytes) -> list[dict[str, str]]:
    if len(table) > MOST_TABLE:
        raise FeedbackMalformed(where, f"{name} is larger than {MOST_TABLE} bytes")
    try:
        rows = list(csv.reader(io.StringIO(table.decode("ascii"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FeedbackMalformed(where, f"{name} is no plain table") from error
    if len(rows) < 2 or tuple(rows[0]) != columns:
        raise FeedbackMalformed(where, f"{name} has no film, or other columns than {', '.join(columns)}")
    for number, row in enumerate(rows[1:], 1):
        wrong = [key for key, word in zip(columns, row, strict=False) if not COLUMN_PATTERNS[key].fullmatch(word)]
        if wrong or len(row) != len(columns):
            raise FeedbackMalformed(where, f"{name}, film {number}: {wrong[0] if wrong else 'a column'} is not allowed")
    return [dict(zip(columns, row, strict=True)) for row in rows[1:]]


# --- films for training -----------------------------------------------------------------------------------------------


def films_of(path: Path, own: X25519PrivateKey, pack: str) -> FilmSet:
    """The films of an export for the training of ``pack``; raises a :class:`~converters.failures.FeedbackUnreadable`.

    Their names begin with a word for the export's content, so what was learnt from is known afterwards.
    """
    judged = unseal(path, own)
    foreign = {film.pack for film in judged} - {pack}
    if foreign:
        raise FeedbackMalformed(str(path), f"it speaks of the pack {min(foreign)}; this recipe makes {pack}")
    word = hashlib.sha256(b"".join(film.png for film in judged)).hexdigest()[:12]
    return FilmSet(
        path.name,
        pack,
        tuple(
            FeedbackFilm(
                f"feedback-{word}/{film.file}",
                path,
                int(film.label),
                film.patient,
                traits=(("source", "feedback"),),
                png=film.png,
                drawn=film.drawn,
            )
            for film in judged
        ),
    )


def take_exports(work: Path, exports: Sequence[Path], key: Path, pack: str) -> tuple[FilmSet, ...]:
    """The films of ``exports``; that they were taken is noted in ``work``, so that later steps learn from the same."""
    if not exports:
        (work / NOTE).unlink(missing_ok=True)
        return ()
    own = private_key(key)
    films = tuple(films_of(path, own, pack) for path in exports)
    note = [str(path.resolve()) for path in exports]
    write_json(work / NOTE, {"exports": note, "key": str(key.resolve())})
    return films


def read_remembered(work: Path, pack: str) -> tuple[FilmSet, ...]:
    """The films of the exports that training took, opened again."""
    if not (work / NOTE).is_file():
        return ()
    note = json.loads((work / NOTE).read_text(encoding="utf-8"))
    own = private_key(Path(note["key"]))
    return tuple(films_of(Path(path), own, pack) for path in note["exports"])


# --- keys -------------------------------------------------------------------------------------------------------------


def make_keys(folder: Path) -> bytes:
    """Write a new pair, ``feedback.key`` for its owner alone and ``feedback.pub`` for clinics; returns its id.

    Raises :class:`~converters.failures.OutputUnwritable`, also where there is a key already: it may still be needed.
    """
    own = X25519PrivateKey.generate()
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = own.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, pem, mode in ((PRIVATE, private, 0o600), (PUBLIC, public, 0o644)):
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(pem)
    except OSError as error:
        raise OutputUnwritable(str(folder), error.strerror or str(error)) from error
    return compute_key_id(own.public_key())


def private_key(path: Path) -> X25519PrivateKey:
    """The engineer's own key; raises :class:`~converters.failures.FeedbackKeyUnusable`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise FeedbackKeyUnusable(str(path)) from error
    if not isinstance(key, X25519PrivateKey):
        raise FeedbackKeyUnusable(str(path))
    return key


def public_key(path: Path) -> X25519PublicKey:
    """The key that a clinic seals to; raises :class:`~converters.failures.FeedbackKeyUnusable`."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise FeedbackKeyUnusable(str(path)) from error
    if not isinstance(key, X25519PublicKey):
        raise FeedbackKeyUnusable(str(path))
    return key
