"""What an ultrasound header says of its regions is believed where it can be true, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from firmware_app.imaging import image_file, ultrasound_regions
from firmware_app.imaging import image_properties as ultrasound
from tests import films

TISSUE: dict[str, Any] = {
    "RegionSpatialFormat": 1,
    "RegionDataType": 1,
    "RegionFlags": 2,
    "RegionLocationMinX0": 100,
    "RegionLocationMinY0": 50,
    "RegionLocationMaxX1": 499,
    "RegionLocationMaxY1": 399,
    "PhysicalUnitsXDirection": 3,
    "PhysicalUnitsYDirection": 3,
    "PhysicalDeltaX": 0.02,
    "PhysicalDeltaY": 0.025,
}
SPECTRUM = {
    **TISSUE,
    "RegionSpatialFormat": 3,
    "RegionLocationMinY0": 410,
    "RegionLocationMaxY1": 470,
    "PhysicalUnitsXDirection": 4,
    "PhysicalUnitsYDirection": 7,
}


def header(*items: dict[str, Any], **attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    sequence = []
    for item in items:
        one = Dataset()
        for keyword, value in item.items():
            setattr(one, keyword, value)
        sequence.append(one)
    if items:
        made.SequenceOfUltrasoundRegions = sequence
    return made


def scales(*items: dict[str, Any]) -> list[tuple[float | None, float | None]]:
    """What the page is told of each region; which of them a point lies in is the page's to find (`ruler.js`)."""
    return [(region.mm_x, region.mm_y) for region in ultrasound_regions.read_regions(header(*items), 480, 640)]


def test_a_region_has_millimetres_where_its_axes_are_lengths() -> None:
    tissue, spectrum = scales(TISSUE, SPECTRUM)
    assert tissue == pytest.approx((0.2, 0.25))
    assert spectrum == (None, None)  # seconds and centimetres a second
    assert scales() == []


def test_a_negative_delta_is_a_length_all_the_same_and_none_is_none() -> None:
    for delta, scale in ((-0.02, 0.2), (0.0, None), (float("nan"), None), (1e308, None)):
        ((across, down),) = scales({**TISSUE, "PhysicalDeltaX": delta})
        assert across == (None if scale is None else pytest.approx(scale))
        assert down == pytest.approx(0.25)


@pytest.mark.parametrize(
    "lie",
    [
        {"RegionLocationMaxX1": 700},  # an image that was made smaller after its header was written
        {"RegionLocationMaxY1": 482},
        {"RegionLocationMinX0": 499, "RegionLocationMaxX1": 100},
        {"RegionLocationMinX0": None},
    ],
)
def test_a_list_with_a_region_that_cannot_be_is_not_believed_at_all(lie: dict[str, Any]) -> None:
    assert ultrasound_regions.read_regions(header(TISSUE, {**TISSUE, **lie}), 480, 640) == ()


def test_a_region_that_holds_rubbish_costs_its_scale_and_not_the_film(tmp_path: Path) -> None:
    tagged = header(TISSUE)
    tagged.SequenceOfUltrasoundRegions[0].add(DataElement(0x00186016, "LO", "rubbish"))
    made = films.film(SequenceOfUltrasoundRegions=tagged.SequenceOfUltrasoundRegions)
    with image_file.open_image_file(films.save(tmp_path, "film.dcm", made), is_picture=False) as opened:
        assert ultrasound.make_display_frame(opened, 0).regions == ()


def test_the_regions_that_pydicoms_cut_and_shrunk_images_still_carry_are_not_believed() -> None:
    for name in ("examples_ybr_color.dcm", "examples_palette.dcm"):
        path = pydicom.data.get_testdata_file(name, download=False)
        assert isinstance(path, str)
        with image_file.open_image_file(Path(path), is_picture=False) as opened:
            assert ultrasound.header_regions(opened) == ()
            assert ultrasound.header_sector(opened) is None


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ({"FrameTime": "33.333"}, 30.0),
        ({"FrameTimeVector": ["0", "20", "20", "40"]}, 37.5),
        ({"FrameTimeVector": ["0", "20", "20"], "FrameTime": "100"}, 50.0),
        ({"CineRate": "25"}, 25.0),
        ({"RecommendedDisplayFrameRate": "20", "CineRate": "50"}, 50.0),
        ({"RecommendedDisplayFrameRate": "20"}, 20.0),
        ({"FrameTime": "0", "CineRate": "25"}, 25.0),
        ({"CineRate": "0"}, None),
        ({"CineRate": "99999"}, None),
        ({}, None),
    ],
)
def test_the_rate_of_a_clip_is_what_was_recorded_before_what_is_recommended(
    said: dict[str, Any], rate: float | None
) -> None:
    assert ultrasound_regions.read_frame_rate(header(**said)) == (
        None if rate is None else pytest.approx(rate, rel=1e-3)
    )
