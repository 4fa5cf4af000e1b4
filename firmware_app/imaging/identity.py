"""Who the patient is, as the DICOM header says it, for the people at the viewer.  It never leaves the box.

The decode child, which alone opens the file, writes ``identity.json`` beside the frames for people.  Text is decoded by
`firmware_app.charset`, so that a Chinese console's GBK comes out right where its charset was never declared.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from firmware_app.charset import decoded
from firmware_app.imaging.source import BROKEN

FILE_NAME: Final = "identity.json"
_CHARSET: Final = "SpecificCharacterSet"
_KEYWORDS: Final = {"name": "PatientName", "patient_id": "PatientID", "age": "PatientAge", "sex": "PatientSex"}
_MOST_BYTES: Final = 512


def of(header: Dataset) -> dict[str, str]:
    """``name``, ``patient_id``, ``age`` and ``sex``, each where the header has it."""
    found = {key: text(header, keyword, header) for key, keyword in _KEYWORDS.items()}
    found["name"] = spoken(found["name"])
    return {key: value for key, value in found.items() if value}


def text(header: Dataset, keyword: str, top: Dataset) -> str:
    """The words of one element of *header*, which is *top* or lies within it, whatever bytes they were written in."""
    charset = _bytes(header, _CHARSET) or _bytes(top, _CHARSET)
    return decoded(_bytes(header, keyword), charset, name=keyword == "PatientName").strip(" \0")


def spoken(name: str) -> str:
    """A PN value (PS3.5 6.2.1) as people say it: its ideographic form where it has one, else the first that is filled.

    Chinese components are joined without a space; others in the order in which they were written.
    """
    groups = [group for group in name.split("=") if group.strip("^ ")]
    if not groups:
        return ""
    chosen = next((group for group in groups if _ideographic(group)), groups[0])
    parts = [part.strip() for part in chosen.split("^") if part.strip()]
    return ("" if _ideographic(chosen) else " ").join(parts)


def write(identity: Mapping[str, str], folder: Path) -> None:
    """Write ``identity.json`` into *folder*, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{FILE_NAME}.part"
    beside.write_text(json.dumps(dict(identity), ensure_ascii=False), "utf-8")
    os.replace(beside, folder / FILE_NAME)


def _ideographic(text: str) -> bool:
    return any(unicodedata.name(character, "").startswith("CJK UNIFIED") for character in text)


def _bytes(header: Dataset, keyword: str) -> bytes:
    """The element's bytes as they stand in the file; an element that pydicom has already decoded is put back."""
    try:
        element = header.get_item(keyword)
        value = getattr(element, "value", None)
    except BROKEN:
        return b""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value[:_MOST_BYTES]
    original = getattr(value, "original_string", None)  # pydicom's PersonName keeps it
    if isinstance(original, bytes):
        return original[:_MOST_BYTES]
    parts = value if isinstance(value, (list, tuple)) else [value]
    return "\\".join(str(part) for part in parts).encode("utf-8")[:_MOST_BYTES]
