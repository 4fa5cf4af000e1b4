"""Pixels need not be square: what is round in the body is round in whatever is made of the picture, and marks stay put.

The films show a disc as a machine with pixels twice as high as wide, or twice as wide as high, stores it: an ellipse.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from firmware_app.core.lesion import Lesion
from firmware_app.imaging import display, image_file, lesion_description, model_frames
from firmware_app.imaging import image_properties as ultrasound
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.pixel_size import Scale
from firmware_app.packs.tasks.interface import Frame
from firmware_app.reading.children import inference_child
from firmware_app.results import key_images
from firmware_app.results.pdf import plates
from tests import films
from tests.results import make_case_view, make_objects

Pixels = np.ndarray[Any, Any]
SIDE = 400  # of the film in widths of the narrower side of a pixel: it is square in the body


def disc(aspect: float) -> Pixels:
    """(H, W) uint16: a bright disc in the middle of a square, in pixels so many times as high as wide."""
    rows, columns = round(SIDE / max(aspect, 1.0)), round(SIDE / max(1 / aspect, 1.0))
    y, x = np.mgrid[0:rows, 0:columns]
    away = np.hypot((x + 0.5) / columns - 0.5, (y + 0.5) / rows - 0.5)
    ground = 200 + 700 * x / columns + 700 * y / rows + np.random.default_rng(9).uniform(0, 60, away.shape)
    return np.asarray(np.where(away < 0.25, 4000 - 400 * away, ground), dtype=np.uint16)


def rim(aspect: float) -> tuple[tuple[float, float], ...]:
    """The disc's outline in pixels of the frame."""
    rows, columns = disc(aspect).shape
    turns = [2 * math.pi * at / 40 for at in range(40)]
    return tuple((columns * (0.5 + 0.25 * math.cos(a)), rows * (0.5 + 0.25 * math.sin(a))) for a in turns)


def region(mm_x: float, mm_y: float, rows: int, columns: int) -> Dataset:
    made = Dataset()
    for keyword, value in {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionFlags": 0,
        "RegionLocationMinX0": 0,
        "RegionLocationMinY0": 0,
        "RegionLocationMaxX1": columns - 1,
        "RegionLocationMaxY1": rows - 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": mm_x / 10,
        "PhysicalDeltaY": mm_y / 10,
    }.items():
        setattr(made, keyword, value)
    return made


TALL: list[dict[str, Any]] = [
    {"ImagerPixelSpacing": [0.4, 0.2]},  # row spacing, which lies down, comes first (PS3.3 10.7.1.3)
    {"PixelSpacing": [0.4, 0.2]},
    {"NominalScannedPixelSpacing": [0.4, 0.2]},
    {"PixelAspectRatio": [2, 1]},  # vertical, horizontal (PS3.3 C.7.6.3.1.7)
    {"PixelAspectRatio": [1, 1], "ImagerPixelSpacing": [0.4, 0.2]},  # the ratio counts only without a spacing
    {"Modality": "US", "ViewPosition": None, "SequenceOfUltrasoundRegions": [region(0.2, 0.4, 200, 400)]},
    {"SharedFunctionalGroupsSequence": [Dataset()]},
]
TALL[-1]["SharedFunctionalGroupsSequence"][0].PixelMeasuresSequence = [Dataset()]
TALL[-1]["SharedFunctionalGroupsSequence"][0].PixelMeasuresSequence[0].PixelSpacing = [0.4, 0.2]
WIDE: list[dict[str, Any]] = [{"ImagerPixelSpacing": [0.2, 0.4]}, {"PixelAspectRatio": [1, 2]}]
STATED = [(2.0, one) for one in TALL] + [(0.5, one) for one in WIDE]


def save_disc(folder: Path, aspect: float, said: dict[str, Any]) -> Path:
    return films.save(folder, "disc.dcm", films.film(disc(aspect), BitsStored=12, HighBit=11, **said))


@contextmanager
def open_disc(folder: Path, aspect: float, said: dict[str, Any]) -> Iterator[image_file.ImageFile]:
    with image_file.open_image_file(save_disc(folder, aspect, said), is_picture=False) as made:
        yield made


def roundness(picture: Pixels | Image.Image) -> float:
    """Width over height of what is bright."""
    greys = np.asarray(picture).astype(float)
    greys = greys if greys.ndim == 2 else greys[..., 0]
    y, x = np.nonzero(greys > greys.min() + 0.6 * np.ptp(greys))
    return float((np.ptp(x) + 1) / (np.ptp(y) + 1))


@pytest.mark.parametrize(("aspect", "said"), STATED)
def test_a_disc_is_round_on_the_screen_and_in_the_list(tmp_path: Path, aspect: float, said: dict[str, Any]) -> None:
    with open_disc(tmp_path, aspect, said) as made:
        display.write_frame(ultrasound.make_display_frame(made, 0), tmp_path, 0, 1)
        display.write_light_frame(ultrasound.make_display_frame(made, 0), tmp_path, 1, 2)
    for name in ("frame-000.png", "thumb.jpg", "frame-001-screen.jpg"):
        with Image.open(tmp_path / name) as image:
            assert image.width == image.height
            assert roundness(image) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"ImagerPixelSpacing": [0.2, 0.2005]},
        {"PixelAspectRatio": [0, 1]},
        {"PixelAspectRatio": [1, 5000]},
        {"SequenceOfUltrasoundRegions": [region(0.2, 0.4, 90, 90), region(0.2, 0.2, 90, 90)]},
    ],
)
def test_pixels_that_are_square_or_about_which_nothing_can_be_are_left_as_they_are(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    with open_disc(tmp_path, 1.0, said) as made:
        assert display.reduce_pixels(made.render_frame(0).pixels, aspect=made.aspect(0)).size == (SIDE, SIDE)
        assert made.aspect(0) == 1.0


@pytest.mark.parametrize(("aspect", "said"), [STATED[0], STATED[-1]])
def test_marks_lie_where_they_were_found_though_the_picture_is_stretched(
    tmp_path: Path, aspect: float, said: dict[str, Any]
) -> None:
    """Places are told in pixels of the frame: the outline drawn over the picture runs along the disc's edge."""
    rows, columns = disc(aspect).shape
    with open_disc(tmp_path, aspect, said) as made:
        display.write_frame(made.render_frame(0), tmp_path, 0, 1)
    mark = Lesion("i", 0, (columns / 4, rows / 4, columns * 0.75, rows * 0.75), 0.9, outline=rim(aspect))
    drawn = key_images.load_marked_frame(tmp_path, 0, [mark]).astype(int)
    y, x = np.nonzero(drawn[..., 0] - drawn[..., 2] > 100)  # yellow
    away = np.hypot((x + 0.5) / SIDE - 0.5, (y + 0.5) / SIDE - 0.5)
    assert abs(away - 0.25).max() < 0.02
    heat = np.zeros((rows, columns), np.float32)
    heat[disc(aspect) > 3000] = 1.0
    blended = key_images.blend_heat_map(
        key_images.load_frame(tmp_path), inference_child.render_heat_map(heat, rows, columns)
    )
    assert roundness(blended[..., 0].astype(int) - blended[..., 2]) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("aspect", "said"), [STATED[0], STATED[-1]])
def test_a_disc_is_round_on_paper_and_in_the_archive(tmp_path: Path, aspect: float, said: dict[str, Any]) -> None:
    """PDF plate and Secondary Capture; the presentation state says the shape of the pixels (PS3.3 C.10.4)."""
    result = make_case_view(save_disc(tmp_path, aspect, said), tmp_path / "display")
    with image_file.open_image_file(Path(result.images[0].file), is_picture=False) as made:
        display.write_frame(made.render_frame(0), tmp_path / "display", 0, 1)
    (plate,) = plates.make_report_images(result.case, lambda _: tmp_path / "display")
    assert roundness(Image.open(io.BytesIO(plate.plain))) == pytest.approx(1.0, abs=0.03)
    bare = replace(result.case.readings[0], lesions=())
    plain = replace(result, case=replace(result.case, readings=(bare,), lesions=()))
    capture = next(one.data_set for one in make_objects(plain) if one.kind == "sc")
    assert roundness(capture.pixel_array[: capture.Columns]) == pytest.approx(1.0, abs=0.03)
    presentation = next(one.data_set for one in make_objects(result) if one.kind == "pr")
    (area,) = presentation.DisplayedAreaSelectionSequence
    down, across = (int(one) for one in area.PresentationPixelAspectRatio)
    assert down / across == aspect
    graphic = presentation.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    corner = graphic.GraphicData[:2]  # of the outline that `result_of` makes, in pixels of the source
    assert corner == pytest.approx([0.2 * disc(aspect).shape[1], 0.2 * disc(aspect).shape[0]], abs=0.01)


@pytest.mark.parametrize("resize", ["letterbox", "squash"])
@pytest.mark.parametrize(("aspect", "said"), [STATED[0], STATED[-1]])
def test_a_model_sees_the_disc_round_and_its_places_are_pixels_of_the_frame(
    tmp_path: Path, aspect: float, said: dict[str, Any], resize: Any
) -> None:
    rows, columns = disc(aspect).shape
    with open_disc(tmp_path, aspect, said) as made:
        taken = model_frames.prepare_frames(made, InputSpec("film", 200, 200, resize=resize))
    assert roundness(taken.tensors[0, 0]) == pytest.approx(1.0, abs=0.03)
    box = Frame(rows, columns, box=taken.box).place_box(0.25, 0.25, 0.75, 0.75)
    assert box == pytest.approx((columns / 4, rows / 4, columns * 0.75, rows * 0.75), abs=2.0)


def test_a_lesion_is_as_long_whichever_way_it_lies_and_round_where_it_is() -> None:
    aspect, (rows, columns) = 2.0, disc(2.0).shape
    mark = Lesion("i", 0, (columns / 4, rows / 4, columns * 0.75, rows * 0.75), 0.9, outline=rim(aspect))
    greys, size = (disc(aspect) / 4000).astype(np.float32), (columns, rows)
    (found,) = lesion_description.describe_lesions([mark], greys, size, aspect=aspect)
    assert [found.long_axis_px, found.short_axis_px] == pytest.approx([SIDE / 2, SIDE / 2], rel=0.02)
    assert found.area_px == pytest.approx((disc(aspect) > 3000).sum(), rel=0.02)
    assert {feature.name: feature.term for feature in found.features}["shape"] == "round"
    (scaled,) = lesion_description.describe_lesions([mark], greys, size, None, [Scale(0, 0, columns, rows, 0.4, 0.2)])
    assert [scaled.long_axis_mm, scaled.short_axis_mm] == pytest.approx([SIDE / 10, SIDE / 10], rel=0.02)
    (ax, ay, bx, by), (cx, cy, dx, dy) = scaled.axes  # at a right angle in the body
    assert (bx - ax) * (dx - cx) + (by - ay) * (dy - cy) * aspect**2 == pytest.approx(0.0, abs=SIDE)
