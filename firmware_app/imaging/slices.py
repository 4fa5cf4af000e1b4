"""One slice of a scan: its position in the body, and what distinguishes it from others.  No pixel is read here.

Positions are in DICOM's patient coordinates, LPS, in millimetres (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from firmware_app.core.errors import ImagingError
from firmware_app.core.records import Reason
from firmware_app.imaging import dicom_source, grey_transforms, header_values, spacing
from firmware_app.imaging.dicom_source import HEADER_ERRORS, PixelSource
from firmware_app.imaging.errors import LOCALIZER_LEFT_OUT, NO_SLICE, SeriesUnfit
from firmware_app.imaging.grey_scale import GreyScale, StoredWords

Vector = tuple[float, float, float]

_LOCALIZERS: Final = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})
_UNIT: Final = 0.01  # allowed deviation of a direction from length 1, and of two directions from a right angle
_FRAME_TYPES: Final = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "PETFrameTypeSequence")
# Attributes that distinguish images of the same position, the most specific first: passes, phases, echoes, …
_PASSES: Final = (
    ("", "AcquisitionNumber"),
    ("", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("", "EchoNumbers"),
    ("MREchoSequence", "EffectiveEchoTime"),
    ("", "DiffusionBValue"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("", "TriggerTime"),
    ("", "ConvolutionKernel"),
    ("", "ImageType"),
    ("FrameContentSequence", "StackID"),
    ("", "AcquisitionTime"),
)


@dataclass(frozen=True, slots=True)
class Slice:
    """A frame with a position in the body.  `across` points along its rows, `down` along its columns, both of length 1.

    `position` is the centre of the first pixel, `pixel_mm` the pixel spacing (down, across).  `whole`: the rescaled
    values are whole numbers.  `unit` is "HU" where they are Hounsfield units.
    """

    path: Path = field(repr=False)
    frame: int
    instance: str = field(repr=False)  # a UID
    belongs: tuple[str, ...] = field(repr=False)  # series and frame of reference, UIDs too
    modality: str
    rows: int
    columns: int
    position: Vector
    across: Vector
    down: Vector
    pixel_mm: tuple[float, float]
    whole: bool
    unit: str
    doubt: str = ""  # why `unit` is not Hounsfield
    passes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def normal(self) -> NDArray[np.float64]:
        """The normal of the slice: `across` × `down`, right-handed."""
        return np.cross(self.across, self.down)

    @property
    def place(self) -> NDArray[np.float64]:
        """`position` as an array."""
        return np.asarray(self.position, np.float64)


@dataclass(frozen=True, slots=True)
class ExcludedFrame:
    """A frame that is in no volume, and why; frame 0 stands for a whole file that cannot be opened."""

    path: Path = field(repr=False)
    frame: int
    reason: Reason


def read_slices(path: Path) -> list[Slice | ExcludedFrame]:
    """Every frame of the DICOM object at *path*; raises nothing.

    The libraries' warnings are silenced, because they quote header values, which may be a patient's.
    """
    made: list[Slice | ExcludedFrame] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with dicom_source.open_source(path) as image:
                for frame in range(image.frames):
                    try:
                        made.append(_slice(image, path, frame))
                    except SeriesUnfit as error:
                        made.append(ExcludedFrame(path, frame, Reason.from_error(error)))
        except ImagingError as error:
            made.append(ExcludedFrame(path, 0, Reason.from_error(error)))
    return made


def read_position_mm(header: Dataset, frame: int) -> float | None:
    """How far along its normal a frame lies, by which slices are ordered; None where the header does not say."""
    try:
        across, down = _directions(header, frame)
        return float(np.dot(_position(header, frame), np.cross(across, down)))
    except SeriesUnfit:
        return None


def read_unit(header: Dataset, frame: int, *, is_table: bool = False) -> str:
    """``HU`` where the values of a frame are Hounsfield units, else empty."""
    return "" if _find_doubt(header, frame, is_table=is_table) else "HU"


def _slice(image: PixelSource, path: Path, frame: int) -> Slice:
    header = image.header
    if _is_localizer(header, frame):
        raise LOCALIZER_LEFT_OUT()
    if image.samples != 1 or image.photometric == "PALETTE COLOR":
        raise NO_SLICE(detail="PhotometricInterpretation")
    across, down = _directions(header, frame)
    size = spacing.read_spacing(header, frame).mm
    if size is None:
        raise NO_SLICE(detail="PixelSpacing")
    reach = StoredWords(image.allocated, image.stored, image.high_bit, image.signed).value_range
    scale = grey_transforms.read_modality_transform(header, frame, reach)
    if scale.dropped:  # its values are not those of the other slices
        raise NO_SLICE(detail="RescaleSlope")
    doubt = _find_doubt(header, frame, is_table=scale.modality is not None)
    return Slice(
        path=path,
        frame=frame,
        instance=_text(_value(header, "SOPInstanceUID")),
        belongs=(_text(_value(header, "SeriesInstanceUID")), _text(_value(header, "FrameOfReferenceUID"))),
        modality=_text(_value(header, "Modality")),
        rows=image.rows,
        columns=image.columns,
        position=_position(header, frame),
        across=across,
        down=down,
        pixel_mm=size,
        whole=scale.modality is not None or _are_whole(scale, image),
        unit="" if doubt else "HU",
        doubt=doubt,
        passes=tuple(_read_group_text(header, frame, group, keyword) for group, keyword in _PASSES),
    )


def _is_localizer(header: Dataset, frame: int) -> bool:
    """Whether Image Type or Frame Type names a localizer, from value 3 on (PS3.3 C.8.2.1.1.1, C.8.15.3.1.1)."""
    types = [_value(header, "ImageType")]
    types += [_value(grey_transforms.functional_group(header, frame, keyword), "FrameType") for keyword in _FRAME_TYPES]
    return any(_LOCALIZERS & {_text(word).upper() for word in _as_list(value)[2:]} for value in types)


def _directions(header: Dataset, frame: int) -> tuple[Vector, Vector]:
    values = _read_coordinates(
        grey_transforms.functional_group(header, frame, "PlaneOrientationSequence"), "ImageOrientationPatient"
    )
    if len(values) != 6:
        raise NO_SLICE(detail="ImageOrientationPatient")
    across, down = np.asarray(values[:3]), np.asarray(values[3:])
    lengths = [float(np.linalg.norm(across)), float(np.linalg.norm(down))]
    if any(abs(length - 1) > _UNIT for length in lengths) or abs(float(across @ down)) > _UNIT:
        raise NO_SLICE(detail="ImageOrientationPatient")
    return _vector(across / lengths[0]), _vector(down / lengths[1])


def _position(header: Dataset, frame: int) -> Vector:
    values = _read_coordinates(
        grey_transforms.functional_group(header, frame, "PlanePositionSequence"), "ImagePositionPatient"
    )
    if len(values) != 3:
        raise NO_SLICE(detail="ImagePositionPatient")
    return _vector(np.asarray(values))


def _find_doubt(header: Dataset, frame: int, *, is_table: bool) -> str:
    """The attribute that shows that the values are not Hounsfield units, or "" (PS3.3 C.8.2.1.1.6, C.8.15.3.10)."""
    if _text(_value(header, "Modality")) != "CT":
        return "Modality"
    if is_table:
        return "ModalityLUTSequence"
    rescale = grey_transforms.functional_group(header, frame, "PixelValueTransformationSequence")
    if any(
        header_values.read_decimals(rescale, keyword).single is None for keyword in ("RescaleSlope", "RescaleIntercept")
    ):
        return "RescaleSlope"
    return "" if _text(_value(rescale, "RescaleType")).upper() in ("", "HU") else "RescaleType"


def _are_whole(scale: GreyScale, image: PixelSource) -> bool:
    numbers = (scale.slope, scale.intercept)
    return image.keyword == "PixelData" and all(float(number).is_integer() for number in numbers)


def _read_group_text(header: Dataset, frame: int, group: str, keyword: str) -> str:
    item = grey_transforms.functional_group(header, frame, group) if group else header
    return "\\".join(_text(value) for value in _as_list(_value(item, keyword)))


def _value(item: Dataset, keyword: str) -> Any:
    """The value of an element, None where it is absent or cannot be read."""
    try:
        return item.get(keyword)
    except HEADER_ERRORS:
        return None


def _as_list(value: Any) -> list[Any]:
    if value is None or isinstance(value, (str, bytes, int, float)):
        return [] if value in (None, "") else [value]
    return list(value)


def _read_coordinates(item: Dataset, keyword: str) -> tuple[float, ...]:
    """The numbers of an element; empty where one of them is none that a place or a direction has."""
    numbers = header_values.read_decimals(item, keyword).whole
    return numbers if all(abs(number) < 1e6 for number in numbers) else ()


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _text(value: Any) -> str:
    return str(value if value is not None else "").strip()
