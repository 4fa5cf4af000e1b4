"""Slices become the volume that was scanned, or a sentence: by where they lie, whatever their names and numbers say."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_app.imaging import scan_volumes, slices
from firmware_app.imaging import scan_volumes as volume
from firmware_app.imaging.errors import NOT_HOUNSFIELD, VOLUME_TOO_LARGE
from firmware_app.imaging.scan_volumes import ArrangedSeries, SliceStack
from tests import films, scans
from tests.refusals import raises_refusal
from tests.scans import SlicePlane

Numbers = np.ndarray[Any, Any]


def arrange(paths: list[Path]) -> ArrangedSeries:
    return scan_volumes.arrange_slices(
        [slice_ for path in paths for slice_ in slices.read_slices(path)], volume.have_same_pixels
    )


def only(paths: list[Path]) -> SliceStack:
    """The one stack that all of *paths* make."""
    volumes = arrange(paths)
    assert not volumes.left_out
    [stack] = volumes.stacks
    return stack


def codes(volumes: ArrangedSeries) -> list[str]:
    return sorted(one.reason.code for one in volumes.left_out)


def check_densities(stack: SliceStack) -> None:
    """Every voxel has the density of the place where the affine says it lies."""
    voxels = volume.read_hounsfield_volume(stack).voxels
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in voxels.shape), indexing="ij"), -1)
    homogeneous = np.concatenate([indices[..., ::-1], np.ones((*voxels.shape, 1))], -1)
    places = (homogeneous @ scans.affine(stack).T)[..., :3]
    differs = voxels != scans.density(places)
    assert float(np.mean(differs)) < 0.01  # the ball's rim lies within the rounding of a position
    assert int(np.ptp(voxels)) > 800


# --- order and geometry -------------------------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=st.tuples(*[st.floats(-3, 3)] * 3),
    step=st.floats(0.6, 9.0),
    count=st.integers(2, 6),
    seed=st.integers(0, 999),
)
def test_any_oblique_scan_is_put_where_it_was(
    tmp_path: Path, turns: tuple[float, ...], step: float, count: int, seed: int
) -> None:
    across, down = (np.asarray(_turned(turns) @ np.eye(3)[axis]) for axis in (0, 1))
    way = step * np.cross(across, down)
    stack = only(scans.write_scan(tmp_path / "scan", scans.make_planes(count, way, directions=(*across, *down)), seed))
    assert scans.compute_spacing_mm(stack) == pytest.approx(step, abs=1e-4)
    first, last = (SlicePlane(stack.slices[end].position, (*across, *down)) for end in (0, -1))
    corner = scans.affine(stack) @ [scans.COLUMNS - 1, scans.ROWS - 1, 0, 1]
    np.testing.assert_allclose(corner[:3], first.pixel_positions()[-1, -1], atol=1e-3)
    np.testing.assert_allclose((scans.affine(stack) @ [0, 0, count - 1, 1])[:3], last.position, atol=1e-3)
    for path in (tmp_path / "scan").iterdir():
        path.unlink()


def _turned(turns: tuple[float, ...]) -> Numbers:
    matrix = np.eye(3)
    for axis, angle in enumerate(turns):
        plane = [number for number in range(3) if number != axis]
        turn = np.eye(3)
        turn[np.ix_(plane, plane)] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        matrix = turn @ matrix
    return matrix


# --- peers ----------------------------------------------------------------------------------------------------------


def in_gdcms_order(paths: list[Path]) -> list[str]:
    sorter: Any = gdcm.IPPSorter()
    sorter.SetComputeZSpacing(True)
    sorter.SetZSpacingTolerance(1e-3)
    assert sorter.Sort([str(path) for path in paths])
    return list(sorter.GetFilenames())


def test_gdcm_sorts_an_oblique_scan_in_the_same_order(tmp_path: Path) -> None:
    directions = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)
    way = 2.5 * np.cross(directions[:3], directions[3:])
    paths = scans.write_scan(tmp_path, scans.make_planes(8, step=way, directions=directions), seed=2)
    assert [str(slice_.path) for slice_ in only(paths).slices] == in_gdcms_order(paths)


# --- holes, folds and strangers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("absent", "missing"), [((3,), 1), ((1, 4, 5, 8), 4)])
def test_a_series_with_a_hole_is_no_volume_and_says_how_many_slices_are_missing(
    tmp_path: Path, absent: tuple[int, ...], missing: int
) -> None:
    chosen = [cut for number, cut in enumerate(scans.make_planes(11)) if number not in absent]
    volumes = arrange(scans.write_scan(tmp_path, chosen))
    assert not volumes.stacks
    assert codes(volumes) == ["series.missing"] * len(chosen)
    assert volumes.left_out[0].reason.details == {"missing": missing, "step_mm": 3.0}
    assert str(missing) in volumes.left_out[0].reason.text("en")


def test_a_series_that_changes_its_distance_is_no_volume(tmp_path: Path) -> None:
    fine, coarse = scans.make_planes(5), scans.make_planes(5, step=(0.0, 0.0, 6.0))
    coarse = [replace(cut, position=(*cut.position[:2], cut.position[2] + 12.0)) for cut in coarse[1:]]
    volumes = arrange(scans.write_scan(tmp_path, fine + coarse))
    assert codes(volumes) == ["series.uneven"] * 9
    assert volumes.left_out[0].reason.details == {"least_mm": 3.0, "most_mm": 6.0}


def test_a_slice_sent_twice_counts_once(tmp_path: Path) -> None:
    chosen = scans.make_planes(6)
    made = [scans.make_slice(cut) for cut in (*chosen, chosen[2], chosen[4])]  # new UIDs, the same pixels
    assert len(only(scans.write_datasets(tmp_path, made)).slices) == 6


def test_two_different_images_of_one_place_are_refused(tmp_path: Path) -> None:
    chosen = scans.make_planes(6)
    made = [scans.make_slice(cut) for cut in chosen]
    made.append(scans.make_slice(chosen[3], intercept=-1023.0))
    made[-1].RescaleIntercept = -1024.0
    volumes = arrange(scans.write_datasets(tmp_path, made))
    assert codes(volumes) == ["series.twice"] * 7
    assert volumes.left_out[0].reason.details == {"slices": 1}


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "ConvolutionKernel"])
def test_passes_over_the_same_places_become_volumes_of_their_own(tmp_path: Path, keyword: str) -> None:
    made = []
    for number, cut in itertools.product((1, 2), scans.make_planes(5)):
        value = f"B{number}" if keyword == "ConvolutionKernel" else number
        dataset = scans.make_slice(cut, intercept=-1024.0 - number, **{keyword: value})
        dataset.RescaleIntercept = -1024.0
        made.append(dataset)
    volumes = arrange(scans.write_datasets(tmp_path, made))
    assert not volumes.left_out
    assert [len(stack.slices) for stack in volumes.stacks] == [5, 5]
    one, other = (volume.read_volume(stack).voxels for stack in volumes.stacks)
    assert abs(int(one[0, 0, 0]) - int(other[0, 0, 0])) == 1


def test_slices_of_another_size_pixel_orientation_or_frame_are_volumes_of_their_own(tmp_path: Path) -> None:
    groups = [
        scans.make_planes(5),
        scans.make_planes(4, shape=(12, 10)),
        scans.make_planes(4, pixel_mm=(0.5, 0.5)),
        scans.make_planes(4, step=(3.0, 0.0, 0.0), directions=scans.SAGITTAL),
    ]
    made = [scans.make_slice(cut) for group in groups for cut in group]
    made += [scans.make_slice(cut, FrameOfReferenceUID="2.25.99") for cut in scans.make_planes(3)]
    volumes = arrange(scans.write_datasets(tmp_path, made))
    assert not volumes.left_out
    assert sorted(len(stack.slices) for stack in volumes.stacks) == [3, 4, 4, 4, 5]
    for stack in volumes.stacks:
        np.testing.assert_array_equal(
            volume.read_volume(stack).voxels,
            [
                scans.density(
                    SlicePlane(
                        slice_.position, slice_.across + slice_.down, slice_.pixel_mm, (slice_.rows, slice_.columns)
                    ).pixel_positions()
                )
                for slice_ in stack.slices
            ],
        )


@pytest.mark.parametrize("named", [True, False])
def test_a_localizer_is_no_slice(tmp_path: Path, named: bool) -> None:
    kind = ["ORIGINAL", "PRIMARY", "LOCALIZER" if named else "AXIAL"]
    made = [scans.make_slice(cut) for cut in scans.make_planes(6)]
    made += [scans.make_slice(SlicePlane((0, -20, 20), scans.SAGITTAL), ImageType=kind)]
    made += [scans.make_slice(SlicePlane((-20, 0, 20), (1, 0, 0, 0, 0, -1)), ImageType=kind)]
    volumes = arrange(scans.write_datasets(tmp_path, made))
    assert codes(volumes) == ["series.localizer"] * 2
    assert [len(stack.slices) for stack in volumes.stacks] == [6]


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ({"ImagePositionPatient": None}, "ImagePositionPatient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "ImageOrientationPatient"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing"),
    ],
)
def test_an_image_without_a_place_is_left_out_and_the_others_are_a_volume(
    tmp_path: Path, attributes: dict[str, Any], detail: str
) -> None:
    first, *others = scans.make_planes(6)
    volumes = arrange(
        scans.write_datasets(
            tmp_path, [*(scans.make_slice(cut) for cut in others), scans.make_slice(first, **attributes)]
        )
    )
    assert [one.reason.details for one in volumes.left_out] == [{"detail": detail}]
    assert [len(stack.slices) for stack in volumes.stacks] == [5]


# --- values ---------------------------------------------------------------------------------------------------------


def test_whole_values_take_two_bytes_a_voxel_and_others_four(tmp_path: Path) -> None:
    whole = volume.read_volume(only(scans.write_scan(tmp_path / "whole", scans.make_planes(3)))).voxels
    parts = volume.read_volume(only(scans.write_scan(tmp_path / "parts", scans.make_planes(3), slope=0.5))).voxels
    assert (whole.dtype.name, parts.dtype.name) == ("int16", "float32")
    np.testing.assert_array_equal(whole, parts)


def test_padding_around_a_slice_is_air(tmp_path: Path) -> None:
    made = [scans.make_slice(cut, PixelPaddingValue=0) for cut in scans.make_planes(3)]
    for dataset in made:
        words = dataset.pixel_array.copy()
        words[:4] = 0
        dataset.PixelData = words.tobytes()
    voxels = volume.read_hounsfield_volume(only(scans.write_datasets(tmp_path, made))).voxels
    assert (voxels[:, :4] == volume.AIR_HU).all()


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ({"Modality": "MR"}, "Modality"),
        ({"RescaleType": "US"}, "RescaleType"),
        ({"RescaleSlope": None}, "RescaleSlope"),
    ],
)
def test_values_that_are_not_known_to_be_hounsfield_units_are_not_called_so(
    tmp_path: Path, attributes: dict[str, Any], detail: str
) -> None:
    made = [scans.make_slice(cut) for cut in scans.make_planes(3)]
    for dataset in made:
        for keyword, value in attributes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
    stack = only(scans.write_datasets(tmp_path, made))
    assert volume.read_volume(stack).unit == ""
    with raises_refusal(NOT_HOUNSFIELD, match=detail):
        volume.read_hounsfield_volume(stack)


def test_a_volume_that_would_take_too_much_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = only(scans.write_scan(tmp_path, scans.make_planes(4)))
    monkeypatch.setattr(volume, "LARGEST_BYTES", 4 * scans.ROWS * scans.COLUMNS * 2 - 1)
    for slice_ in stack.slices:
        slice_.path.unlink()
    with raises_refusal(VOLUME_TOO_LARGE):
        volume.read_volume(stack)


# --- enhanced objects -----------------------------------------------------------------------------------------------


def test_the_frames_of_an_enhanced_ct_are_slices_in_any_order(tmp_path: Path) -> None:
    chosen = scans.make_planes(7, directions=scans.tilt_directions(15.0))
    shuffled = [chosen[number] for number in (3, 0, 6, 1, 5, 2, 4)]
    stack = only([films.save(tmp_path, "enhanced.dcm", scans.make_enhanced_ct(shuffled))])
    assert [slice_.frame for slice_ in stack.slices] == [1, 3, 5, 0, 6, 4, 2]
    check_densities(stack)
