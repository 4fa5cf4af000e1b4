"""Real files of many machines, de-identified: another decoder reads them, the pixels are theirs, the names are gone."""

from __future__ import annotations

import re
import subprocess
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from firmware_app.core.errors import ImagingError
from firmware_app.imaging import deidentification, deidentified_pixels, dicom_image
from firmware_app.imaging.deidentified_header import Pseudonyms
from tests import peers

IDENTITIES = Pseudonyms(b"k" * 32)
_NAMING = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "ReferringPhysicianName",
    "InstitutionName",
    "StationName",
    "OperatorsName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "PatientAddress",
)
_LARGEST = 3_000_000  # bytes of a file: continuous integration has two cores


def real_files() -> list[Path]:
    mine = [path for path in peers.pydicom_files() if path.stat().st_size < _LARGEST]
    with suppress(pytest.skip.Exception):  # pydicom's own files are always there
        mine += [path for path in _some(peers.find_shared_data("data", "dicom")) if path.stat().st_size < _LARGEST]
    return mine


def _some(folder: Path) -> list[Path]:
    """Every ultrasound file, and every fifth of the others: all of them are held against other decoders elsewhere."""
    files = peers.dicom_files(folder)
    return [path for number, path in enumerate(files) if number % 5 == 0 or "US" in path.name]


def naming(header: Dataset) -> set[bytes]:
    """What of *header* names somebody or something, as far as it is long enough to mean anything by itself."""
    words: set[bytes] = set()
    for keyword in _NAMING:
        for word in re.split(r"[\^\\=\s]+", str(header.get(keyword) or "")):
            if len(word) > 5 and word.upper() not in ("REMOVED", "ANONYMOUS", "ANONYMIZED"):
                words.add(word.encode("utf-8", "replace"))
    return words


def seen_by_dcmtk(path: Path, folder: Path) -> NDArray[np.uint8]:
    """The first frame as dcml2pnm shows it, which is dcm2pnm with JPEG-LS."""
    out = folder / "seen.ppm"
    subprocess.run([peers.peer("dcml2pnm"), str(path), str(out)], check=True, capture_output=True)
    with Image.open(out) as image:
        return np.array(image.convert("RGB"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(600)
def test_real_files_leave_readable_with_their_pixels_and_without_their_names(tmp_path: Path) -> None:
    left = 0
    for path in real_files():
        out = tmp_path / "out.dcm"
        out.unlink(missing_ok=True)
        try:
            deidentification.write_deidentified(path, out, IDENTITIES, None, looked=True)
        except ImagingError:
            continue
        left += 1
        dumped = subprocess.run([peers.peer("dcmdump"), "-q", str(out)], capture_output=True, check=True)
        data = out.read_bytes()
        with dicom_image.open_dicom_image(path) as before, dicom_image.open_dicom_image(out) as after:
            for name in naming(before.source.header):
                assert name not in data, (path.name, len(name))
            if not deidentified_pixels.is_ultrasound(before.source.header):
                last = before.frames - 1
                assert np.array_equal(before.grey(0), after.grey(0)), path.name
                assert np.array_equal(before.grey(last), after.grey(last)), path.name
        assert b"PatientIdentityRemoved" in dumped.stdout
        if dcmread(out, stop_before_pixels=True).BitsAllocated in (8, 16):
            assert seen_by_dcmtk(out, tmp_path).size, path.name
    assert left > 50


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(600)
def test_real_ultrasound_keeps_its_sector_to_the_bit_and_nothing_else(tmp_path: Path) -> None:
    blacked = 0
    for path in real_files():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not deidentified_pixels.is_ultrasound(dcmread(path, stop_before_pixels=True, force=True)):
                continue
        out = tmp_path / "out.dcm"
        out.unlink(missing_ok=True)
        with dicom_image.open_dicom_image(path) as before:
            plan = deidentified_pixels.plan_pixels(before)
            assert plan.inside is not None
            expected, mask = before.render_frame(0).pixels, plan.inside.mask
            done = deidentification.write_deidentified(path, out, IDENTITIES, None, looked=True)
            with dicom_image.open_dicom_image(out) as after:
                pixels_after = after.render_frame(0).pixels
                assert np.array_equal(pixels_after[mask], expected[mask]), path.name
                assert not pixels_after[~mask].any(), path.name
                assert after.frames == before.frames
        blacked += done.blacked
        seen = seen_by_dcmtk(out, tmp_path)
        assert not seen[~mask].any(), path.name
        print(f"{path.name}: {plan.inside.derived_from}, {100 * float((~mask).mean()):.1f} % blacked")  # shown with -s
    assert blacked > 3
