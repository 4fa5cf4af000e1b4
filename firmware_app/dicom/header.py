"""Read what the door needs of a DICOM object: whether it is complete, its identity, its study.  No pixel is decoded.

Only `examine_file` decides on the box whether an object is complete; what passes is acknowledged to the sender.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import unpack
from typing import Final

from firmware_app.core.records import UID_MOST, Header, is_uid
from firmware_app.dicom import coded_entries, patient_data, sop_classes, transfer_syntax
from firmware_app.dicom.charset import decode_text
from firmware_app.dicom.data_elements import LONG_VRS, SHORT_VRS, Buffer, Element, Encoding, tag_name
from firmware_app.dicom.element_stream import Item, Walk, walk_data_set
from firmware_app.dicom.errors import (
    IDENTITY_MALFORMED,
    IDENTITY_MISSING,
    IDENTITY_TOO_LONG,
    DirectoryRecord,
    Malformed,
    PixelLengthMismatch,
    Truncated,
)
from firmware_app.dicom.file_meta import guess_encoding, read_meta_elements
from firmware_app.dicom.patient_data import Person
from firmware_app.dicom.transfer_syntax import TransferSyntax

PREAMBLE_BYTES: Final = 128
MAGIC: Final = b"DICM"

_META_SOP_CLASS, _META_SYNTAX = 0x00020002, 0x00020010
_CHARSET, _SOP_CLASS, _SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018
_STUDY_DATE, _STUDY_TIME, _MODALITY = 0x00080020, 0x00080030, 0x00080060
_STUDY_DESCRIPTION, _SERIES_DESCRIPTION = 0x00081030, 0x0008103E
_BIRTH_DATE, _AGE, _BODY_PART, _VIEW = 0x00100030, 0x00101010, 0x00180015, 0x00185101
# Shown to people in the viewer (`identity`); the stored `Header` has none of these but the age.
_PATIENT: Final = {
    "name": 0x00100010,
    "patient_id": 0x00100020,
    "age": _AGE,
    "sex": 0x00100040,
    "accession": 0x00080050,
    "issuer": 0x00100021,
}
_MANUFACTURER, _MODEL_NAME, _STATION = 0x00080070, 0x00081090, 0x00081010
_PATIENT_POSITION, _POSITIONER, _ANGLE = 0x00185100, 0x00181508, 0x00181510
_LATERALITIES: Final = (0x00200062, 0x00200060)  # the image's, and the series'
# Protocol Name, Acquisition Device Processing Description and Code; Performed Procedure Step Description and Requested
# Procedure Description.
_IMAGE_WORDS, _STUDY_WORDS = (0x00181030, 0x00181400, 0x00181401), (0x00400254, 0x00321060)
_STUDY, _SERIES, _INTENT, _ORIENTATION = 0x0020000D, 0x0020000E, 0x00080068, 0x00200020
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _ALLOCATED = (
    0x00280002,
    0x00280004,
    0x00280008,
    0x00280010,
    0x00280011,
    0x00280100,
)
_FLOAT_PIXELS, _DOUBLE_PIXELS, _PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010

_PIXEL_TAGS: Final = (_PIXELS, _FLOAT_PIXELS, _DOUBLE_PIXELS)
_WANTED: Final = frozenset(
    (
        _CHARSET,
        _SOP_CLASS,
        _SOP_INSTANCE,
        _STUDY_DATE,
        _STUDY_TIME,
        _MODALITY,
        _STUDY_DESCRIPTION,
        _SERIES_DESCRIPTION,
        _BIRTH_DATE,
        _AGE,
        _BODY_PART,
        _VIEW,
        _STUDY,
        _SERIES,
        _INTENT,
        _ORIENTATION,
        _MANUFACTURER,
        _MODEL_NAME,
        _STATION,
        sop_classes.OWN_CREATOR_TAG,
        _SAMPLES,
        _PHOTOMETRIC,
        _FRAMES,
        _ROWS,
        _COLUMNS,
        _ALLOCATED,
        *_PATIENT.values(),
        *_PIXEL_TAGS,
        *sop_classes.ESSENTIAL_TAGS,
        _PATIENT_POSITION,
        _POSITIONER,
        _ANGLE,
        *_LATERALITIES,
        *_IMAGE_WORDS,
        *_STUDY_WORDS,
        *coded_entries.WANTED,
    )
)
_VALUE_LIMIT: Final = 1024  # bytes read of any one value; every attribute wanted here is shorter (PS3.5 6.2)

UID_MOST_TAKEN: Final = 128
"""Characters of a UID that the box accepts.  PS3.5 9.1 allows 64, but some machines write longer ones."""
_IDENTITY: Final = re.compile(r"\.*[0-9][0-9.]*")  # not a valid UID, but enough to tell objects apart


@dataclass(frozen=True, slots=True)
class ExaminedObject:
    """A complete object: its header, the positions of data set and pixels, and the patient's identity (`identity`).

    `trailing` counts the bytes after `end`, the end of the data set: zeros, or what a machine left (`is_followed`).
    `person`: the same identity as it is written, to tell patients apart.
    """

    header: Header
    has_meta: bool
    data_set: int
    end: int
    trailing: int
    is_followed: bool
    pixels: tuple[tuple[int, int], ...]
    identity: Mapping[str, str]
    person: Person


def examine_file(path: Path) -> ExaminedObject:
    """Read the DICOM object at *path* to its end; raises an `IntakeError` unless it is complete and has its UIDs.

    Preamble and file meta information may be missing, as some devices write it; `has_meta` is False then.  The file is
    mapped into memory, so it must be the box's own copy, which nothing shortens meanwhile, never a file on a stick.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return examine_descriptor(descriptor)
    finally:
        os.close(descriptor)


def examine_descriptor(descriptor: int) -> ExaminedObject:
    """`examine_file` for a file that is already open."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        raise Truncated(where="(0002,0000)")
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as data:
        return _examine(data)


def _examine(data: Buffer) -> ExaminedObject:
    start = PREAMBLE_BYTES + len(MAGIC) if data[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC else 0
    meta_class, syntax_uid, data_set = None, None, start
    for element in read_meta_elements(data, start):
        data_set = element.start + element.length
        if element.tag == _META_SYNTAX:
            syntax_uid = _bytes(data, element).decode("ascii", "replace")
        elif element.tag == _META_SOP_CLASS:
            meta_class = _bytes(data, element).decode("ascii", "replace")
    if meta_class == sop_classes.MEDIA_STORAGE_DIRECTORY:
        raise DirectoryRecord()
    declared = transfer_syntax.find_transfer_syntax(syntax_uid) if syntax_uid else None
    encoding = guess_encoding(data, data_set, Encoding(declared.explicit, declared.big_endian) if declared else None)
    syntax = declared or _infer_transfer_syntax(encoding)
    parsed = walk_data_set(
        data,
        data_set,
        encoding,
        wanted=_WANTED,
        sequences=coded_entries.SEQUENCES,
        completing=sop_classes.ESSENTIAL_TAGS,
    )
    header = _header(data, parsed, syntax)
    if header.sop_class_uid == sop_classes.MEDIA_STORAGE_DIRECTORY:  # in spite of its file meta information
        raise DirectoryRecord()
    essential = sop_classes.essential_tags(header.sop_class_uid)
    if essential and not any(tag in parsed.elements for tag in essential):
        raise Truncated(where=tag_name(essential[0]))
    pixels = _check_pixels(parsed, header, syntax)
    return ExaminedObject(
        header=header,
        has_meta=data_set > start,
        data_set=data_set,
        end=parsed.end,
        trailing=len(data) - parsed.end,
        is_followed=parsed.is_followed,
        pixels=pixels,
        identity=_identity_of(data, parsed),
        person=_person(data, parsed),
    )


def looks_like_data_set(head: bytes) -> bool:
    """Whether *head* begins a DICOM file without preamble, or also without file meta information.

    Such a file begins with group 0002 or 0008 (PS3.6), a small element number, and a VR or a short length.
    """
    if len(head) < 12:
        return False
    for order, group in (("<", 0x0002), ("<", 0x0008), (">", 0x0008)):
        first, number, length = unpack(order + "HHL", head[:8])
        if first == group and number <= 0x0100:
            return head[4:6] in LONG_VRS or head[4:6] in SHORT_VRS or length <= _VALUE_LIMIT
    return False


def pixel_digest(path: Path) -> str:
    """The sha256 of the pixel data's bytes at *path*; of the whole data set where there are no pixels.

    Equal pixels alone do not mean the same object (`ingest.duplicates`): the header may have been corrected.
    """
    examined = examine_file(path)
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for start, length in examined.pixels or ((examined.data_set, examined.end - examined.data_set),):
            file.seek(start)
            while length > 0 and (piece := file.read(min(length, 1 << 20))):
                digest.update(piece)
                length -= len(piece)
    return digest.hexdigest()


def _infer_transfer_syntax(encoding: Encoding) -> TransferSyntax:
    if encoding.big_endian:
        if not encoding.explicit:
            raise Malformed(where="(0002,0010)")
        return transfer_syntax.find_transfer_syntax(transfer_syntax.EXPLICIT_BIG)
    return transfer_syntax.find_transfer_syntax(
        transfer_syntax.EXPLICIT_LITTLE if encoding.explicit else transfer_syntax.IMPLICIT_LITTLE
    )


def _bytes(data: Buffer, element: Element | None) -> bytes:
    """The value of an element without its padding; empty when the element is absent."""
    if element is None:
        return b""
    return data[element.start : element.start + min(element.length, _VALUE_LIMIT)].strip(b" \0\t\r\n")


def _header(data: Buffer, walk: Walk, syntax: TransferSyntax) -> Header:
    elements = walk.elements
    charset = _bytes(data, elements.get(_CHARSET))

    def text(tag: int) -> str | None:
        return decode_text(_bytes(data, elements.get(tag)), charset) or None

    def uid(tag: int) -> str | None:
        """A UID as it is written: `charset.decoded` leaves out what no text shows, and might make another of it."""
        return _bytes(data, elements.get(tag)).decode("ascii", "replace") or None

    def text_within(element: Element | None, item: Item | None) -> str | None:
        """The text of an *element* of an *item*, which may have a character set of its own (PS3.3 C.12.1.1.2)."""
        declared = charset
        while item is not None:
            if _CHARSET in item.elements:
                declared = _bytes(data, item.elements[_CHARSET])
                break
            item = item.around
        return decode_text(_bytes(data, element), declared) or None

    def number(tag: int) -> int | None:
        element = elements.get(tag)
        if element is None or element.length < 2:
            return None
        return int.from_bytes(data[element.start : element.start + 2], "big" if walk.encoding.big_endian else "little")

    image_words, study_words = coded_entries.collect_words(walk.items, text_within)
    return Header(
        sop_class_uid=_class(uid(_SOP_CLASS)),
        sop_instance_uid=_identity(uid(_SOP_INSTANCE), "SOPInstanceUID"),
        study_instance_uid=_optional_identity(uid(_STUDY), "StudyInstanceUID"),
        series_instance_uid=_optional_identity(uid(_SERIES), "SeriesInstanceUID"),
        transfer_syntax_uid=syntax.uid,
        modality=text(_MODALITY),
        body_part=text(_BODY_PART),
        view_position=text(_VIEW),
        patient_age=text(_AGE),
        birth_date=text(_BIRTH_DATE),
        study_date=text(_STUDY_DATE),
        study_time=text(_STUDY_TIME),
        study_description=text(_STUDY_DESCRIPTION),
        series_description=text(_SERIES_DESCRIPTION),
        rows=number(_ROWS),
        columns=number(_COLUMNS),
        frames=_frames(text(_FRAMES)),
        samples_per_pixel=number(_SAMPLES),
        bits_allocated=number(_ALLOCATED),
        photometric=text(_PHOTOMETRIC),
        has_pixels=any(tag in elements for tag in _PIXEL_TAGS),
        presentation_intent=text(_INTENT),
        patient_orientation=text(_ORIENTATION),
        manufacturer=text(_MANUFACTURER),
        model_name=text(_MODEL_NAME),
        station_name=text(_STATION),
        coded=coded_entries.collect_coded_facts(walk.items, text_within, map(text, _LATERALITIES)),
        patient_position=text(_PATIENT_POSITION),
        positioner_type=text(_POSITIONER),
        primary_angle=text(_ANGLE),
        image_words=(*filter(None, map(text, _IMAGE_WORDS)), *image_words),
        study_words=(*filter(None, map(text, _STUDY_WORDS)), *study_words),
        own_result=sop_classes.is_own_result(text(_MANUFACTURER), text(_MODEL_NAME), text(sop_classes.OWN_CREATOR_TAG)),
    )


def _identity_of(data: Buffer, parsed: Walk) -> dict[str, str]:
    values = {key: _bytes(data, parsed.elements.get(tag)) for key, tag in _PATIENT.items()}
    return patient_data.collect_identity(values, _bytes(data, parsed.elements.get(_CHARSET)))


def _person(data: Buffer, parsed: Walk) -> Person:
    charset = _bytes(data, parsed.elements.get(_CHARSET))

    def text(tag: int) -> str:
        return patient_data.identity_text(
            _bytes(data, parsed.elements.get(tag)), charset, is_name=tag == _PATIENT["name"]
        )

    return Person(*(text(tag) for tag in (_PATIENT["patient_id"], _PATIENT["issuer"], _PATIENT["name"], _BIRTH_DATE)))


def _class(value: str | None) -> str:
    uid = _identity(value, "SOPClassUID", most=UID_MOST)
    if not is_uid(uid):
        raise IDENTITY_MALFORMED(keyword="SOPClassUID")
    return uid


def _identity(value: str | None, keyword: str, most: int = UID_MOST_TAKEN) -> str:
    """*value*, also when it is not a valid UID (`Header.faulty_uids`) but enough to tell objects apart."""
    if value is None:
        raise IDENTITY_MISSING(keyword=keyword)
    if _IDENTITY.fullmatch(value) is None:
        raise IDENTITY_MALFORMED(keyword=keyword)
    if len(value) > most:
        raise IDENTITY_TOO_LONG(keyword=keyword, length=len(value), limit=most)
    return value


def _optional_identity(value: str | None, keyword: str) -> str | None:
    return None if value is None else _identity(value, keyword)


def _frames(value: str | None) -> int:
    """Number of Frames, an IS (PS3.5 6.2) of at most 12 bytes; 1 where it is not a number."""
    return max(1, int(value)) if value is not None and re.fullmatch(r"\+?[0-9]{1,12}", value) else 1


def _check_pixels(parsed: Walk, header: Header, syntax: TransferSyntax) -> tuple[tuple[int, int], ...]:
    """Check the declared size of the pixels against the bytes present; returns the spans of the pixel data.

    More bytes than declared are accepted: devices pad rows and frames, PS3.5 8.1.1 pads odd lengths, and YBR_FULL_422
    is often written without its subsampling.  Everything declared is there, and refusing would lose a usable image.
    """
    element = next((parsed.elements[tag] for tag in _PIXEL_TAGS if tag in parsed.elements), None)
    if element is None:
        return ()
    if element.fragments is not None:
        frames = element.fragments[1:]  # the first item is the Basic Offset Table, possibly empty (PS3.5 A.4)
        if not frames or (len(frames) < header.frames and not syntax.video):
            raise Truncated(where="(7FE0,0010)")
        return frames
    declared = _native_bytes(header, element.tag)
    if element.length < declared:
        raise PixelLengthMismatch(declared=declared, present=element.length)
    return ((element.start, element.length),)


def _native_bytes(header: Header, tag: int) -> int:
    """Bytes for Rows × Columns × Samples × Bits Allocated × Frames (PS3.5 8.1.1); 0 where these are not declared.

    One-bit pixels are packed across frames, and YBR_FULL_422 / YBR_PARTIAL_420 share colour between pixels
    (PS3.3 C.7.6.3.1.2).
    """
    bits = {_FLOAT_PIXELS: 32, _DOUBLE_PIXELS: 64}.get(tag, header.bits_allocated or 0)
    samples = header.samples_per_pixel or 1
    pixels = (header.rows or 0) * (header.columns or 0) * header.frames
    if samples == 3 and header.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        return (pixels * 2 * bits + 7) // 8
    if samples == 3 and header.photometric == "YBR_PARTIAL_420":
        return (pixels * 3 * bits // 2 + 7) // 8
    return (pixels * samples * bits + 7) // 8
