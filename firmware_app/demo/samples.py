"""What the demo sends, and the sending over one real DICOM association.

The real images come from the PyPI package pydicom-data; the two children's films are synthetic golden cases of the
shipped pack, wrapped as DICOM here and marked as made by code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE

from firmware_app.demo.stage import DemoFailed
from firmware_app.packs import shelf

_REAL: Final = (
    ("RG1_UNCR.dcm", "adult chest film RG1"),
    ("RG3_J2KR.dcm", "leg film RG3, JPEG 2000"),
    ("US1_J2KR.dcm", "ultrasound US1, JPEG 2000"),
    ("JPGLosslessP14SV1_1s_1f_8b.dcm", "ultrasound, JPEG lossless"),
    ("693_UNCR.dcm", "CT slice 693"),
    ("MR2_UNCR.dcm", "MR slice MR2"),
)


@dataclass(frozen=True)
class Sample:
    """One object to send: what it is, in words, and whether a patient ever stood behind it."""

    title: str
    origin: str  # "real" or "synthetic"
    dataset: Dataset


def _real_samples() -> list[Sample]:
    try:
        import data_store
    except ImportError:
        raise DemoFailed("the package pydicom-data is missing; run it through `make demo`.") from None
    folder = Path(data_store.__file__).parent / "data"
    return [Sample(title, "real", dcmread(folder / name)) for name, title in _REAL]


def _synthetic_samples() -> list[Sample]:
    """Of the golden films that the children's pack carries, the first below its threshold and the first above."""
    pack = next((p for p in shelf.list_packs(shelf.shipped_packs_dir()) if p.name == "chest-xray-child"), None)
    if pack is None:
        raise DemoFailed("the pack chest-xray-child is missing from this installation.")
    finding = pack.manifest.findings[0]
    films = [
        (golden.expected["fp32"][finding.code] >= finding.threshold, pack.folder / golden.path)
        for golden in pack.manifest.golden
        if golden.kind == "sample" and golden.path
    ]
    chosen = [next(path for found, path in films if found is wanted) for wanted in (False, True)]
    return [Sample(f"child of 3, {path.stem}", "synthetic", _film(path)) for path in chosen]


def _film(path: Path) -> Dataset:
    """The golden PNG at *path* as a Computed Radiography object (PS3.3 A.2) of a three-year-old made by code."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"), np.uint8)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = ComputedRadiographyImageStorage
    film.SOPInstanceUID = generate_uid()
    film.StudyInstanceUID = generate_uid()
    film.SeriesInstanceUID = generate_uid()
    film.PatientName, film.PatientID, film.PatientAge = "Made^By^Code", "SYNTHETIC", "003Y"
    film.PatientBirthDate = film.PatientSex = film.StudyDate = film.StudyTime = film.AccessionNumber = ""
    film.ReferringPhysicianName = film.StudyID = film.Manufacturer = ""
    film.SeriesNumber = film.InstanceNumber = 1
    film.Modality, film.BodyPartExamined, film.ViewPosition = "CR", "CHEST", "AP"
    film.Rows, film.Columns = pixels.shape
    film.SamplesPerPixel, film.PhotometricInterpretation, film.PixelRepresentation = 1, "MONOCHROME2", 0
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit = 7
    film.PixelData = pixels.tobytes()
    return film


def samples() -> list[Sample]:
    """Everything that is sent; raises `DemoFailed` when it is not installed."""
    return [*_real_samples(), *_synthetic_samples()]


def send(chosen: list[Sample], port: int) -> list[str]:
    """C-STORE every sample over one association; returns their Study Instance UIDs, in order."""
    sender = AE("DEMO")
    for sample in chosen:
        sender.add_requested_context(sample.dataset.SOPClassUID, sample.dataset.file_meta.TransferSyntaxUID)
    association = sender.associate("127.0.0.1", port, ae_title="LANTERN")
    if not association.is_established:
        raise DemoFailed("the box did not accept the association.")
    try:
        for sample in chosen:
            status = association.send_c_store(sample.dataset)
            if "Status" not in status or status.Status != 0:
                raise DemoFailed(f"the box did not keep “{sample.title}”: {status.get('ErrorComment', 'no answer')}.")
    finally:
        association.release()
    return [str(sample.dataset.StudyInstanceUID) for sample in chosen]
