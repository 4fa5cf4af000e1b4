"""The images of the demo, and sending them over one real DICOM association.

The real images come from the PyPI package pydicom-data; the other images are synthetic golden cases of
the shipped packs, wrapped as DICOM here and marked as made by code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    generate_uid,
)
from pynetdicom import AE

from demo.stage import DemoFailed
from firmware_app.packs import pack_folder

_REAL: Final = (
    ("RG1_UNCR.dcm", "adult chest film RG1"),
    ("RG3_J2KR.dcm", "leg film RG3, JPEG 2000"),
    ("US1_J2KR.dcm", "ultrasound US1, JPEG 2000"),
    ("JPGLosslessP14SV1_1s_1f_8b.dcm", "ultrasound, JPEG lossless"),
    ("693_UNCR.dcm", "CT slice 693"),
    ("MR2_UNCR.dcm", "MR slice MR2"),
)


@dataclass(frozen=True)
class DemoImage:
    """One object to send: its title, and whether it is of a real patient or synthetic."""

    title: str
    origin: str  # "real" or "synthetic"
    dataset: Dataset


def _load_real_images() -> list[DemoImage]:
    try:
        import data_store
    except ImportError:
        raise DemoFailed("the package pydicom-data is missing; run it through `make demo`.") from None
    folder = Path(data_store.__file__).parent / "data"
    return [DemoImage(title, "real", dcmread(folder / name)) for name, title in _REAL]


@dataclass(frozen=True)
class _GoldenSelection:
    """Which golden images of a shipped pack are sent, and with which header."""

    pack: str
    title: str
    sop_class: UID
    modality: str
    body_part: str
    view: str
    age: str  # VR AS
    answers: tuple[bool, ...]  # the first image below the threshold, or the first above it


_DRAWN: Final = (
    _GoldenSelection(
        "chest-xray-child", "child of 3", ComputedRadiographyImageStorage, "CR", "CHEST", "AP", "003Y", (False, True)
    ),
    _GoldenSelection(
        "breast-ultrasound", "breast, 50 years", UltrasoundImageStorage, "US", "BREAST", "", "050Y", (True,)
    ),
)


def load_golden_images() -> list[DemoImage]:
    """The golden images of the shipped packs that are sent, as objects."""
    return [sample for kind in _DRAWN for sample in _load_pack_images(kind)]


def _load_pack_images(drawn: _GoldenSelection) -> list[DemoImage]:
    pack = next((p for p in pack_folder.list_packs(pack_folder.shipped_packs_dir()) if p.name == drawn.pack), None)
    if pack is None:
        raise DemoFailed(f"the pack {drawn.pack} is missing from this installation.")
    finding = pack.manifest.findings[0]
    images = [
        (_find_probability(golden.expected["fp32"], finding.code) >= finding.threshold, pack.folder / golden.path)
        for golden in pack.manifest.golden
        if golden.kind == "sample" and golden.path
    ]
    chosen = [next(path for positive, path in images if positive is wanted) for wanted in drawn.answers]
    return [DemoImage(f"{drawn.title}, {path.stem}", "synthetic", _make_object(path, drawn)) for path in chosen]


def _find_probability(expected: Any, code: str) -> float:
    """A finding's probability in what a golden case expects, with lesions beside it or without."""
    return float(expected.get("findings", expected)[code])


def _make_object(path: Path, drawn: _GoldenSelection) -> Dataset:
    """The golden PNG at *path* as an object of *drawn*'s SOP class (PS3.3 A.2, A.6), with an invented patient."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"), np.uint8)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = drawn.sop_class
    made.SOPInstanceUID = generate_uid()
    made.StudyInstanceUID = generate_uid()
    made.SeriesInstanceUID = generate_uid()
    made.PatientName, made.PatientID, made.PatientAge = "Made^By^Code", "SYNTHETIC", drawn.age
    made.PatientBirthDate = made.PatientSex = made.StudyDate = made.StudyTime = made.AccessionNumber = ""
    made.ReferringPhysicianName = made.StudyID = made.Manufacturer = ""
    made.SeriesNumber = made.InstanceNumber = 1
    made.Modality, made.BodyPartExamined = drawn.modality, drawn.body_part
    if drawn.view:
        made.ViewPosition = drawn.view
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelData = pixels.tobytes()
    return made


def load_samples() -> list[DemoImage]:
    """Everything that is sent; raises `DemoFailed` when it is not installed."""
    return [*_load_real_images(), *load_golden_images()]


def send(chosen: list[DemoImage], port: int) -> list[str]:
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
