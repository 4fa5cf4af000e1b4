"""Encapsulated PDF: the printed report in the patient's study, for archives that show documents (PS3.3 A.45.1).

The bytes are those of the report that a person prints: `results.pdf.making` gives them, a signed one as it was kept.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage

from firmware_app.results.dicom_objects.making import SERIES_NUMBERS, WARNING, Maker

KIND: Final = "pdf"
_TITLE: Final = Code("18748-4", "LN", "Diagnostic imaging report")  # PS3.16 CID 7020
_OF_THE_STUDY: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)


def document(maker: Maker, pdf: bytes) -> Dataset:
    """The report *pdf* as an object of the study."""
    result, made = maker.result, Dataset()
    made.SOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = maker.uids.instance(result.version, KIND)
    for keyword in _OF_THE_STUDY:
        setattr(made, keyword, maker.any_source.get(keyword, ""))
    made.Modality, made.ConversionType = "DOC", "WSD"
    made.SeriesInstanceUID, made.SeriesNumber = maker.uids.series(KIND), SERIES_NUMBERS[KIND]
    made.SeriesDescription = "Lantern: report"
    made.InstanceNumber = result.version
    made.ContentDate = made.ContentTime = made.AcquisitionDateTime = ""  # the first two are filled by `Maker.finish`
    made.BurnedInAnnotation = "YES"
    made.SourceInstanceSequence = [_reference(source) for source in maker.sources.values()]
    made.DocumentTitle = WARNING
    made.ConceptNameCodeSequence = [_coded(_TITLE)]
    made.VerificationFlag = "VERIFIED" if result.signature is not None else "UNVERIFIED"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return made


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
