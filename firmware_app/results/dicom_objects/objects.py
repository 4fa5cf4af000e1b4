"""All result objects of one case, one after the other, each marked and dated."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from firmware_app.results.dicom_objects import capture, document, presentation, report_sr, segmentation
from firmware_app.results.dicom_objects.making import Maker, maker_of
from firmware_app.results.result import Result


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One made object and its kind: ``sr``, ``sc``, ``seg``, ``pr``, ``pdf`` or ``picture``."""

    kind: str
    number: int
    data_set: Dataset

    @property
    def file_name(self) -> str:
        return f"{self.kind}-{self.number:02d}.dcm"


def objects_of(result: Result, pdf: bytes | None = None) -> Iterator[ResultObject]:
    """The objects of *result* and its printed report *pdf*: what others refer to first, the structured report last."""
    maker = maker_of(result)
    numbers: dict[str, int] = {}
    for kind, made in _quietly(_made(maker, pdf)):
        numbers[kind] = numbers.get(kind, 0) + 1
        yield ResultObject(kind, numbers[kind], maker.finish(made, kind))


def _quietly(made: Iterator[tuple[str, Dataset]]) -> Iterator[tuple[str, Dataset]]:
    """*made* without the libraries' warnings, which quote patients' names."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = next(made, None)
        if one is None:
            return
        yield one


def write(one: ResultObject, folder: Path) -> Path:
    """Write *one* into *folder* as a file of PS3.10."""
    path = folder / one.file_name
    one.data_set.save_as(path, enforce_file_format=True)
    return path


def _made(maker: Maker, pdf: bytes | None) -> Iterator[tuple[str, Dataset]]:
    for made in capture.plain_pictures(maker):
        yield capture.PICTURE, made
    for made in capture.captures(maker):
        yield capture.KIND, made
    for made in segmentation.segmentations(maker):
        yield segmentation.KIND, made
    for made in presentation.presentations(maker):
        yield presentation.KIND, made
    if pdf is not None:
        yield document.KIND, document.document(maker, pdf)
    yield report_sr.KIND, report_sr.report(maker)
