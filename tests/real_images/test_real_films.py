"""Every real file that exists to hurt readers: frames of the right polarity, or a coded refusal.  Nothing raises."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

from firmware_app.core.errors import ImagingError
from firmware_app.imaging import image_file
from tests import peers


def pydicom_data() -> Path:
    """The real images that the demo and dev extras bring."""
    data_store = pytest.importorskip("data_store", reason="needs pydicom-data (extra demo)")
    return Path(str(data_store.__file__)).parent / "data"


def _refusals(files: list[Path]) -> dict[str, str]:
    """Read the first and the middle frame of each file both ways; returns what was refused, by file name."""
    refused = {}
    assert files
    for path in files:
        try:
            with image_file.open_image_file(path, is_picture=False) as opened:
                for index in {0, opened.frames // 2}:
                    grey = opened.grey(index)
                    assert grey.shape == (opened.rows, opened.columns), path.name
                    assert np.isfinite(grey).all(), path.name
                    assert opened.render_frame(index).pixels.shape[:2] == grey.shape, path.name
        except ImagingError as error:
            refused[path.name] = error.code
    return refused


def test_pydicoms_own_files_give_frames_or_a_coded_refusal() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = _refusals([*peers.pydicom_files(), *peers.dicom_files(pydicom_data())])
    images = {name: code for name, code in refused.items() if code != "imaging.no_pixels"}
    broken = {
        "MR_truncated.dcm",
        "badVR.dcm",
        "SC_rgb_jpeg.dcm",
        "emri_small_jpeg_2k_lossless_too_short.dcm",
        "JPEG2000-embedded-sequence-delimiter.dcm",
        "image_dfl.dcm",  # a deflated data set, which the door refuses
    }
    assert images.keys() <= broken, images


def test_the_shared_collection_gives_frames_or_a_coded_refusal() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = _refusals(peers.dicom_files(peers.find_shared_data("data", "dicom")))
    # A CT whose stream is signed, with air below zero, under a header that says unsigned: it came out as white air.
    assert refused == {"pylibjpeg-data__ljdata__ds__JPEG2000Lossless__TOSHIBA_J2K_SIZ1_PixRep0.dcm": "imaging.sign"}


def test_twelve_bit_jpeg_is_the_film_that_it_was_made_of() -> None:
    """A chest film of the shared collection, lossy at 12 bits beside lossless; saturated pixels do not wrap around."""
    prefix = "nema-compsamples__medical.nema.org__compsamples"
    folder = peers.find_shared_data("data", "dicom")
    with image_file.open_image_file(folder / f"{prefix}_j2k__IMAGES__J2KR__RG3_J2KR", is_picture=False) as lossless:
        expected = lossless.grey(0)
    with image_file.open_image_file(folder / f"{prefix}_jpeg__IMAGES__JPLY__RG3_JPLY", is_picture=False) as lossy:
        assert np.abs(lossy.grey(0) - expected).max() < 0.1


UNREAD_BY_PYDICOM = {"JPEG-lossy.dcm", "JPGExtended.dcm"}  # JPEG of twelve bits, for which it has no decoder here


def _reference(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    """The first frame by pydicom's own pipeline, turned over for MONOCHROME1; None for what is not grey."""
    dataset = pydicom.dcmread(path, force=True)
    if "SharedFunctionalGroupsSequence" in dataset:  # pydicom does not look for the window there
        return None
    photometric = dataset.get("PhotometricInterpretation", "")
    if not photometric.startswith("MONOCHROME") or dataset.get("SamplesPerPixel") != 1:
        return None
    values = apply_voi_lut(apply_modality_lut(pixel_array(dataset, index=0), dataset), dataset).astype(np.float64)
    return -values if photometric == "MONOCHROME1" else values


def test_no_film_is_ever_inverted() -> None:
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in [*peers.dicom_files(pydicom_data()), *peers.pydicom_files()]:
            try:
                with image_file.open_image_file(path, is_picture=False) as opened:
                    actual = opened.grey(0).astype(np.float64)
            except ImagingError:
                continue  # refused, so shown to nobody
            expected = _reference(path) if path.name not in UNREAD_BY_PYDICOM else None
            if expected is None or expected.std() == 0 or actual.std() == 0:
                continue
            compared += 1
            assert np.corrcoef(expected.ravel(), actual.ravel())[0, 1] > 0.98, path.name
    assert compared >= 90
