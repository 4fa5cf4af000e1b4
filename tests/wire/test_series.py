"""Volumes as dcm2niix and gdcm make them."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from firmware_app.imaging import scan_volumes as volume
from firmware_app.imaging.scan_volumes import SliceStack
from tests import peers, scans
from tests.unit.imaging.test_series import Numbers, in_gdcms_order, only


def in_niftis_axes(path: Path) -> tuple[Numbers, Numbers]:
    """(voxels by column, row, slice; affine to RAS) of the NIfTI-1 file at *path*, as its sform has it."""
    data = path.read_bytes()
    columns, rows, count = struct.unpack("<3h", data[42:48])
    kind, offset = struct.unpack("<h", data[70:72])[0], int(struct.unpack("<f", data[108:112])[0])
    assert struct.unpack("<h", data[254:256])[0] > 0  # sform_code
    slope, intercept = struct.unpack("<2f", data[112:120])
    words = np.frombuffer(data, {4: "<i2", 16: "<f4", 512: "<u2"}[kind], columns * rows * count, offset)
    affine = np.vstack([np.frombuffer(data, "<f4", 12, 280).reshape(3, 4), [0, 0, 0, 1]])
    values = words.reshape(count, rows, columns).transpose(2, 1, 0) * (slope or 1.0) + intercept
    return values, affine.astype(np.float64)


def by_dcm2niix(paths: list[Path], folder: Path) -> tuple[Numbers, Numbers]:
    folder.mkdir()
    program = peers.peer("dcm2niix")
    command = [program, "-z", "n", "-b", "n", "-m", "y", "-f", "scan", "-o", str(folder), str(paths[0].parent)]
    subprocess.run(command, check=True, capture_output=True)
    [straight] = [path for path in folder.glob("*.nii") if "Tilt" not in path.name and "Eq" not in path.name]
    return in_niftis_axes(straight)


def check_against_dcm2niix(stack: SliceStack, paths: list[Path], folder: Path) -> None:
    """Our voxels are dcm2niix's at the same places of the body; it lays its axes otherwise."""
    values, affine = by_dcm2niix(paths, folder)
    ours = volume.read_hounsfield_volume(stack).voxels.transpose(2, 1, 0)
    assert sorted(ours.shape) == sorted(values.shape)
    between = np.linalg.inv(affine) @ np.diag([-1.0, -1.0, 1.0, 1.0]) @ scans.affine(stack)  # RAS, as NIfTI has it
    chance = np.random.default_rng(5)
    indices = np.stack([chance.integers(0, size, 4000) for size in ours.shape])
    theirs = (between @ np.vstack([indices, np.ones(4000)]))[:3]
    np.testing.assert_allclose(theirs, np.rint(theirs), atol=0.02)
    np.testing.assert_array_equal(ours[tuple(indices)], values[tuple(np.rint(theirs).astype(int))])


@pytest.mark.parametrize("directions", [scans.AXIAL, scans.SAGITTAL, (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)])
def test_dcm2niix_puts_the_same_voxels_in_the_same_places(tmp_path: Path, directions: tuple[float, ...]) -> None:
    way = 3 * np.cross(directions[:3], directions[3:])
    paths = scans.write_scan(tmp_path / "scan", scans.make_planes(7, step=way, directions=directions), seed=1)
    check_against_dcm2niix(only(paths), paths, tmp_path / "nifti")


def test_a_real_chest_is_the_volume_that_dcm2niix_and_gdcm_make_of_it(tmp_path: Path) -> None:
    [archive] = peers.find_shared_data("data", "ct").glob("*.tar.zst")
    plain = subprocess.run([peers.peer("zstd"), "-dc", str(archive)], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=plain, check=True)
    paths = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".xml"]
    stack = only(paths)
    assert [str(slice_.path) for slice_ in stack.slices] == in_gdcms_order(paths)
    check_against_dcm2niix(stack, paths, tmp_path / "nifti")
    assert volume.read_volume(stack).voxels.dtype == np.int16
