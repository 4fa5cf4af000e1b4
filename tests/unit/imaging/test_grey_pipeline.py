"""From any word to the grey that the header means: layouts, windows, padding, and the groups of enhanced objects."""

from __future__ import annotations

import json
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from firmware_app.imaging import display, image_file, model_frames
from firmware_app.imaging.display import DisplayFrame
from firmware_app.imaging.grey_scale import StoredWords
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from tests import films

Pixels = np.ndarray[Any, Any]
ENCAPSULATED_UNCOMPRESSED = UID("1.2.840.10008.1.2.1.98")
OFTEN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def grey(folder: Path, dataset: FileDataset, frame: int = 0) -> Pixels:
    with image_file.open_image_file(films.save(folder, "film.dcm", dataset), is_picture=False) as opened:
        return opened.grey(frame)


def read_display_frame(folder: Path, dataset: FileDataset, frame: int = 0) -> DisplayFrame:
    with image_file.open_image_file(films.save(folder, "film.dcm", dataset), is_picture=False) as opened:
        return opened.render_frame(frame)


# --- words --------------------------------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn, sizes: tuple[int, ...] = (8, 16)) -> StoredWords:
    allocated = draw(st.sampled_from(sizes))
    high_bit = draw(st.integers(0, allocated - 1))
    stored = draw(st.integers(1, high_bit + 1))
    return StoredWords(allocated, stored, high_bit, draw(st.booleans()) and stored > 1)


def pack_words(values: Pixels, layout: StoredWords, rubbish: int) -> Pixels:
    """Unsigned words that hold *values* by *layout* (PS3.5 8.1.1), the bits that mean nothing filled from *rubbish*."""
    field = (1 << layout.stored) - 1
    shift = layout.high_bit + 1 - layout.stored
    words = ((values.astype(np.int64) & field) << shift) | (rubbish & ~(field << shift) & (2**layout.allocated - 1))
    return np.asarray(words.astype(f"u{layout.allocated // 8}"))


def run_lengths(words: Pixels) -> bytes:
    """PS3.5 Annex G: planes of bytes, the highest first, here of literal runs only."""
    planes = []
    for plane in reversed(range(words.dtype.itemsize)):
        data = ((words >> (8 * plane)) & 0xFF).astype(np.uint8).tobytes()
        packed = b"".join(
            bytes([len(data[at : at + 128]) - 1]) + data[at : at + 128] for at in range(0, len(data), 128)
        )
        planes.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64 + sum(map(len, planes[:number])) for number in range(len(planes))]
    return pack("<16L", len(planes), *offsets, *[0] * (15 - len(planes))) + b"".join(planes)


@OFTEN
@given(
    st.data(),
    layouts((8, 16, 32)),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["little", "implicit", "big", "rle", "wrapped"]),
)
def test_whatever_the_layout_of_a_word_its_value_comes_back(
    tmp_path: Path, data: st.DataObject, layout: StoredWords, rubbish: int, syntax: str
) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=7))
    if syntax == "big":
        rubbish, layout = 0, StoredWords(layout.allocated, layout.stored, layout.stored - 1, layout.signed)
    values = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(*layout.value_range)))
    words = pack_words(values, layout, rubbish)
    attributes: dict[str, Any] = {
        "BitsStored": layout.stored,
        "HighBit": layout.high_bit,
        "PixelRepresentation": int(layout.signed),
        "RescaleSlope": -2,
        "RescaleIntercept": 7,
    }
    if syntax == "big":
        raw = words.astype(words.dtype.newbyteorder(">")).tobytes()
        made = films.film(words, syntax=ExplicitVRBigEndian, pixel_data=raw + b"\0" * (len(raw) % 2), **attributes)
        made["PixelData"].VR = "OB" if layout.allocated == 8 else "OW"
    else:
        made = films.film(words, **attributes)
    if syntax == "implicit":
        made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    if syntax == "rle":
        made = films.film(words, syntax=RLELossless, pixel_data=encapsulate([run_lengths(words)]), **attributes)
    if syntax == "wrapped":
        wrapped = encapsulate([words.tobytes() + b"\0" * (words.nbytes % 2)])
        made = films.film(words, syntax=ENCAPSULATED_UNCOMPRESSED, pixel_data=wrapped, **attributes)
    np.testing.assert_array_equal(grey(tmp_path, made), (values * -2 + 7).astype(np.float32))


# --- windows ------------------------------------------------------------------------------------------------------

RAMP = np.arange(0, 4000, 100, dtype=np.uint16).reshape(5, 8)


def test_of_several_windows_the_first_is_used_and_the_others_are_offered_by_name(tmp_path: Path) -> None:
    made = films.film(
        RAMP, WindowCenter=[1000, 2500, 0], WindowWidth=[2000, 500, 0], RescaleSlope=2, RescaleIntercept=-9
    )
    made.SpecificCharacterSet = "GB18030"
    made.WindowCenterWidthExplanation = ["肺窗", "BONE", "broken"]
    expected = np.clip((RAMP * 2.0 - 9 - 999.5) / 1999 + 0.5, 0, 1)
    np.testing.assert_allclose(grey(tmp_path, made), expected, atol=1e-6)
    frame = read_display_frame(tmp_path, made)
    windows = [
        (window.name, round(window.centre * frame.slope + frame.intercept), round(window.width * abs(frame.slope)))
        for window in frame.windows
    ]
    assert windows == [("肺窗", 1000, 2000), ("BONE", 2500, 500)]
    display.write_frame(frame, tmp_path, 0, 1)
    facts = json.loads((tmp_path / "frame-000.json").read_text())
    assert [one["name"] for one in facts["windows"]] == ["肺窗", "BONE"]
    assert facts["windows"][0]["centre"] == facts["window"]["centre"]


def test_a_window_beside_the_film_gives_way_to_the_next_for_models_and_people(tmp_path: Path) -> None:
    made = films.film(RAMP, WindowCenter=[-30000, 2500], WindowWidth=[100, 501])
    np.testing.assert_allclose(grey(tmp_path, made), np.clip((RAMP - 2499.5) / 500 + 0.5, 0, 1), atol=1e-6)
    frame = read_display_frame(tmp_path, made)
    assert frame.centre is not None
    assert frame.centre * frame.slope + frame.intercept == pytest.approx(2500)
    assert len(frame.windows) == 1


def test_a_negative_slope_turns_the_values_and_the_window_follows_the_values(tmp_path: Path) -> None:
    made = films.film(RAMP, RescaleSlope=-1, RescaleIntercept=4000, WindowCenter=3000, WindowWidth=2001)
    expected = np.clip((4000.0 - RAMP - 2999.5) / 2000 + 0.5, 0, 1)
    np.testing.assert_allclose(grey(tmp_path, made), expected, atol=1e-6)
    assert grey(tmp_path, made)[0, 0] == 1


def table(keyword: str, first: int, vr: str, entries: list[int], bits: int) -> dict[str, Any]:
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries), first, bits])
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    return {keyword: Sequence([item])}


@pytest.mark.parametrize(("vr", "first"), [("SS", -1024), ("US", 64512)])
def test_a_table_that_begins_below_zero_is_met_by_the_values_whatever_its_sign_is_written_as(
    tmp_path: Path, vr: str, first: int
) -> None:
    pixels = np.array([[0, 1, 2, 3, 40]], np.uint16)
    voi = table("VOILUTSequence", first, vr, [0, 85, 170, 255], 8)
    made = films.film(pixels, RescaleSlope=1, RescaleIntercept=-1024, BitsStored=12, HighBit=11, **voi)
    np.testing.assert_allclose(grey(tmp_path, made) * 255, [[0, 85, 170, 255, 255]], atol=1e-4)


def test_a_table_that_says_eight_bits_over_twelve_bit_entries_is_not_clipped_to_white(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 2]], np.uint16)
    made = films.film(pixels, **table("VOILUTSequence", 0, "US", [0, 2047, 4095], 8))
    np.testing.assert_allclose(grey(tmp_path, made), [[0, 2047 / 4095, 1]], atol=1e-6)


# --- enhanced objects ---------------------------------------------------------------------------------------------


def group(slope: float, centre: float | None = None) -> Dataset:
    item, values = Dataset(), Dataset()
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, -10, "US"
    item.PixelValueTransformationSequence = Sequence([values])
    if centre is not None:
        voi = Dataset()
        voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = centre, 1000, "LINEAR_EXACT"
        item.FrameVOILUTSequence = Sequence([voi])
    return item


def test_each_frame_of_an_enhanced_object_has_its_own_rescale_and_window(tmp_path: Path) -> None:
    clip = np.stack([RAMP, RAMP])
    made = films.film(RAMP, pixel_data=clip.tobytes(), NumberOfFrames=2, RescaleSlope=99, RescaleIntercept=99)
    made.SharedFunctionalGroupsSequence = Sequence([group(7.0, 100)])
    made.PerFrameFunctionalGroupsSequence = Sequence([group(1.0, 500), group(0.5)])
    for frame, (slope, centre) in enumerate([(1.0, 500), (0.5, 100)]):
        expected = np.clip((RAMP * slope - 10 - centre) / 1000 + 0.5, 0, 1)
        np.testing.assert_allclose(grey(tmp_path, made, frame), expected, atol=1e-6)


# --- padding ------------------------------------------------------------------------------------------------------

PADDED = [  # allocated dtype, PixelPaddingValue as written with its VR, range limit, the values that are padding
    (np.int16, ("US", 63536), None, [-2000]),
    (np.uint16, ("US", 0), ("US", 40), [0, 17, 40]),
    (np.int16, ("SS", -3000), ("SS", -2500), [-3000, -2700, -2500]),
]


@pytest.mark.parametrize(("kind", "value", "limit", "hidden"), PADDED)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_as_dark_as_the_film_and_sets_neither_window_nor_greys(
    tmp_path: Path, kind: Any, value: tuple[str, int], limit: Any, hidden: list[int], photometric: str
) -> None:
    pixels = np.linspace(300, 900, 24).astype(kind).reshape(4, 6)
    mask = np.zeros(pixels.shape, bool)
    for place, padding in enumerate(hidden):
        pixels[place, :2], mask[place, :2] = padding, True
    made = films.film(pixels, PhotometricInterpretation=photometric)
    made.add_new("PixelPaddingValue", *value)
    if limit is not None:
        made.add_new("PixelPaddingRangeLimit", *limit)
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        greys, people = opened.grey(0), opened.render_frame(0)
        np.testing.assert_array_equal(opened.read_padding_mask(0), mask)
    values = -pixels.astype(float) if photometric == "MONOCHROME1" else pixels.astype(float)
    np.testing.assert_array_equal(greys[~mask], values[~mask])
    assert set(greys[mask]) == {values[~mask].min()}
    assert people.pixels[mask].max() == 0
    np.testing.assert_allclose(people.pixels[~mask] * people.slope + people.intercept, pixels[~mask], atol=0.01)


def test_a_model_is_given_the_same_greys_however_much_padding_surrounds_them(tmp_path: Path) -> None:
    inner = films.shapes(5, 120, 120).astype(np.int16)
    framed = np.full((240, 240), -2000, np.int16)
    framed[60:180, 60:180] = inner
    spec = InputSpec("x", 240, 240)
    made = films.film(framed)
    made.add_new("PixelPaddingValue", "SS", -2000)
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        tensor = model_frames.prepare_frames(opened, spec).tensors[0, 0]
    alone = to_model_input(inner.astype(np.float32), InputSpec("x", 120, 120))[0, 0]
    np.testing.assert_array_equal(tensor[60:180, 60:180], alone)
    assert tensor[:60].max() == 0
