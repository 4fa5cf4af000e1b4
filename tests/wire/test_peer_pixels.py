"""Greys and colours are those of an independent program: dcmtk's dcm2pnm and dcmj2pnm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from firmware_app.imaging import image_file
from tests import films, peers

Pixels = np.ndarray[Any, Any]
RAMP = np.arange(0, 4096, 8, dtype=np.uint16).reshape(16, 32)


def theirs(path: Path, *options: str, program: str = "dcm2pnm") -> Pixels:
    """What dcmtk shows of the object at *path*: 16-bit greys or 8-bit colours."""
    out = path.with_suffix(".png")
    subprocess.run([peers.peer(program), *options, path, out], check=True, capture_output=True, timeout=60)
    with Image.open(out) as image:
        return np.asarray(image)


def ours(path: Path) -> Pixels:
    with image_file.open_image_file(path, is_picture=False) as opened:
        return opened.grey(0)


def people(path: Path) -> Pixels:
    with image_file.open_image_file(path, is_picture=False) as opened:
        return opened.render_frame(0).pixels


def twelve_bits(pixels: Pixels, **attributes: Any) -> FileDataset:
    return films.film(pixels, BitsStored=12, HighBit=11, **attributes)


@pytest.mark.parametrize(
    ("photometric", "slope", "intercept"),
    [("MONOCHROME2", 1, -1024), ("MONOCHROME1", -1, 4095), ("MONOCHROME1", 0.5, 10)],
)
@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(1000, 800), (40, 400)])
def test_a_window_over_a_rescale_gives_their_greys(
    tmp_path: Path, photometric: str, slope: float, intercept: float, function: str, centre: float, width: float
) -> None:
    made = twelve_bits(
        RAMP,
        PhotometricInterpretation=photometric,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=centre,
        WindowWidth=width,
        VOILUTFunction=function,
    )
    path = films.save(tmp_path, "window.dcm", made)
    greys = theirs(path, "-O", "+Wi", "1", "+Wfs" if function == "SIGMOID" else "+Wfl", "+on2") / 65535.0
    greys_of_ours = ours(path)
    if np.ptp(greys_of_ours) > 1.5:  # the window would leave one grey, so it is not used
        assert np.ptp(greys) < 2**-15
        return
    np.testing.assert_allclose(greys_of_ours, greys, atol=2e-4)


def sequence(first: int, entries: list[int], bits: int, **attributes: Any) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return Sequence([item])


CURVE = [min(4095, int(4095 * (step / 500) ** 2)) for step in range(501)]


@pytest.mark.parametrize(("photometric", "first"), [("MONOCHROME1", 100), ("MONOCHROME2", -200)])
def test_a_voi_table_gives_their_greys(tmp_path: Path, photometric: str, first: int) -> None:
    made = twelve_bits(
        RAMP,
        PhotometricInterpretation=photometric,
        RescaleSlope=1,
        RescaleIntercept=-300,
        VOILUTSequence=sequence(first, CURVE, 12),
    )
    path = films.save(tmp_path, "voi.dcm", made)
    greys = theirs(path, "-O", "+Wl", "1", "+on2") / 65535.0
    np.testing.assert_allclose(ours(path), greys, atol=1 / 4000)  # they divide by 4096, we by the greatest entry


def test_a_modality_table_before_a_window_gives_their_greys(tmp_path: Path) -> None:
    table = sequence(0, [2 * (entry % 1000) for entry in range(4096)], 11, ModalityLUTType="US")
    made = twelve_bits(RAMP, ModalityLUTSequence=table, WindowCenter=900, WindowWidth=1500)
    path = films.save(tmp_path, "modality.dcm", made)
    np.testing.assert_allclose(ours(path), theirs(path, "-O", "+Wi", "1", "+on2") / 65535.0, atol=2e-4)


LAYOUTS = [
    *((16, *one) for one in [(12, 11, False), (12, 15, False), (12, 11, True), (9, 12, False)]),
    *((32, *one) for one in [(32, 31, False), (24, 31, False), (20, 27, True)]),
]


@pytest.mark.parametrize(("allocated", "stored", "high_bit", "signed"), LAYOUTS)
def test_words_of_every_layout_give_their_greys(
    tmp_path: Path, allocated: int, stored: int, high_bit: int, signed: bool
) -> None:
    low = -(2 ** (stored - 1)) if signed else 0
    values = np.linspace(low, low + 2**stored - 1, 256).astype(np.int64).reshape(8, 32)
    words = ((values & (2**stored - 1)) << (high_bit + 1 - stored)).astype(f"u{allocated // 8}")
    centre, width = low + 2 ** (stored - 1), 2**stored
    made = films.film(
        words,
        BitsStored=stored,
        HighBit=high_bit,
        PixelRepresentation=int(signed),
        WindowCenter=centre,
        WindowWidth=width,
    )
    path = films.save(tmp_path, "words.dcm", made)
    np.testing.assert_allclose(ours(path), theirs(path, "-O", "+Wi", "1", "+on2") / 65535.0, atol=2e-4)


def scene() -> Pixels:
    down, across = np.mgrid[0:32, 0:48]
    made = np.repeat(((down * 5 + across * 3) % 200)[..., None], 3, axis=2).astype(np.uint8)
    made[:8] = 0
    made[10:14, 4:12], made[20:24, 4:12] = (200, 40, 30), (30, 60, 210)
    return made


@pytest.mark.parametrize(("model", "planar"), [("RGB", 1), ("YBR_FULL", 0)])
def test_colours_in_samples_and_in_planes_are_theirs(tmp_path: Path, planar: int, model: str) -> None:
    stored = scene() if model == "RGB" else films.to_ybr_full(scene())
    data = np.moveaxis(stored, -1, 0).tobytes() if planar else stored.tobytes()
    made = films.film(scene(), pixel_data=data, PlanarConfiguration=planar, PhotometricInterpretation=model)
    path = films.save(tmp_path, "colour.dcm", made)
    assert np.abs(people(path).astype(int) - theirs(path, "+on").astype(int)).max() <= 2


def test_shared_chroma_is_theirs(tmp_path: Path) -> None:
    ybr = films.to_ybr_full(np.repeat(scene()[:, ::2], 2, axis=1))
    first, second = ybr[:, 0::2].reshape(-1, 3), ybr[:, 1::2].reshape(-1, 3)
    data = np.stack([first[:, 0], second[:, 0], first[:, 1], first[:, 2]], axis=-1).tobytes()
    made = films.film(scene(), pixel_data=data, PhotometricInterpretation="YBR_FULL_422")
    path = films.save(tmp_path, "shared.dcm", made)
    assert np.abs(people(path).astype(int) - theirs(path, "+on").astype(int)).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("first", "kind"), [(0, np.uint8), (20, np.uint8), (-30, np.int16), (300, np.uint16)])
def test_a_palette_gives_their_colours(tmp_path: Path, bits: int, first: int, kind: Any) -> None:
    pixels = np.arange(first, first + 96).clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind).reshape(8, 12)
    made = films.film(pixels, PhotometricInterpretation="PALETTE COLOR")
    for number, name in enumerate(("Red", "Green", "Blue")):
        levels = (np.arange(64) * (number + 1) * 37) % 256
        entries = (levels * 257).astype("<u2") if bits == 16 else levels.astype(np.uint8)
        vr = "SS" if made.PixelRepresentation else "US"
        made.add_new(f"{name}PaletteColorLookupTableDescriptor", vr, [64, first, bits])
        made.add_new(f"{name}PaletteColorLookupTableData", "OW", entries.tobytes())
    path = films.save(tmp_path, "palette.dcm", made)
    np.testing.assert_array_equal(people(path), theirs(path, "+on"))


def test_the_plane_of_an_overlay_is_where_they_draw_it(tmp_path: Path) -> None:
    made = twelve_bits(np.zeros((20, 30), np.uint16), WindowCenter=2048, WindowWidth=4096)
    plane = np.random.default_rng(6).integers(0, 2, (9, 11), dtype=np.uint8)
    plane[0, 0] = 1
    made.add_new((0x6000, 0x0010), "US", 9)
    made.add_new((0x6000, 0x0011), "US", 11)
    made.add_new((0x6000, 0x0040), "CS", "G")
    made.add_new((0x6000, 0x0050), "SS", [15, 3])
    made.add_new((0x6000, 0x0100), "US", 1)
    made.add_new((0x6000, 0x0102), "US", 0)
    data = np.packbits(plane.reshape(-1), bitorder="little").tobytes()
    made.add_new((0x6000, 0x3000), "OW", data + b"\0" * (len(data) % 2))
    path = films.save(tmp_path, "overlay.dcm", made)
    drawn = theirs(path, "+O", "0", "+Omr", "+Wi", "1", "+on2") > 0
    with image_file.open_image_file(path, is_picture=False) as opened:
        np.testing.assert_array_equal(opened.render_frame(0).layers[0].mask, drawn)


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"])
def test_real_jpeg_colours_are_theirs(tmp_path: Path, name: str) -> None:
    actual = next((path for path in peers.pydicom_files() if path.name == name), None)
    if actual is None:
        peers.skip_or_fail(f"needs {name} of pydicom's test files")
    copy = tmp_path / name
    copy.write_bytes(actual.read_bytes())
    assert np.abs(people(copy).astype(int) - theirs(copy, "+on", program="dcmj2pnm").astype(int)).max() <= 3
