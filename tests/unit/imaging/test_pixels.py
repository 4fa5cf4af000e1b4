"""Greys mean what the standard says they mean: transforms in order, polarity last, and never an inverted film."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import apply_windowing
from pydicom.sequence import Sequence

from firmware_app.core.errors import ImagingError
from firmware_app.imaging import display, image_file
from firmware_app.imaging.errors import FrameTooLarge
from tests import films
from tests.wire import bombs

Pixels = np.ndarray[Any, Any]
DTYPES = [np.dtype(name) for name in ("uint8", "int8", "uint16", "int16")]
OFTEN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def stored(draw: st.DrawFn) -> tuple[Pixels, int]:
    """Pixels (H, W) and how many of their bits are stored."""
    dtype = draw(st.sampled_from(DTYPES))
    bits = draw(st.integers(2, dtype.itemsize * 8))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype.kind == "i" else (0, 2**bits - 1)
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    return draw(hnp.arrays(dtype, shape, elements=st.integers(low, high))), bits


def grey(folder: Path, dataset: FileDataset, frame: int = 0) -> Pixels:
    with image_file.open_image_file(films.save(folder, "film.dcm", dataset), is_picture=False) as opened:
        greys = opened.grey(frame)
        assert greys.dtype == np.float32
        assert greys.shape == (opened.rows, opened.columns)
        return greys


def of_bits(pixels: Pixels, bits: int, **attributes: Any) -> FileDataset:
    return films.film(pixels, BitsStored=bits, HighBit=bits - 1, **attributes)


@OFTEN
@given(stored(), st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]), st.integers(-300, 3000), st.integers(2, 4000))
def test_a_window_is_applied_as_the_standard_writes_it(
    tmp_path: Path, made: tuple[Pixels, int], function: str, centre: int, width: int
) -> None:
    pixels, bits = made
    dataset = of_bits(
        pixels,
        bits,
        WindowCenter=centre,
        WindowWidth=width,
        VOILUTFunction=function,
        RescaleSlope=1,
        RescaleIntercept=0,
    )
    greys = grey(tmp_path, dataset)
    top, bottom = (2**bits - 1, 0) if pixels.dtype.kind == "u" else (2 ** (bits - 1) - 1, -(2 ** (bits - 1)))
    with np.errstate(over="ignore"):  # the reference's own
        windowed = apply_windowing(pixels, dataset).astype(np.float64)
    expected = ((windowed - bottom) / (top - bottom)).astype(np.float32)
    span = float(np.ptp(expected))
    assume(abs(span - 2**-16) > 1e-7)
    if span > 2**-16:
        np.testing.assert_allclose(greys, np.clip(expected, 0, 1), atol=2e-6)
    else:  # a window that hides the whole film is not used
        np.testing.assert_array_equal(greys, pixels)


@pytest.mark.parametrize(
    ("photometric", "shape", "turned"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", None, False),
    ],
)
def test_an_inverse_presentation_lut_turns_a_film_over_once(
    tmp_path: Path, photometric: str, shape: str | None, turned: bool
) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    dataset = films.film(pixels, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    np.testing.assert_array_equal(grey(tmp_path, dataset), -pixels.astype(np.float32) if turned else pixels)
    with image_file.open_image_file(tmp_path / "film.dcm", is_picture=False) as opened:
        assert opened.render_frame(0).inverted == turned


def lut(first: int, entries: list[int], bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", "US", entries)
    item.ModalityLUTType = "US"
    return Sequence([item])


def test_modality_and_voi_tables_are_looked_up_in_order_and_clamped_at_their_ends(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 2, 3, 200]], np.uint16)
    modality, voi = lut(1, [10, 20, 30], 8), lut(10, list(range(0, 252, 12)), 8)
    np.testing.assert_array_equal(
        grey(tmp_path, films.film(pixels, ModalityLUTSequence=modality)), [[10, 10, 20, 30, 30]]
    )
    both = grey(tmp_path, films.film(pixels, ModalityLUTSequence=modality, VOILUTSequence=voi))
    np.testing.assert_allclose(both * 255, [[0, 0, 120, 240, 240]], rtol=1e-6)


# --- for people ---------------------------------------------------------------------------------------------------


@OFTEN
@given(stored(), st.sampled_from(["MONOCHROME1", "MONOCHROME2"]), st.integers(1, 200), st.integers(2, 300))
def test_what_people_see_keeps_every_grey_and_the_window_of_the_model(
    tmp_path: Path, made: tuple[Pixels, int], photometric: str, centre: int, width: int
) -> None:
    pixels, bits = made
    dataset = of_bits(
        pixels,
        bits,
        PhotometricInterpretation=photometric,
        WindowCenter=centre,
        WindowWidth=width,
        VOILUTFunction="LINEAR_EXACT",
        RescaleSlope=2,
        RescaleIntercept=-30,
    )
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", dataset), is_picture=False) as opened:
        shown, model = opened.render_frame(0), opened.grey(0)
    display.write_frame(shown, tmp_path, 0, 1)
    with Image.open(tmp_path / "frame-000.png") as image:
        greys = np.asarray(image).astype(np.float64)
    facts = json.loads((tmp_path / "frame-000.json").read_text())
    np.testing.assert_allclose(greys * facts["slope"] + facts["intercept"], pixels.astype(float) * 2 - 30, atol=0.02)
    window = facts["window"]
    if window is None:  # it would have hidden the whole film
        exact = np.clip((pixels.astype(float) * 2 - 30 - centre) / width + 0.5, 0, 1)
        assert np.ptp(exact) <= 2**-15
        return
    seen = np.clip((greys - window["centre"]) / window["width"] + 0.5, 0, 1)
    if 0 < model.min() < model.max() < 1:
        np.testing.assert_allclose(seen, model, atol=1e-3)


# --- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
def test_a_picture_is_its_pixels(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (9, 7), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"picture.{kind}")
    with image_file.open_image_file(tmp_path / f"picture.{kind}", is_picture=True) as opened:
        np.testing.assert_array_equal(opened.grey(0), pixels)
        np.testing.assert_array_equal(opened.render_frame(0).pixels, pixels.astype(np.uint16) * 257)


def test_a_white_is_zero_tiff_is_not_shown_as_its_negative(tmp_path: Path) -> None:
    pixels = np.arange(20, dtype=np.uint16).reshape(4, 5)
    Image.fromarray(pixels).save(tmp_path / "w.tif", tiffinfo={262: 0})
    with image_file.open_image_file(tmp_path / "w.tif", is_picture=True) as opened:
        assert opened.grey(0)[0, 0] > opened.grey(0)[3, 4]


@pytest.mark.parametrize(("orientation", "pages"), [(1, 1), (2, 1), (3, 2), (4, 1), (5, 1), (6, 2), (7, 1), (8, 1)])
def test_a_grey_tiff_laid_on_its_side_stands_upright(tmp_path: Path, orientation: int, pages: int) -> None:
    lying = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)
    at_orientation = {
        1: lying,
        2: lying[:, ::-1],
        3: lying[::-1, ::-1],
        4: lying[::-1],
        5: lying.T,
        6: np.rot90(lying, -1),
        7: lying[::-1, ::-1].T,
        8: np.rot90(lying),
    }
    upright = at_orientation[orientation]
    more = [Image.fromarray(lying)] * (pages - 1)
    Image.fromarray(lying).save(tmp_path / "t.tif", save_all=True, append_images=more, tiffinfo={0x0112: orientation})
    with image_file.open_image_file(tmp_path / "t.tif", is_picture=True) as opened:
        assert (opened.frames, opened.rows, opened.columns) == (pages, *upright.shape)
        np.testing.assert_array_equal(opened.grey(0), upright)
        assert (opened.rows, opened.columns) == upright.shape


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bombs.png(30_000, 30_000, bits=1))
    with pytest.raises(FrameTooLarge), image_file.open_image_file(tmp_path / "bomb.png", is_picture=True):
        pass


@given(st.binary(max_size=600), st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_is_refused_with_a_code(tmp_path: Path, noise: bytes, is_picture: bool) -> None:
    (tmp_path / "noise").write_bytes(noise)
    with pytest.raises(ImagingError), image_file.open_image_file(tmp_path / "noise", is_picture=is_picture) as opened:
        opened.grey(0)
