"""The source image as the result objects need it: identity, study and geometry, each value checked.

What a header gets wrong would make our objects wrong too, so nothing is copied as it stands: text is decoded by the
box's own rules (`dicom.charset`), and a value that breaks its VR (PS3.5 6.2) is left out.  No pixel is read.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage

from firmware_app.core.errors import Undecodable
from firmware_app.core.records import Header, is_uid
from firmware_app.dicom import charset, patient_data
from firmware_app.imaging import grey_transforms, header_values
from firmware_app.imaging.dicom_source import HEADER_ERRORS
from firmware_app.results import key_images
from firmware_app.results.case_view import CaseView, SourceImage
from firmware_app.results.dicom_objects.coded_concepts import ResultUids

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_DATE: Final = re.compile(r"(\d{4})\.?(0[1-9]|1[0-2])\.?(0[1-9]|[12]\d|3[01])")
_TIME: Final = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?")
_CODE: Final = re.compile(r"[A-Z0-9 _]{1,16}")
_NUMBER: Final = re.compile(r"[+-]?\d{1,11}")
_ZONE: Final = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d")
_SEXES: Final = ("M", "F", "O")
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_SINGLE_FRAME: Final = frozenset(
    _STORAGE + suffix
    for suffix in (
        "1",
        "1.1",
        "1.1.1",
        "1.2",
        "1.2.1",
        "1.3",
        "1.3.1",
        "2",
        "4",
        "6",
        "6.1",
        "7",
        "128",
        "77.1.1",
        "77.1.2",
        "77.1.3",
        "77.1.4",
    )
)
"""Image classes without Number of Frames (PS3.3 A); some writers put several frames into them all the same."""


def _limit_line(most: int) -> Callable[[str], str]:
    return lambda text: " ".join(_CONTROL.sub(" ", text).split())[:most].strip()


def _require_pattern(pattern: re.Pattern[str]) -> Callable[[str], str]:
    return lambda text: text if pattern.fullmatch(text) else ""


def _clean_date(text: str) -> str:
    match = _DATE.fullmatch(text)
    return "".join(match.groups()) if match else ""


def clean_person_name(text: str) -> str:
    """A PN (PS3.5 6.2.1): at most three groups of 64 characters, without empty groups at the end."""
    groups = [_limit_line(64)(group) for group in text.split("=")[:3]]
    return "=".join(groups).rstrip("=^ ")


_TEXTS: Final[dict[str, Callable[[str], str]]] = {
    "PatientName": clean_person_name,
    "PatientID": _limit_line(64),
    "IssuerOfPatientID": _limit_line(64),
    "PatientBirthDate": _clean_date,
    "PatientSex": lambda text: text if text in _SEXES else "",
    "PatientAge": patient_data.clean_age,
    "StudyDate": _clean_date,
    "StudyTime": _require_pattern(_TIME),
    "StudyID": _limit_line(16),
    "AccessionNumber": _limit_line(16),
    "StudyDescription": _limit_line(64),
    "ReferringPhysicianName": clean_person_name,
    "TimezoneOffsetFromUTC": _require_pattern(_ZONE),
    "Modality": _require_pattern(_CODE),
    "BodyPartExamined": _require_pattern(_CODE),
    "SeriesNumber": _require_pattern(_NUMBER),
    "InstanceNumber": _require_pattern(_NUMBER),
}
_ALWAYS: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Of type 2 in the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): present, empty where unknown."""


def read_source(image: SourceImage, view: CaseView, uids: ResultUids) -> Dataset:
    """The checked header of *image*; raises `Undecodable`.

    A picture without a header gets UIDs of the box and the patient as entered by a person; so does an object that lacks
    its study or series.
    """
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    header = _read_header(Path(image.file)) if image.header is not None and Path(image.file).is_file() else Dataset()
    terms = _read_bytes(header, "SpecificCharacterSet")
    for keyword, checked in _TEXTS.items():
        value = checked(charset.decode_text(_read_bytes(header, keyword), terms, name=keyword.endswith("Name")).strip())
        if value or keyword in _ALWAYS:
            setattr(made, keyword, value)
    _complete_patient(made, view)
    made.Modality = made.get("Modality") or "OT"
    _set_identity(made, image, view, uids)
    if image.header is None:
        _set_picture_shape(made, image)
    else:
        _set_shape(made, header, image.header)
    return made


def read_patient_name(image: SourceImage) -> str:
    """The name in the header of *image*, with its groups and components; empty where it says none."""
    if image.header is None or not Path(image.file).is_file():
        return ""
    try:
        header = _read_header(Path(image.file))
    except Undecodable:
        return ""
    return clean_person_name(
        charset.decode_text(_read_bytes(header, "PatientName"), _read_bytes(header, "SpecificCharacterSet"), name=True)
    )


def _complete_patient(made: Dataset, view: CaseView) -> None:
    """What the image does not say of the patient is taken from what a person entered.

    What it does say stays, right or wrong: an archive files an object under the patient that it names.
    """
    patient = view.patient
    for keyword, value in (
        ("PatientName", patient.name),
        ("PatientID", patient.patient_id),
        ("PatientSex", patient.sex),
        ("PatientAge", patient.age),
    ):
        checked = _TEXTS[keyword](value)
        if checked and not made.get(keyword):
            setattr(made, keyword, checked)


def derive_picture_uid(image: SourceImage, view: CaseView, uids: ResultUids) -> UID:
    """The SOP Instance UID of a picture without a header: a new one when a person has said whose it is."""
    return uids.derive("picture", view.drawn_version, image.instance)


def _set_identity(made: Dataset, image: SourceImage, view: CaseView, uids: ResultUids) -> None:
    header = image.header
    if header is None:
        made.SOPClassUID = SecondaryCaptureImageStorage
        made.SOPInstanceUID = derive_picture_uid(image, view, uids)
        made.StudyInstanceUID, made.SeriesInstanceUID = uids.derive("study"), uids.derive_series("picture")
        return
    made.SOPClassUID, made.SOPInstanceUID = UID(header.sop_class_uid), UID(header.sop_instance_uid)
    made.StudyInstanceUID = UID(header.study_instance_uid or uids.derive("study"))
    made.SeriesInstanceUID = UID(header.series_instance_uid or uids.derive("series of", image.instance))


def _set_picture_shape(made: Dataset, image: SourceImage) -> None:
    """As `secondary_capture.make_plain_images` writes it."""
    shown = key_images.read_facts(Path(image.display), 0)
    made.Rows, made.Columns = int(shown.get("shown_rows") or 0), int(shown.get("shown_columns") or 0)
    made.SamplesPerPixel, made.BitsAllocated, made.BitsStored, made.PixelRepresentation = 3, 8, 8, 0
    made.PhotometricInterpretation = "RGB"


def _set_shape(made: Dataset, header: Dataset, known: Header) -> None:
    made.Rows = _read_number(header, "Rows") or known.rows or 0
    made.Columns = _read_number(header, "Columns") or known.columns or 0
    made.SamplesPerPixel = _read_number(header, "SamplesPerPixel") or 1
    made.BitsAllocated = _read_number(header, "BitsAllocated") or 8
    made.BitsStored = _read_number(header, "BitsStored") or made.BitsAllocated
    made.PixelRepresentation = _read_number(header, "PixelRepresentation") & 1
    made.PhotometricInterpretation = _limit_line(16)(
        _read_bytes(header, "PhotometricInterpretation").decode("ascii", "replace")
    )
    if made.SOPClassUID not in _SINGLE_FRAME:
        made.NumberOfFrames = max(1, _read_number(header, "NumberOfFrames"))
        made.SharedFunctionalGroupsSequence = [Dataset()]  # where highdicom looks, in whichever class
        made.PerFrameFunctionalGroupsSequence = [Dataset()]
    scale = grey_transforms.read_modality_transform(header, 0)
    if scale.modality is None and not scale.dropped:
        made.RescaleIntercept, made.RescaleSlope = _round_to_ds(scale.intercept), _round_to_ds(scale.slope)
        made.RescaleType = "HU" if made.Modality == "CT" else "US"
    spacing = _read_decimals(header, "PixelSpacing", 2) or _read_decimals(header, "ImagerPixelSpacing", 2)
    if spacing and all(0.0001 < one < 1000 for one in spacing):
        made.PixelSpacing = spacing
    frame_of_reference = _read_bytes(header, "FrameOfReferenceUID").decode("ascii", "replace").strip("\0 ")
    if not is_uid(frame_of_reference):
        return
    if "NumberOfFrames" in made:
        planes = _read_planes(header, int(made.NumberOfFrames))
        if planes is not None:
            made.FrameOfReferenceUID, made.PositionReferenceIndicator = frame_of_reference, ""
            made.PerFrameFunctionalGroupsSequence = planes
        return
    position = _read_decimals(header, "ImagePositionPatient", 3)
    orientation = _read_decimals(header, "ImageOrientationPatient", 6)
    if position and _is_orientation(orientation) and "PixelSpacing" in made:
        made.ImagePositionPatient, made.ImageOrientationPatient = position, orientation
        made.FrameOfReferenceUID, made.PositionReferenceIndicator = frame_of_reference, ""
        thickness = _read_decimals(header, "SliceThickness", 1)
        made.SliceThickness = thickness[0] if thickness and 0 < thickness[0] < 1000 else None


def extract_frame(source: Dataset, frame: int) -> Dataset:
    """One frame of a clip as an image by itself, with the place of that frame in the patient where it is known.

    Without one it is of a class of single frames, because highdicom asks a clip for its place; the caller names the
    true class afterwards.
    """
    made = copy.deepcopy(source)  # a shallow copy shares its elements, and setting one would change both
    if "FrameOfReferenceUID" not in source:
        del made.NumberOfFrames, made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence
        made.SOPClassUID = SecondaryCaptureImageStorage
        return made
    made.NumberOfFrames = 1
    plane = source.PerFrameFunctionalGroupsSequence[frame]
    shared, own = Dataset(), Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = (
        plane.PlaneOrientationSequence,
        plane.PixelMeasuresSequence,
    )
    own.PlanePositionSequence = plane.PlanePositionSequence
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], [own]
    return made


def _read_planes(header: Dataset, frames: int) -> list[Dataset] | None:
    """The checked plane of every frame of an enhanced object (PS3.3 C.7.6.16.2); None unless all are there."""
    made = []
    try:
        shared = header.SharedFunctionalGroupsSequence[0]
        each = list(header.PerFrameFunctionalGroupsSequence)
        for one in each:
            position = _read_decimals(_find_first("PlanePositionSequence", one, shared), "ImagePositionPatient", 3)
            orientation = _read_decimals(
                _find_first("PlaneOrientationSequence", one, shared), "ImageOrientationPatient", 6
            )
            measures = _find_first("PixelMeasuresSequence", one, shared)
            spacing, thickness = (
                _read_decimals(measures, "PixelSpacing", 2),
                _read_decimals(measures, "SliceThickness", 1),
            )
            if not (position and _is_orientation(orientation) and spacing and thickness):
                return None
            plane, of_position, of_orientation, of_pixels = (Dataset() for _ in range(4))
            of_position.ImagePositionPatient, of_orientation.ImageOrientationPatient = position, orientation
            of_pixels.PixelSpacing, of_pixels.SliceThickness = spacing, thickness[0]
            plane.PlanePositionSequence, plane.PlaneOrientationSequence = [of_position], [of_orientation]
            plane.PixelMeasuresSequence = [of_pixels]
            made.append(plane)
    except HEADER_ERRORS:
        return None
    return made if len(made) == frames else None


def _find_first(keyword: str, *groups: Dataset) -> Dataset:
    return next((group[keyword].value[0] for group in groups if keyword in group), Dataset())


def _is_orientation(values: list[float] | None) -> bool:
    """Two unit vectors at a right angle (PS3.3 C.7.6.2.1.1)."""
    if values is None:
        return False
    across, down = values[:3], values[3:]
    lengths = (sum(one * one for one in across), sum(one * one for one in down))
    return all(abs(length - 1) < 1e-3 for length in lengths) and (
        abs(sum(a * b for a, b in zip(across, down, strict=True))) < 1e-3
    )


def _read_header(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except HEADER_ERRORS:
        raise Undecodable(detail="its header is broken") from None


def _read_bytes(header: Dataset, keyword: str) -> bytes:
    """The bytes of an element as they stand in the file; empty where it is absent or no text."""
    tag = Tag(keyword)
    try:
        element: Any = header.get_item(tag) if tag in header else None
    except HEADER_ERRORS:
        return b""
    if isinstance(element, RawDataElement):
        return bytes(element.value)[:1024] if isinstance(element.value, bytes) else b""
    # pydicom has already converted the character set and what else it needs itself.
    value = element.value if element is not None else ""
    parts = value if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]
    return "\\".join(str(part) for part in parts if part is not None).encode("ascii", "replace")


def _read_number(header: Dataset, keyword: str) -> int:
    try:
        value = header.get(keyword)
        if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
            value = value[0]
        return max(0, int(value or 0))
    except (*HEADER_ERRORS, TypeError, ArithmeticError):
        return 0


def _read_decimals(header: Dataset, keyword: str, count: int) -> list[float] | None:
    """*count* numbers, rounded to what fits into a DS of 16 characters; None where there are others."""
    numbers = header_values.read_decimals(header, keyword).whole
    return (
        [_round_to_ds(number) for number in numbers]
        if len(numbers) == count and all(abs(number) < 1e7 for number in numbers)
        else None
    )


def _round_to_ds(number: float) -> float:
    return float(f"{number:.9g}")  # at the most -1.23456789e-123
