"""Copies of real files, cut anywhere."""

from __future__ import annotations

from pathlib import Path

from tests.peers import dicom_files, find_shared_data, pydicom_files
from tests.unit.dicom.test_element_stream import survivors, verdict


def test_no_cut_copy_of_a_pydicom_file_is_whole(at: Path) -> None:
    # A treatment plan or structure set cut exactly between two elements is a well-formed smaller one: nothing tells.
    images = [path for path in pydicom_files() if not path.name.startswith(("rtplan", "rtstruct", "ExplVR_"))]
    assert survivors(images, at, 997) == []


def test_no_cut_copy_of_a_real_file_is_whole(at: Path) -> None:
    paths = dicom_files(find_shared_data("data", "dicom"))
    assert len(paths) >= 100
    assert sum(verdict(path) == "whole" for path in paths) >= 98
    assert survivors(paths, at, 9973) == []
