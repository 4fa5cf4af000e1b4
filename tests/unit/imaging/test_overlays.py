"""Overlays lie beside the image: people find them as layers, and no model ever sees one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread, examples
from pydicom.dataset import FileDataset

from firmware_app.imaging import display, image_file
from firmware_app.imaging.overlays import OverlayLayer
from tests import films

Pixels = np.ndarray[Any, Any]
PLANE = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)


def plane_bits(planes: Pixels) -> bytes:
    """One bit a pixel, the first in the lowest bit (PS3.5 8.1.2), padded to even length."""
    data = np.packbits(planes.reshape(-1), bitorder="little").tobytes()
    return data + b"\0" * (len(data) % 2)


def with_plane(
    dataset: FileDataset,
    planes: Pixels,
    *,
    group: int = 0x6000,
    origin: tuple[int, int] = (1, 1),
    kind: str = "G",
    frames: int | None = None,
    first: int | None = None,
) -> FileDataset:
    dataset.add_new((group, 0x0010), "US", planes.shape[-2])
    dataset.add_new((group, 0x0011), "US", planes.shape[-1])
    if frames is not None:
        dataset.add_new((group, 0x0015), "IS", frames)
    dataset.add_new((group, 0x0040), "CS", kind)
    dataset.add_new((group, 0x0050), "SS", list(origin))
    if first is not None:
        dataset.add_new((group, 0x0051), "US", first)
    dataset.add_new((group, 0x0100), "US", 1)
    dataset.add_new((group, 0x0102), "US", 0)
    dataset.add_new((group, 0x3000), "OW", plane_bits(planes))
    return dataset


def layers(folder: Path, dataset: FileDataset, frame: int = 0) -> tuple[OverlayLayer, ...]:
    with image_file.open_image_file(films.save(folder, "overlay.dcm", dataset), is_picture=False) as opened:
        return opened.render_frame(frame).layers


def blank(rows: int = 5, columns: int = 7) -> Pixels:
    return np.arange(rows * columns, dtype=np.uint16).reshape(rows, columns)


@pytest.mark.parametrize("origin", [(1, 1), (3, 4), (-1, 6), (9, 9)])
def test_a_plane_lies_where_its_origin_says_and_is_cut_at_the_edges(tmp_path: Path, origin: tuple[int, int]) -> None:
    expected = np.zeros((25, 27), np.uint8)
    expected[9 + origin[0] : 11 + origin[0], 9 + origin[1] : 12 + origin[1]] = PLANE
    expected = expected[10:15, 10:17]
    planes = layers(tmp_path, with_plane(films.film(blank()), PLANE, origin=origin))
    if expected.any():
        np.testing.assert_array_equal(planes[0].mask, expected.astype(bool))
    else:
        assert planes == ()


def test_a_model_sees_the_same_film_with_and_without_overlays(tmp_path: Path) -> None:
    plain = films.film(blank())
    with image_file.open_image_file(films.save(tmp_path, "a.dcm", plain), is_picture=False) as opened:
        expected, people = opened.grey(0), opened.render_frame(0).pixels
    drawn = with_plane(with_plane(films.film(blank()), PLANE), np.ones((5, 7), np.uint8), group=0x6002)
    with image_file.open_image_file(films.save(tmp_path, "b.dcm", drawn), is_picture=False) as opened:
        np.testing.assert_array_equal(opened.grey(0), expected)
        np.testing.assert_array_equal(opened.render_frame(0).pixels, people)
        assert [layer.group for layer in opened.render_frame(0).layers] == [0x6000, 0x6002]


def test_a_plane_with_too_few_bytes_is_left_out_and_the_film_is_shown(tmp_path: Path) -> None:
    made = with_plane(films.film(blank(50, 70)), np.ones((50, 70), np.uint8))
    made[0x6000, 0x3000].value = b"\xff\xff"
    assert layers(tmp_path, made) == ()


def test_the_plane_of_a_real_film_is_what_pydicom_makes_of_it() -> None:
    path = Path(str(examples.get_path("overlay")))
    expected = dcmread(path).overlay_array(0x6000)
    with image_file.open_image_file(path, is_picture=False) as opened:
        np.testing.assert_array_equal(opened.render_frame(0).layers[0].mask, expected.astype(bool))


def test_layers_are_written_beside_the_frame_and_told_in_its_facts(tmp_path: Path) -> None:
    made = with_plane(films.film(np.zeros((2100, 4200), np.uint16)), np.zeros((2100, 4200), np.uint8))
    lines = np.zeros((2100, 4200), np.uint8)
    lines[100, :] = 1
    made[0x6000, 0x3000].value = plane_bits(lines)
    with image_file.open_image_file(films.save(tmp_path, "large.dcm", made), is_picture=False) as opened:
        display.write_frame(opened.render_frame(0), tmp_path, 0, 1)
    facts = json.loads((tmp_path / "frame-000.json").read_text())
    assert facts["layers"] == [{"layer": 0, "group": "6000", "kind": "graphics"}]
    with Image.open(tmp_path / "frame-000-layer-0.png") as image:
        drawn = np.asarray(image)
    assert drawn.shape == (facts["shown_rows"], facts["shown_columns"])
    assert set(np.unique(drawn)) == {0, 255}
    assert (
        (drawn == 255).any(axis=0).all()
    )  # a line one pixel thin is still there, all along, when the frame is reduced
