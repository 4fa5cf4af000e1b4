"""A live frame as a DICOM object, for the box's own door, when a doctor keeps it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, UltrasoundImageStorage, generate_uid

_ULTRASOUND: Final = "US"


def write(pixels: NDArray[np.uint8], path: Path, modality: str, body_part: str, study: str) -> None:
    """Write *pixels*, (H, W) or (H, W, 3), at *path* as one image of the study with this UID; it names nobody.

    Raises `OSError`.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = UltrasoundImageStorage if modality == _ULTRASOUND else SecondaryCaptureImageStorage
    made.SOPInstanceUID = generate_uid(prefix=None)
    made.StudyInstanceUID = study
    made.SeriesInstanceUID = generate_uid(prefix=None, entropy_srcs=[study, "kept frames"])
    now = datetime.now()
    made.StudyDate = made.ContentDate = now.strftime("%Y%m%d")
    made.StudyTime = made.ContentTime = now.strftime("%H%M%S")
    made.Modality, made.BodyPartExamined = modality, body_part
    made.PatientName = made.PatientID = made.PatientBirthDate = made.PatientSex = ""
    made.AccessionNumber = made.ReferringPhysicianName = made.StudyID = made.Manufacturer = ""
    made.SeriesNumber, made.InstanceNumber = 1, None
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.ConversionType = "DV"  # digitized video (PS3.3 C.8.6.1)
    made.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    made.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = pixels.shape[:2]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    data = np.ascontiguousarray(pixels).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made.save_as(path, enforce_file_format=True)
