"""Who the patient is, as an image's header says it, for the people at the viewer.  It never leaves the box.

``identity.json`` lies beside the frames for people.  The door writes it as soon as it has accepted an image, so that a
name is there before anything is read; the decode child writes it once more with the frames.  Text is decoded by
`charset`, so that a Chinese console's GBK comes out right where its charset was never declared.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from firmware_app.headers.charset import decoded

FILE_NAME: Final = "identity.json"
KEYWORDS: Final = {"name": "PatientName", "patient_id": "PatientID", "age": "PatientAge", "sex": "PatientSex"}
MOST_BYTES: Final = 512  # of one value


def of(values: Mapping[str, bytes], charset: bytes) -> dict[str, str]:
    """The keys of `KEYWORDS` in words, each where the header has it: of its *values* as they stand in the file."""
    texts = {key: text(value, charset, is_name=key == "name") for key, value in values.items()}
    texts["name"] = spoken(texts.get("name", ""))
    return {key: value for key, value in texts.items() if value}


def text(value: bytes, charset: bytes, *, is_name: bool = False) -> str:
    """The words of one element, whatever bytes they were written in."""
    return decoded(value[:MOST_BYTES], charset, name=is_name).strip(" \0")


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
    beside = folder / f".{FILE_NAME}.{os.getpid()}"  # the door and the decode child may write at the same instant
    beside.write_text(json.dumps(dict(identity), ensure_ascii=False), "utf-8")
    os.replace(beside, folder / FILE_NAME)


def _ideographic(text: str) -> bool:
    return any(unicodedata.name(character, "").startswith("CJK UNIFIED") for character in text)
