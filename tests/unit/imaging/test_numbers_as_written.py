"""Numbers of a header are read as they are meant, or all that belongs to them is left out: never one half of a chain.

PS3.5 6.2: a decimal string has a point, an optional exponent, and no blank or unit in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from firmware_app.imaging import deidentified_header, grey_transforms, header_values, image_file, scan_volumes, slices
from firmware_app.imaging import image_properties as ultrasound
from firmware_app.imaging import scan_volumes as volume
from firmware_app.imaging.deidentified_header import Pseudonyms
from firmware_app.imaging.pixel_size import UNKNOWN
from firmware_app.results.dicom_objects.result_context import derive_uids
from firmware_app.results.dicom_objects.source_headers import read_source
from tests import films, scans
from tests.results import make_case_view

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
UNREADABLE = (b"abc", b"NaN", b"1e999", b"1,2,3", b"12 cm", b"1_0", b"1\\2")
CT: dict[str, Any] = {
    "Modality": "CT",
    "ViewPosition": None,
    "RescaleSlope": "1",
    "RescaleIntercept": "-1024",
    "WindowCenter": "40",
    "WindowWidth": "400",
}


def save_film(folder: Path, values: dict[str, bytes], **attributes: Any) -> Path:
    made = films.film(RAMP, BitsStored=12, HighBit=11, **attributes)
    films.set_raw_decimals(made, **values)
    return films.save(folder, "film.dcm", made)


@pytest.mark.parametrize(
    ("written", "meant", "mended"),
    [
        (b"0,8", 0.8, True),
        (b"-1024,0", -1024.0, True),
        (b"1024 HU", 1024.0, True),
        (b"- 1024", -1024.0, True),
        (b"0,8E1", 8.0, True),
        (b" 0.8 ", 0.8, False),
        (b"+.8e+0", 0.8, False),
        (b"1.0\\", 1.0, False),
        (b"2\\2.0", 2.0, False),
    ],
)
def test_a_number_that_can_only_mean_one_thing_is_read_as_meant(written: bytes, meant: float, mended: bool) -> None:
    header = Dataset()
    films.set_raw_decimals(header, RescaleIntercept=written)
    found = header_values.read_decimals(header, "RescaleIntercept")
    assert (found.single, found.mended, found.unreadable) == (meant, mended, False)


@pytest.mark.parametrize("written", UNREADABLE)
def test_any_other_text_is_no_number(written: bytes) -> None:
    header = Dataset()
    films.set_raw_decimals(header, RescaleSlope=written)
    assert header_values.read_decimals(header, "RescaleSlope").single is None


def test_a_film_with_decimal_commas_looks_like_the_one_with_points(tmp_path: Path) -> None:
    points = {"RescaleSlope": b"0.8", "RescaleIntercept": b"-102.4", "WindowCenter": b"900.5", "WindowWidth": b"1000"}
    commas = {keyword: value.replace(b".", b",") for keyword, value in points.items()}
    with image_file.open_image_file(save_film(tmp_path, points), is_picture=False) as opened:
        expected, plain = opened.grey(0), opened.hints
    path = save_film(tmp_path, commas)
    with image_file.open_image_file(path, is_picture=False) as opened:
        assert np.array_equal(opened.grey(0), expected)
        # PS3.3 C.11.2.1.2.1 with 0.8 · 2000 − 102.4 = 1497.6, which lies above the window
        assert opened.grey(0).reshape(-1)[2000] == 1.0
        assert grey_transforms.NUMBERS_MENDED_HINT in opened.hints
    assert grey_transforms.NUMBERS_MENDED_HINT not in plain


@pytest.mark.parametrize("link", ["RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"])
def test_an_unreadable_link_drops_the_whole_grey_scale(tmp_path: Path, link: str) -> None:
    path = save_film(tmp_path, {link: b"0,8,1"}, **CT)
    with image_file.open_image_file(path, is_picture=False) as opened:
        assert np.array_equal(opened.grey(0), RAMP)  # the stored values
        shown = opened.render_frame(0)
        assert (shown.centre, shown.windows, shown.unit) == (None, (), "")
        assert shown.pixels.reshape(-1)[[0, -1]] @ [0, 1] * shown.slope + shown.intercept == 4095.0
        assert grey_transforms.GREYS_UNREADABLE_HINT in opened.hints


def ct(folder: Path, **values: bytes) -> list[Path]:
    made = [scans.make_slice(cut) for cut in scans.make_planes(4)]
    for one in made:
        films.set_raw_decimals(one, **values)
    return scans.write_datasets(folder, made)


def stacks(paths: list[Path]) -> scan_volumes.ArrangedSeries:
    return scan_volumes.arrange_slices(
        [slice_ for path in paths for slice_ in slices.read_slices(path)], volume.have_same_pixels
    )


def test_a_ct_with_decimal_commas_has_the_same_hounsfield_units_in_the_same_places(tmp_path: Path) -> None:
    expected = volume.read_hounsfield_volume(stacks(ct(tmp_path / "points")).stacks[0])
    commas = {"RescaleSlope": b"1,0", "RescaleIntercept": b"-1024,0 HU"}
    made = [scans.make_slice(cut) for cut in scans.make_planes(4)]
    for one in made:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            text = "\\".join(str(value) for value in one[keyword].value)
            films.set_raw_decimals(one, **{keyword: text.replace(".", ",").encode()}, **commas)
    found = volume.read_hounsfield_volume(stacks(scans.write_datasets(tmp_path / "commas", made)).stacks[0])
    assert np.array_equal(found.voxels, expected.voxels)
    assert np.allclose(scans.affine(found.stack), scans.affine(expected.stack))


@pytest.mark.parametrize("values", [{"RescaleSlope": b"abc"}, {"RescaleIntercept": b"-1024.0.0"}])
def test_a_ct_with_an_unreadable_rescale_is_no_volume(tmp_path: Path, values: dict[str, bytes]) -> None:
    arranged = stacks(ct(tmp_path, **values))
    assert not arranged.stacks
    assert {one.reason.code for one in arranged.left_out} == {"series.no_slice"}


def read_spacing_of(folder: Path, value: bytes, **attributes: Any) -> Any:
    path = save_film(folder, {"PixelSpacing": value}, Modality="CT", ViewPosition=None, **attributes)
    with image_file.open_image_file(path, is_picture=False) as opened:
        return opened.render_frame(0).spacing, ultrasound.pixel_scales(opened, 0), opened.hints


@pytest.mark.parametrize("written", [b"0,143\\0,143", b"0.143 mm\\0.143 mm"])
def test_a_pixel_size_is_read_as_it_is_meant_and_said_so(tmp_path: Path, written: bytes) -> None:
    spacing, scales, said = read_spacing_of(tmp_path, written)
    assert spacing.mm == (0.143, 0.143)
    assert [(scale.mm_down, scale.mm_across) for scale in scales] == [(0.143, 0.143)]
    assert grey_transforms.NUMBERS_MENDED_HINT in said


@pytest.mark.parametrize("written", [b"0.143,0.143", b"0.143\\abc", b"0.0143 cm\\0.0143 cm"])
def test_of_a_pixel_size_that_cannot_be_read_nothing_is_used(tmp_path: Path, written: bytes) -> None:
    spacing, scales, said = read_spacing_of(tmp_path, written)
    assert (spacing.label, spacing.mm, scales) == (UNKNOWN, None, ())
    assert grey_transforms.SIZES_UNREADABLE_HINT in said


def test_result_objects_take_the_rescale_as_it_is_meant_or_not_at_all(tmp_path: Path) -> None:
    def source(slope: bytes) -> Dataset:
        path = save_film(tmp_path, {"RescaleSlope": slope, "RescaleIntercept": b"-1024,5"}, **CT)
        result = make_case_view(path, tmp_path / "display")
        return read_source(result.images[0], result, derive_uids(result))

    made = source(b"0,00000125")
    assert (made.RescaleSlope, made.RescaleIntercept) == (0.00000125, -1024.5)
    assert "RescaleSlope" not in source(b"abc")
    assert "RescaleIntercept" not in source(b"0")


def test_a_de_identified_object_has_the_numbers_as_meant_and_no_half_of_a_grey_scale() -> None:
    def cleaned(**values: bytes) -> Dataset:
        made = films.film(RAMP, **{**CT, "RescaleType": "HU"})
        films.set_raw_decimals(made, **values)
        return deidentified_header.clean_header(made, Pseudonyms(bytes(32)))

    whole = cleaned(RescaleSlope=b"0,8", RescaleIntercept=b"-1024 HU", PixelSpacing=b"0,143\\0.14300000000000000711")
    assert (whole.RescaleSlope, whole.RescaleIntercept) == (0.8, -1024.0)
    assert list(whole.PixelSpacing) == [0.143, 0.143]
    assert (whole.WindowCenter, whole.WindowWidth) == (40, 400)
    half = cleaned(RescaleSlope=b"abc")
    assert not {"RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth"} & set(half.dir())
    assert "KVP" not in cleaned(KVP=b"138 0013 8000")
    assert "KVP" not in cleaned(KVP=b"13800138000,0")
