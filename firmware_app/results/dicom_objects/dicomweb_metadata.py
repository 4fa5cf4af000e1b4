"""The DICOMweb metadata of a result object as DICOM JSON (PS3.18 F), with the position of its long values.

It is computed where the object is made, so that the process that answers viewers parses no object.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

METADATA_SUFFIX: Final = ".json"
_BULK: Final = (Tag("PixelData"), Tag("EncapsulatedDocument"))
_NEVER_SEARCHED: Final = frozenset(("SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "UT"))


def write_metadata(path: Path) -> Path:
    """Write the description of the object at *path* beside it, durable on return.

    It is ``{metadata, attributes, bulk}``: all of the object but its long values; of that what a search tells; and tag
    -> [first byte, bytes, frames] of the long values, 0 frames where they cannot be told apart by counting bytes.
    """
    data_set = dcmread(path)
    bulk: dict[str, list[int]] = {}
    representations: dict[str, dict[str, str]] = {}
    for tag in _BULK:
        raw: Any = data_set.get_item(tag) if tag in data_set else None
        if raw is not None:
            bulk[f"{tag:08X}"] = [raw.value_tell, *_measure_extent(data_set, raw)]
            representations[f"{tag:08X}"] = {"vr": raw.VR or "OB"}
            del data_set[tag]
    metadata: dict[str, Any] = dict(sorted((data_set.to_json_dict() | representations).items()))
    attributes = {
        tag: value for tag, value in metadata.items() if value["vr"] not in _NEVER_SEARCHED and tag not in bulk
    }
    made = path.with_suffix(METADATA_SUFFIX)
    with made.open("w", encoding="utf-8") as file:
        json.dump({"metadata": metadata, "attributes": attributes, "bulk": bulk}, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    return made


def _measure_extent(data_set: Dataset, raw: RawDataElement) -> tuple[int, int]:
    """Bytes without padding, and frames."""
    if raw.tag != _BULK[0]:
        return int(data_set.get("EncapsulatedDocumentLength") or raw.length), 0
    frames = int(data_set.get("NumberOfFrames") or 1)
    bits = int(data_set.Rows) * int(data_set.Columns) * int(data_set.SamplesPerPixel) * int(data_set.BitsAllocated)
    return (frames * bits // 8, frames) if bits % 8 == 0 else (raw.length, 0)
