"""De-identify one object for export (PS3.15 Annex E) and write it in explicit little endian.

`deidentified_header` cleans the data set, `deidentified_pixels` blackens everything outside an ultrasound's sector, and
`text_detection` looks for letters in the rest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from firmware_app import __version__
from firmware_app.core.errors import Undecodable
from firmware_app.dicom import file_meta
from firmware_app.imaging import deidentified_header, deidentified_pixels, dicom_image, keyframes
from firmware_app.imaging.deidentified_header import Pseudonyms
from firmware_app.imaging.deidentified_pixels import PixelPlan
from firmware_app.imaging.dicom_image import DicomImage
from firmware_app.imaging.dicom_source import HEADER_ERRORS
from firmware_app.imaging.errors import EXPORT_NO_ROOM, EXPORT_TEXT_FOUND, EXPORT_TEXT_UNCHECKED, EXPORT_TOO_LARGE
from firmware_app.imaging.text_detection import TextDetector

LARGEST_FILE_BYTES: Final = 2 * 1024**3
"""FAT on a stick allows 4 GB, and few viewers open files of half that size."""
_HEADER_BYTES: Final = 1 << 20
"""More than any cleaned header needs."""
MOST_TEXT_CHECKED: Final = 16
"""How many frames of a clip are searched for text, evenly spread: a machine's text stays for seconds."""
_BASIC, _CLEAN_PIXELS = "113100", "113101"  # PS3.16 CID 7050
_MEANINGS: Final = {_BASIC: "Basic Application Confidentiality Profile", _CLEAN_PIXELS: "Clean Pixel Data Option"}


@dataclass(frozen=True, slots=True)
class DeidentifiedFile:
    """What was done to one object, without any identity."""

    sop_instance_uid: str
    modality: str
    frames: int
    blacked: bool
    sector_derived_from: str | None
    text_check: str  # "detector" or "person"
    frames_checked: int
    bytes: int


def write_deidentified(
    path: Path,
    out: Path,
    identities: Pseudonyms,
    detector: TextDetector | None,
    *,
    looked: bool,
    room_bytes: int | None = None,
) -> DeidentifiedFile:
    """De-identify the object at *path* into the new file *out*, durable on return.

    *looked*: a person has checked every frame, so text in it is allowed and not searched for.
    *room_bytes*: the largest size of *out*, if smaller than `LARGEST_FILE_BYTES`.
    Raises `ExportError` or `ImagingError`; the caller then removes the unfinished file.
    """
    if detector is None and not looked:
        raise EXPORT_TEXT_UNCHECKED()
    with dicom_image.open_dicom_image(path) as film:
        coming = deidentified_pixels.pixel_bytes(film.source)
        if coming > LARGEST_FILE_BYTES - (64 << 20):
            raise EXPORT_TOO_LARGE(megabytes=coming >> 20, most=LARGEST_FILE_BYTES >> 20)
        if room_bytes is not None and coming + _HEADER_BYTES > room_bytes:
            raise EXPORT_NO_ROOM(free_mb=room_bytes // 1_000_000)  # the caller replaces it by the free space in all
        plan = deidentified_pixels.plan_pixels(film)
        checked = 0 if looked or detector is None else _check_for_text(film, plan, detector)
        data = deidentified_header.clean_header(film.source.header, identities)
        with _create_file(out) as file:
            # A later frame of a clip may show another colour model than the first frames.
            for _ in range(2):
                deidentified_pixels.describe_pixels(data, film, plan)
                _record_deidentification(data, film, plan, looked=looked)
                _write_file(file, data, film, plan)
                proved = deidentified_pixels.choose_photometric(film, film.frames - 1)
                if proved == plan.photometric:
                    break
                plan = PixelPlan(proved, plan.inside)
            size = file.seek(0, os.SEEK_END)
        inside = plan.inside
        return DeidentifiedFile(
            sop_instance_uid=str(data.SOPInstanceUID),
            modality=str(data.get("Modality") or ""),
            frames=film.frames,
            blacked=plan.blacked,
            sector_derived_from=inside.derived_from if inside is not None else None,
            text_check="person" if looked else "detector",
            frames_checked=checked,
            bytes=size,
        )


def _check_for_text(film: DicomImage, plan: PixelPlan, detector: TextDetector) -> int:
    """How many frames were searched; raises `EXPORT_TEXT_FOUND` at the first with text."""
    among = keyframes.spread_evenly(film.frames, MOST_TEXT_CHECKED)
    for index in among:
        if detector.boxes(deidentified_pixels.preview_frame(film, plan, index)):
            raise EXPORT_TEXT_FOUND(frame=index + 1)
    return len(among)


def _record_deidentification(data: Dataset, film: DicomImage, plan: PixelPlan, *, looked: bool) -> None:
    """Record the de-identification in the object itself (PS3.15 E.1.1, PS3.3 C.12.1.1.3 and C.7.6.1)."""
    looks = "a person looked, no detector" if looked else "detector found none"
    data.DeidentificationMethod = [
        f"Lantern {__version__}",
        f"PS3.15 {deidentified_header.PROFILE_EDITION} Annex E Basic Profile",
        "text in pixels: " + looks,
        *(["pixels outside the ultrasound sector blacked"] if plan.blacked else []),
    ]
    codes = [_BASIC, _CLEAN_PIXELS]
    data.DeidentificationMethodCodeSequence = [_code(value) for value in codes]
    data.BurnedInAnnotation = "NO"
    if "SOPClassUID" not in data or not data.get("SOPInstanceUID"):
        raise Undecodable(detail="it does not say what it is")


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", _MEANINGS[value]
    return item


def _create_file(out: Path) -> BinaryIO:
    """A new file; fails where something has its name, a link too."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(out, flags, 0o600), "w+b")


def _write_file(file: BinaryIO, data: Dataset, film: DicomImage, plan: PixelPlan) -> None:
    for syntax in deidentified_pixels.candidate_syntaxes(film.source):
        file.seek(0)
        file.truncate()
        file.write(_encode_head(data, syntax))
        if deidentified_pixels.write_pixel_element(file, film, plan, syntax):
            break
    file.flush()
    os.fsync(file.fileno())


def _encode_head(data: Dataset, syntax: UID) -> bytes:
    """Everything before the pixels: a preamble of zeros, our own file meta information, the header."""
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.ImplementationClassUID = UID(file_meta.IMPLEMENTATION_CLASS_UID)
    data.file_meta.ImplementationVersionName = "LANTERN_1"
    buffer = BytesIO()
    try:
        dcmwrite(buffer, data, enforce_file_format=True)
    except HEADER_ERRORS:
        raise Undecodable(detail="its header cannot be written again") from None
    return buffer.getvalue()
