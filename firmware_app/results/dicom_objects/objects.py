"""All result objects of one case, one after the other, each marked and dated.

The Encapsulated PDF puts the printed report into the patient's study, for archives that show documents
(PS3.3 A.45.1). Its bytes are those of the report that a person prints: `results.rendering` gives them, and a signed
report stays as it was kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage

from firmware_app.results.case_view import CaseView
from firmware_app.results.dicom_objects import presentation_state, secondary_capture, segmentation, structured_report
from firmware_app.results.dicom_objects.result_context import SERIES_NUMBERS, WARNING, ResultContext, load_context

DOCUMENT_KIND: Final = "pdf"
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


def make_document(maker: ResultContext, pdf: bytes) -> Dataset:
    """The report *pdf* as an object of the study."""
    view, made = maker.view, Dataset()
    made.SOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = maker.uids.instance(view.version, DOCUMENT_KIND)
    for keyword in _OF_THE_STUDY:
        setattr(made, keyword, maker.any_source.get(keyword, ""))
    made.Modality, made.ConversionType = "DOC", "WSD"
    made.SeriesInstanceUID, made.SeriesNumber = maker.uids.series(DOCUMENT_KIND), SERIES_NUMBERS[DOCUMENT_KIND]
    made.SeriesDescription = "Lantern: report"
    made.InstanceNumber = view.version
    made.ContentDate = made.ContentTime = made.AcquisitionDateTime = ""  # the first two are filled by `Maker.finish`
    made.BurnedInAnnotation = "YES"
    made.SourceInstanceSequence = [_refer_to_source(source) for source in maker.sources.values()]
    made.DocumentTitle = WARNING
    made.ConceptNameCodeSequence = [_make_code(_TITLE)]
    made.VerificationFlag = "VERIFIED" if view.done is not None else "UNVERIFIED"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return made


def _refer_to_source(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item


def _make_code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One made object and its kind: ``sr``, ``sc``, ``seg``, ``pr``, ``pdf`` or ``picture``."""

    kind: str
    number: int
    data_set: Dataset

    @property
    def file_name(self) -> str:
        return f"{self.kind}-{self.number:02d}.dcm"


def make_objects(view: CaseView, pdf: bytes | None = None) -> Iterator[ResultObject]:
    """The objects of *view* and its printed report *pdf*: what others refer to first, the structured report last."""
    maker = load_context(view)
    numbers: dict[str, int] = {}
    for kind, made in _silence_warnings(_make_by_kind(maker, pdf)):
        numbers[kind] = numbers.get(kind, 0) + 1
        yield ResultObject(kind, numbers[kind], maker.finish(made, kind))


def _silence_warnings(made: Iterator[tuple[str, Dataset]]) -> Iterator[tuple[str, Dataset]]:
    """*made* without the libraries' warnings, which quote patients' names."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = next(made, None)
        if one is None:
            return
        yield one


def write_object(one: ResultObject, folder: Path) -> Path:
    """Write *one* into *folder* as a file of PS3.10."""
    path = folder / one.file_name
    one.data_set.save_as(path, enforce_file_format=True)
    return path


def _make_by_kind(maker: ResultContext, pdf: bytes | None) -> Iterator[tuple[str, Dataset]]:
    for made in secondary_capture.make_plain_images(maker):
        yield secondary_capture.PICTURE, made
    for made in secondary_capture.make_captures(maker):
        yield secondary_capture.KIND, made
    for made in segmentation.make_segmentations(maker):
        yield segmentation.KIND, made
    for made in presentation_state.make_presentations(maker):
        yield presentation_state.KIND, made
    if pdf is not None:
        yield DOCUMENT_KIND, make_document(maker, pdf)
    yield structured_report.KIND, structured_report.make_report(maker)
