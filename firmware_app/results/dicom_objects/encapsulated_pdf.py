"""Encapsulated PDF: the printed report in the patient's study, for archives that show documents (PS3.3 A.45.1).

Its bytes are those of the report that a person prints; a signed report stays as it was kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage

from firmware_app.results.dicom_objects.result_context import WARNING, ObjectType, ResultContext

TYPE: Final = ObjectType("pdf", 9105, has_text=True)
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


def make_documents(context: ResultContext) -> Iterator[Dataset]:
    """The printed report as an object of the study, where there is one."""
    if context.pdf is None:
        return
    view, made, pdf = context.view, Dataset(), context.pdf
    made.SOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = context.uids.derive_instance(view.version, TYPE.kind)
    for keyword in _OF_THE_STUDY:
        setattr(made, keyword, context.any_source.get(keyword, ""))
    made.Modality, made.ConversionType = "DOC", "WSD"
    made.SeriesInstanceUID, made.SeriesNumber = context.uids.derive_series(TYPE.kind), TYPE.series_number
    made.SeriesDescription = "Lantern: report"
    made.InstanceNumber = view.version
    made.ContentDate = made.ContentTime = ""  # `ResultContext.finish` fills them
    made.AcquisitionDateTime = ""
    made.BurnedInAnnotation = "YES"
    made.SourceInstanceSequence = [_refer_to_source(source) for source in context.sources.values()]
    made.DocumentTitle = WARNING
    made.ConceptNameCodeSequence = [_make_code(_TITLE)]
    made.VerificationFlag = "VERIFIED" if view.done is not None else "UNVERIFIED"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    yield made


def _refer_to_source(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item


def _make_code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
