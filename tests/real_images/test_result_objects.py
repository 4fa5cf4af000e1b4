"""Result objects of every real image with an identity before dciodvfy, and a report of each kind before PixelMed."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.core.errors import LanternError
from firmware_app.dicom.header import examine_file
from firmware_app.dicom.sop_classes import object_kind
from tests.peers import dicom_files, find_shared_data
from tests.results import make_case_view, validate_object, validate_report, write_objects

EXPLAINED = {"JPEGLossless_1s_1f_i_16_16_bad.dcm": "its own UIDs begin with 9, which no registry gives out"}
"""What is left of faults is the source's; nothing of ours can refer to such an image without them."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_objects_of_every_real_image_are_valid(tmp_path: Path, every: int) -> None:
    faulty, tried, kinds = {}, 0, set()
    for path in dicom_files(find_shared_data("data", "dicom"))[::every]:
        try:
            header = examine_file(path).header
        except LanternError:
            continue
        if object_kind(header) is not None or not header.has_pixels:
            continue
        tried += 1
        made = write_objects(
            make_case_view(path, tmp_path / "display", version=2, signed=tried % 2 == 0), tmp_path / "objects"
        )
        told = {name: said for name, one in made.items() if (said := validate_object(one))}
        kind = (header.modality, header.frames > 1)
        if kind not in kinds and every == 1 and (said := validate_report(made["sr-01.dcm"])):
            told["PixelMed"] = said
        kinds.add(kind)
        if told:
            faulty[path.name.rsplit("__", 1)[-1]] = told
    assert tried >= 90 // every
    assert len(kinds) >= 6 // every
    assert {name: told for name, told in faulty.items() if name not in EXPLAINED} == {}
