"""Scans made by code: a phantom whose density is a function of the place in the body, cut by slices of any geometry.

A volume is right when each of its voxels has the density of the place where its affine says that it lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, generate_uid

from firmware_app.imaging.scan_volumes import SliceStack
from tests import films

Numbers = np.ndarray[Any, Any]

ROWS, COLUMNS = 24, 20
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def density(places: Numbers) -> Numbers:
    """(..., 3) places in LPS, mm → whole Hounsfield units: an off-centre ball with a gradient that has no symmetry."""
    x, y, z = np.moveaxis(places, -1, 0)
    inside = (x - 3) ** 2 + (y + 2) ** 2 + (z - 4) ** 2 < 15**2
    return np.asarray(np.where(inside, np.rint(40 + 11 * x + 7 * y + 5 * z), np.rint(-700 + 2 * x - 3 * y + z)))


@dataclass(frozen=True)
class SlicePlane:
    """One slice: the place of its first pixel, its directions and the millimetres of a pixel (down, across)."""

    position: tuple[float, float, float]
    directions: tuple[float, ...] = AXIAL
    pixel_mm: tuple[float, float] = (1.5, 2.0)
    shape: tuple[int, int] = (ROWS, COLUMNS)

    def pixel_positions(self) -> Numbers:
        """(rows, columns, 3) places of its pixels."""
        down, across = np.mgrid[0 : self.shape[0], 0 : self.shape[1]]
        axes = np.asarray(self.directions).reshape(2, 3)
        return np.asarray(
            np.asarray(self.position)
            + across[..., np.newaxis] * self.pixel_mm[1] * axes[0]
            + down[..., np.newaxis] * self.pixel_mm[0] * axes[1]
        )


def make_planes(count: int = 8, step: Sequence[float] | Numbers = (0.0, 0.0, 3.0), **options: Any) -> list[SlicePlane]:
    """*count* slices, *step* apart."""
    first = SlicePlane((-18.0, -17.0, -9.0), **options)
    places = np.asarray(first.position) + np.arange(count)[:, np.newaxis] * np.asarray(step)
    return [replace(first, position=(float(x), float(y), float(z))) for x, y, z in places]


def tilt_directions(degrees: float) -> tuple[float, ...]:
    """The directions of axial slices under a gantry tilted by so much about the x axis."""
    angle = math.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle))


def affine(stack: SliceStack) -> Numbers:
    """(4, 4): (column, row, slice, 1) → (x, y, z, 1) of the voxel's centre in LPS, mm (PS3.3 equation C.7.6.2.1-1)."""
    first, matrix = stack.slices[0], np.eye(4)
    matrix[:3, 0] = np.asarray(first.across) * first.pixel_mm[1]
    matrix[:3, 1] = np.asarray(first.down) * first.pixel_mm[0]
    matrix[:3, 2], matrix[:3, 3] = stack.step, first.position
    return matrix


def compute_spacing_mm(stack: SliceStack) -> float:
    """The distance between planes, along their normal."""
    return abs(float(np.dot(stack.step, stack.slices[0].normal)))


def make_slice(cut: SlicePlane, slope: Any = 1.0, intercept: Any = -1024.0, **attributes: Any) -> FileDataset:
    """The CT slice that *cut* is, of unsigned words."""
    words = np.rint((density(cut.pixel_positions()) - intercept) / slope).astype(np.uint16)
    return films.film(
        words,
        **{
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": generate_uid(),
            "StudyInstanceUID": "2.25.12",
            "SeriesInstanceUID": "2.25.11",
            "FrameOfReferenceUID": "2.25.13",
            "Modality": "CT",
            "ViewPosition": None,
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ImagePositionPatient": [f"{value:.6f}" for value in cut.position],
            "ImageOrientationPatient": [f"{value:.6f}" for value in cut.directions],
            "PixelSpacing": list(cut.pixel_mm),
            "SliceThickness": 3,
            "RescaleSlope": slope,
            "RescaleIntercept": intercept,
            **attributes,
        },
    )


def write_datasets(folder: Path, made: Iterable[FileDataset]) -> list[Path]:
    """Each dataset as a file; names follow the order in which they are given."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, dataset in enumerate(made):
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(films.save(folder, f"{number:03}.dcm", dataset))
    return paths


def write_scan(folder: Path, chosen: Sequence[SlicePlane], seed: int = 0, **attributes: Any) -> list[Path]:
    """*chosen* as files, shuffled, under instance numbers that say nothing of their order."""
    chance = np.random.default_rng(seed)
    numbers = chance.permutation(len(chosen))
    made = [
        make_slice(cut, InstanceNumber=int(number), **attributes) for cut, number in zip(chosen, numbers, strict=True)
    ]
    return write_datasets(folder, [made[index] for index in chance.permutation(len(made))])


def make_enhanced_ct(chosen: Sequence[SlicePlane], **attributes: Any) -> FileDataset:
    """One enhanced CT with a frame for each of *chosen*, each with a rescale of its own."""
    words, groups = [], []
    for number, cut in enumerate(chosen):
        slope, intercept = (1.0, -1024.0 - number)
        words.append(np.rint((density(cut.pixel_positions()) - intercept) / slope).astype(np.uint16))
        group = Dataset()
        group.PlanePositionSequence = [_item(ImagePositionPatient=list(cut.position))]
        group.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(cut.directions))]
        group.PixelValueTransformationSequence = [
            _item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")
        ]
        groups.append(group)
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=list(chosen[0].pixel_mm), SliceThickness=3)]
    return films.film(
        np.concatenate(words),
        **{
            "SOPClassUID": EnhancedCTImageStorage,
            "Modality": "CT",
            "Rows": chosen[0].shape[0],
            "NumberOfFrames": len(chosen),
            "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
            "PerFrameFunctionalGroupsSequence": groups,
            "SharedFunctionalGroupsSequence": [shared],
            **attributes,
        },
    )


def _item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made
