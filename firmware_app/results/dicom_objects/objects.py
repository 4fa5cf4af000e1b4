"""All result objects of one case, one after the other, each marked and dated."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from firmware_app.results.case_view import CaseView
from firmware_app.results.dicom_objects import (
    encapsulated_pdf,
    presentation_state,
    secondary_capture,
    segmentation,
    structured_report,
)
from firmware_app.results.dicom_objects.result_context import ObjectType, ResultContext, load_context

_MAKERS: Final[tuple[tuple[ObjectType, Callable[[ResultContext], Iterator[Dataset]]], ...]] = (
    (secondary_capture.PLAIN_TYPE, secondary_capture.make_plain_images),
    (secondary_capture.TYPE, secondary_capture.make_captures),
    (segmentation.TYPE, segmentation.make_segmentations),
    (presentation_state.TYPE, presentation_state.make_presentations),
    (encapsulated_pdf.TYPE, encapsulated_pdf.make_documents),
    (structured_report.TYPE, structured_report.make_reports),
)
"""What others refer to comes first, the structured report last."""
TYPES: Final = tuple(type_ for type_, make in _MAKERS)


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
    """Make the objects of *view* and of its printed report *pdf*."""
    context = load_context(view, pdf)
    for type_, make in _MAKERS:
        for number, made in enumerate(_silence_warnings(make(context)), 1):
            yield ResultObject(type_.kind, number, context.finish(made, type_))


def _silence_warnings(objects: Iterator[Dataset]) -> Iterator[Dataset]:
    """*objects* without the libraries' warnings, which quote patients' names."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = next(objects, None)
        if made is None:
            return
        yield made


def write_object(result: ResultObject, folder: Path) -> Path:
    """Write *result* into *folder* as a file of PS3.10."""
    path = folder / result.file_name
    result.data_set.save_as(path, enforce_file_format=True)
    return path
