"""Read numbers and text from a DICOM header as devices write them.

Devices also write a decimal comma, the unit behind the number and NUL as padding (PS3.5 6.2 allows none of it).  What
can only mean one thing is read as meant; anything else is unreadable, and the caller drops all that belongs to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from firmware_app.dicom import patient_data
from firmware_app.imaging.dicom_source import HEADER_ERRORS

_PADDING: Final = " \0\t\r\n"
_NUMBER: Final = re.compile(r"([+-]?)( *)(\d+[.,]?\d*|[.,]\d+)((?:[eE][+-]?\d+)?)( *[A-Za-z]*)", re.ASCII)
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_MAY_BE_THOUSANDS: Final = frozenset({"RescaleIntercept", "WindowCenter", "WindowWidth"})
"""Of these -1,024 may be -1024 or -1.024; the other attributes have no thousands."""
_LONGEST: Final = 64  # characters; 16 are allowed (PS3.5 6.2), and some machines write all digits of a double
_WHOLE: Final = frozenset({"SL", "SS", "SV", "UL", "US", "UV"})
_BINARY: Final = _WHOLE | {"FD", "FL"}
_UNITS: Final[dict[str, frozenset[str]]] = {
    "mm": frozenset(
        {"PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "SliceThickness", "ImagePositionPatient"}
    ),
    "ms": frozenset({"FrameTime", "FrameTimeVector"}),
    "hu": frozenset({"RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"}),
}
"""The unit in which an attribute is defined; no other may stand behind its number."""


@dataclass(frozen=True, slots=True)
class Decimals:
    """The `values` of an element without empty ones at its end; None for an empty or unreadable one.

    `mended`: one of them was written in another way than the standard has it, and was read as meant.
    """

    values: tuple[float | None, ...] = ()
    unreadable: bool = False
    mended: bool = False

    @property
    def whole(self) -> tuple[float, ...]:
        """All values; empty where one of them is not a number."""
        found = tuple(value for value in self.values if value is not None)
        return found if len(found) == len(self.values) else ()

    @property
    def single(self) -> float | None:
        """The value of an attribute that has one; None where there is none, or another beside it."""
        return self.whole[0] if len(set(self.whole)) == 1 else None


def read_decimals(header: Dataset, keyword: str) -> Decimals:
    """The numbers of the element *keyword*; no value where it is absent or empty."""
    try:
        parts = _split_values(header, keyword)
    except HEADER_ERRORS:
        return Decimals((None,), unreadable=True)
    while parts and parts[-1] == "":
        parts.pop()
    read = [_parse_decimal(part, keyword) for part in parts]
    values = tuple(value for value, _ in read)
    unreadable = any(value is None and part != "" for value, part in zip(values, parts, strict=True))
    return Decimals(values, unreadable, any(mended for _, mended in read))


def read_pair(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """Two numbers above 0, as spacings (PS3.3 10.7.1.1) and aspect ratios are; else None."""
    values = read_decimals(header, keyword).whole
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def read_texts(header: Dataset, keyword: str) -> list[str]:
    """The values of an element as written, without their padding.  Raises one of `HEADER_ERRORS`."""
    return [str(getattr(value, "original_string", value)).strip(_PADDING) for value in _split_values(header, keyword)]


def _split_values(header: Dataset, keyword: str) -> list[str | float]:
    """The values of an element: text without its padding, or numbers of a binary element.

    What pydicom could not convert is never asked of it: it would try other VRs, and find numbers in the letters.
    """
    tag = Tag(keyword)
    if tag not in header:
        return []
    element: Any = header.get_item(tag)
    if not isinstance(element, RawDataElement):
        if element.VR in _WHOLE and dictionary_VR(tag) not in _WHOLE:
            raise ValueError(f"{keyword} was read as {element.VR}")
        return _split_text(element.value)
    kind = element.VR if element.VR not in (None, "UN") else dictionary_VR(tag)
    if kind in _BINARY:
        return _split_text(header[tag].value)
    return _split_text(element.value or b"")


def _split_text(value: Any) -> list[str | float]:
    value = value.decode("latin-1").split("\\") if isinstance(value, bytes) else value
    single = value is None or isinstance(value, (str, int, float))
    parts: Iterable[Any] = [value] if single else value
    return [part if isinstance(part, (int, float)) else str(part or "").strip(_PADDING) for part in parts]


def _parse_decimal(part: str | float, keyword: str) -> tuple[float | None, bool]:
    """The number, and whether it was mended."""
    if isinstance(part, (int, float)):
        return (float(part) if math.isfinite(part) else None), False
    match = _NUMBER.fullmatch(part) if len(part) <= _LONGEST else None
    if match is None:
        return None, False
    sign, inner, digits, exponent, unit = match.groups()
    if unit.strip() and keyword not in _UNITS.get(unit.strip().lower(), ()):
        return None, False
    if keyword in _MAY_BE_THOUSANDS and _THOUSANDS.fullmatch(digits):
        return None, False
    value = float(sign + digits.replace(",", ".") + exponent)
    return (value, bool(inner or unit) or "," in digits) if math.isfinite(value) else (None, False)


_CHARSET: Final = "SpecificCharacterSet"


def read_identity(header: Dataset) -> dict[str, str]:
    """``name``, ``patient_id``, ``age`` and ``sex``, as far as the header has them."""
    values = {key: _raw_bytes(header, keyword) for key, keyword in patient_data.IDENTITY_KEYWORDS.items()}
    return patient_data.collect_identity(values, _raw_bytes(header, _CHARSET))


def read_text(header: Dataset, keyword: str, top: Dataset) -> str:
    """The text of one element of *header*, which is *top* or a nested item of it, in whatever character set."""
    return patient_data.identity_text(
        _raw_bytes(header, keyword), _raw_bytes(header, _CHARSET) or _raw_bytes(top, _CHARSET)
    )


def _raw_bytes(header: Dataset, keyword: str) -> bytes:
    """The element's bytes as in the file; an element that pydicom has already decoded is encoded again."""
    try:
        element = header.get_item(keyword)
        value = getattr(element, "value", None)
    except HEADER_ERRORS:
        return b""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value[: patient_data.MOST_IDENTITY_BYTES]
    original = getattr(value, "original_string", None)  # pydicom's PersonName keeps it
    if isinstance(original, bytes):
        return original[: patient_data.MOST_IDENTITY_BYTES]
    parts = value if isinstance(value, (list, tuple)) else [value]
    return "\\".join(str(part) for part in parts).encode("utf-8")[: patient_data.MOST_IDENTITY_BYTES]
