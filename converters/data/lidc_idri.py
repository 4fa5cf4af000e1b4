"""Chest CT with lung nodules that several readers outlined, in the form of LIDC-IDRI (Armato et al. 2011).

A series is a folder of DICOM objects with one XML file of the readers beside them, at any depth below the data folder.
What the readers call a nodule of 3 mm or more has outlines; smaller ones have a single point and are no lesion here.
A voxel is one of a lesion where at least half of the readers, and no fewer than two where there are two, outlined it.
The points of an outline lie just outside the nodule, as its authors say, so they do not belong to it.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import dcmread

from converters.failures import DataUnreadable
from firmware_app.core.errors import ImagingError
from firmware_app.imaging import scan_volumes, slices

SPACE = "{http://www.nih.gov}"
ROOT = f"{SPACE}LidcReadMessage"
FEWEST_POINTS = 3

Outline = list[tuple[int, int]]


def folders(path: Path) -> list[Path]:
    """The series below ``path`` (or ``path`` itself): every folder with one XML of readers and DICOM objects."""
    return sorted({file.parent for file in path.rglob("*.xml") if any(file.parent.glob("*.dcm"))})


def readers_of(folder: Path) -> Path:
    """The one XML file of a series. Raises :class:`DataUnreadable` when there are several, or none."""
    files = sorted(folder.glob("*.xml"))
    if len(files) != 1:
        raise DataUnreadable(str(folder), f"it has {len(files)} XML files, one of the readers is wanted")
    return files[0]


def read(folder: Path) -> NDArray[np.float32]:
    """(D, H, W) Hounsfield units, as the box stacks a series. Raises :class:`DataUnreadable`."""
    try:
        return np.asarray(scan_volumes.read_hounsfield_volume(_stack(folder)).voxels, dtype=np.float32)
    except ImagingError as error:
        raise DataUnreadable(str(folder), str(error)) from error


def mask(table: Path) -> NDArray[np.bool_]:
    """(D, H, W): the lesions of a series by its readers' XML, in the order of :func:`read`."""
    stack = _stack(table.parent)
    first = stack.slices[0]
    place = {
        str(dcmread(one.path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID): index
        for index, one in enumerate(stack.slices)
    }
    readers = list(sessions(table))
    votes = np.zeros((len(stack.slices), first.rows, first.columns), dtype=np.uint8)
    for outlines in readers:
        own = np.zeros(votes.shape, dtype=np.bool_)
        for uid, inside, outline in outlines:
            if uid not in place:
                raise DataUnreadable(str(table), "it outlines a slice that is not in the series")
            drawn = fill(outline, own.shape[1:])
            own[place[uid]] = own[place[uid]] | drawn if inside else own[place[uid]] & ~drawn
        votes += own
    return votes >= max(1, min(2, len(readers)), (len(readers) + 1) // 2)


def sessions(table: Path) -> Iterator[list[tuple[str, bool, Outline]]]:
    """The outlines of each reader: (SOP Instance UID, included or excluded, points). Raises :class:`DataUnreadable`."""
    try:
        root = ElementTree.parse(table).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise DataUnreadable(str(table), f"it is cut off or no XML ({error})") from error
    if root.tag != ROOT:
        raise DataUnreadable(str(table), "it is not the readers' XML of a CT series")
    for session in root.iter(f"{SPACE}readingSession"):
        readings = []
        for element in session.iter(f"{SPACE}roi"):
            points = [
                (_number(table, edge, "xCoord"), _number(table, edge, "yCoord"))
                for edge in element.iter(f"{SPACE}edgeMap")
            ]
            if len(points) >= FEWEST_POINTS:
                adds = _text(element, "inclusion").upper() != "FALSE"
                readings.append((_text(element, "imageSOP_UID"), adds, points))
        # What cuts out comes last, whatever the order of the file.
        yield sorted(readings, key=lambda reading: not reading[1])


def fill(outline: Outline, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W): the inside of an outline without its own points."""
    picture = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(picture).polygon(outline, fill=1, outline=0)
    return np.asarray(picture, dtype=np.bool_)


def _stack(folder: Path) -> scan_volumes.SliceStack:
    slices_of_all = [slice_ for path in sorted(folder.glob("*.dcm")) for slice_ in slices.read_slices(path)]
    stacks = scan_volumes.arrange_slices(slices_of_all, scan_volumes.have_same_pixels).stacks
    if not stacks:
        raise DataUnreadable(str(folder), "its slices make no volume")
    return stacks[0]


def _text(one: ElementTree.Element, name: str) -> str:
    return (one.findtext(f"{SPACE}{name}") or "").strip()


def _number(table: Path, edge: ElementTree.Element, name: str) -> int:
    try:
        return int(_text(edge, name))
    except ValueError as error:
        raise DataUnreadable(str(table), f"a point has no whole number as {name}") from error
