"""The patient's identity from an image's header, for people at the viewer.  It never leaves the box.

``identity.json`` lies beside the frames for the viewer.  The door writes it as soon as it has accepted an image, so
that the name is there before the image is read; the decode child writes it again with the frames.  Text is decoded by
`charset`, so that a Chinese console's GBK is readable also when no character set was declared.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from firmware_app.dicom.headers.charset import decoded

FILE_NAME: Final = "identity.json"
KEYWORDS: Final = {
    "name": "PatientName",
    "patient_id": "PatientID",
    "age": "PatientAge",
    "sex": "PatientSex",
    "accession": "AccessionNumber",  # of the examination; people name it in a register of outcomes
    "issuer": "IssuerOfPatientID",  # whose number `patient_id` is
}
MOST_BYTES: Final = 512  # of one value


def of(values: Mapping[str, bytes], charset: bytes) -> dict[str, str]:
    """The attributes of `KEYWORDS` that the header has, as text; *values* are the bytes in the file."""
    texts = {key: text(value, charset, is_name=key == "name") for key, value in values.items()}
    texts["name"] = spoken(texts.get("name", ""))
    return {key: value for key, value in texts.items() if value}


def text(value: bytes, charset: bytes, *, is_name: bool = False) -> str:
    """The text of one element in whatever character set."""
    return decoded(value[:MOST_BYTES], charset, name=is_name).strip(" \0")


def spoken(name: str) -> str:
    """A PN value (PS3.5 6.2.1) as people write it: its ideographic group if present, else the first that is not empty.

    Chinese components are joined without a space, others with spaces, in the order of the header.
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
    beside = folder / f".{FILE_NAME}.{os.getpid()}"  # the door and the decode child may write at the same instant
    beside.write_text(json.dumps(dict(identity), ensure_ascii=False), "utf-8")
    os.replace(beside, folder / FILE_NAME)


def _ideographic(text: str) -> bool:
    return any(unicodedata.name(character, "").startswith("CJK UNIFIED") for character in text)
