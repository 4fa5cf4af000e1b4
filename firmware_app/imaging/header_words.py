"""Text values of a DICOM header in the decode child, and the patient's identity among them."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from firmware_app.dicom.headers import identity
from firmware_app.imaging.source import BROKEN

_CHARSET: Final = "SpecificCharacterSet"


def of(header: Dataset) -> dict[str, str]:
    """``name``, ``patient_id``, ``age`` and ``sex``, as far as the header has them."""
    values = {key: _bytes(header, keyword) for key, keyword in identity.KEYWORDS.items()}
    return identity.of(values, _bytes(header, _CHARSET))


def text(header: Dataset, keyword: str, top: Dataset) -> str:
    """The text of one element of *header*, which is *top* or a nested item of it, in whatever character set."""
    return identity.text(_bytes(header, keyword), _bytes(header, _CHARSET) or _bytes(top, _CHARSET))


def _bytes(header: Dataset, keyword: str) -> bytes:
    """The element's bytes as in the file; an element that pydicom has already decoded is encoded again."""
    try:
        element = header.get_item(keyword)
        value = getattr(element, "value", None)
    except BROKEN:
        return b""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value[: identity.MOST_BYTES]
    original = getattr(value, "original_string", None)  # pydicom's PersonName keeps it
    if isinstance(original, bytes):
        return original[: identity.MOST_BYTES]
    parts = value if isinstance(value, (list, tuple)) else [value]
    return "\\".join(str(part) for part in parts).encode("utf-8")[: identity.MOST_BYTES]
