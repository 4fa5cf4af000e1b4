"""DICOM films made by code: soft shapes that were never a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid


def film(
    pixels: np.ndarray[Any, Any] | None = None,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    pixel_data: bytes | None = None,
    **attributes: Any,
) -> FileDataset:
    """A CR chest film PA of an adult; *attributes* replace or (None) remove what it says by default."""
    if pixels is None:
        pixels = shapes(7)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    little = syntax != ExplicitVRBigEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=False, is_little_endian=little)
    signed = pixels.dtype.kind == "i"
    bits = pixels.dtype.itemsize * 8
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientAge": "045Y",
        "PatientName": "Nobody",
        "PatientID": "0",
        "StudyDate": "20260101",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 3 if pixels.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if pixels.ndim == 3 else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
        "PixelData": pixel_data if pixel_data is not None else _even(pixels.tobytes()),
        **({"PlanarConfiguration": 0} if pixels.ndim == 3 else {}),
        **attributes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(made, keyword, value)
    made["PixelData"].VR = "OB" if bits == 8 else "OW"
    if syntax.is_encapsulated:
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
    return made


def shapes(number: int, rows: int = 128, columns: int = 96, top: int = 4095) -> np.ndarray[Any, Any]:
    """(rows, columns) uint16 greys up to *top*: two dark fields in a bright one, elsewhere for each *number*."""
    chance = np.random.default_rng(number)
    down, across = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    greys = 0.75 + 0.2 * np.sin(chance.uniform(2, 4) * down + chance.uniform(0, 6))
    for middle in (0.3, 0.7):
        x, y = middle + chance.uniform(-0.05, 0.05), chance.uniform(0.4, 0.6)
        greys -= chance.uniform(0.4, 0.6) * np.exp(-(((across - x) / 0.14) ** 2) - ((down - y) / 0.25) ** 2)
    greys = (greys - greys.min()) / np.ptp(greys) + chance.normal(0, 0.004, greys.shape)
    return np.asarray(np.clip(greys * top, 0, top), dtype=np.uint16)


def to_ybr_full(rgb: np.ndarray[Any, Any], bits: int = 8) -> np.ndarray[Any, Any]:
    """RGB → YBR_FULL by the equations of PS3.3 C.7.6.3.1.2."""
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    chroma = [(rgb[..., at] - luma) * scale + 2 ** (bits - 1) for at, scale in ((2, 0.5 / 0.886), (0, 0.5 / 0.701))]
    return np.asarray(np.rint(np.clip(np.stack([luma, *chroma], -1), 0, 2**bits - 1)), rgb.dtype)


def save(folder: Path, name: str, dataset: FileDataset) -> Path:
    """Write *dataset* and return where."""
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    return path


def set_raw_decimals(dataset: Dataset, **values: bytes) -> None:
    """Put elements into *dataset* with the very bytes that a machine wrote, valid or not, as decimal strings."""
    for keyword, value in values.items():
        tag = Tag(keyword)
        dataset[tag] = RawDataElement(tag, "DS", len(_even(value)), _even(value), 0, False, True)


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)
