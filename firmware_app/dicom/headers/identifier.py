"""The texts in the identifier of a query or of its answer (PS3.7 9.1.2), whatever character set they came in."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset

from firmware_app.dicom.headers.charset import decoded

CHARSET: Final = 0x00080005
NAME: Final = 0x00100010
_MOST_VALUE: Final = 1024
_LENGTHS: Final = 0xFFFF  # (gggg,0000), group lengths: no keys


def texts(dataset: Dataset, charset: bytes, most: int = _MOST_VALUE) -> dict[int, str]:
    """The values of *dataset* by tag, as text, of at most *most* bytes; a sequence is empty."""
    return {
        int(tag): decoded(raw(dataset, tag, most), charset, name=int(tag) == NAME).strip(" \0")
        for tag in dataset.keys()  # noqa: SIM118 - iterating the data set itself would convert every value
        if int(tag) != CHARSET and int(tag) & _LENGTHS
    }


def raw(dataset: Dataset, tag: int, most: int = _MOST_VALUE) -> bytes:
    """The bytes of a value as they came; empty for a sequence."""
    if tag not in dataset:
        return b""
    value = dataset.get_item(tag).value
    return value[:most] if isinstance(value, bytes) else b""
