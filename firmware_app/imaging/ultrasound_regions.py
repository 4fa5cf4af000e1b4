"""The regions of an ultrasound picture with their scale, and a clip's frame rate (PS3.3 C.8.5.5).

Images are often cropped or reduced without a change to the regions, so if any of them is not inside the image, the
whole list is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydicom.dataset import Dataset

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import header_values
from firmware_app.imaging.dicom_source import HEADER_ERRORS, read_integer
from firmware_app.imaging.pixel_size import pixel_aspect

MOST_REGIONS: Final = 64
_BEYOND_PX: Final = 1  # many machines write the column after the last as the end
_CENTIMETRES: Final = 3  # Physical Units X Direction (C.8.5.5.1.15)
_COLOUR_FLOW: Final = 2  # Region Data Type (C.8.5.5.1.2): Doppler drawn over the tissue
_PLANE: Final = 1  # Region Spatial Format: 2D; not M-mode, spectrum, waveform or graphics
_HIGH_PRIORITY: Final = 1  # bit 0 of Region Flags: this region owns the pixels that it shares with another
_QUICKEST_HZ: Final = 2_000.0
_SLOWEST_HZ: Final = 0.01


@dataclass(frozen=True, slots=True)
class Region:
    """One region: the pixels x0 ≤ x < x1 and y0 ≤ y < y1, and millimetres per pixel where its axes are lengths."""

    x0: int
    y0: int
    x1: int
    y1: int
    plane: bool = True
    first: bool = False  # it owns the pixels that it shares with another region
    flow: bool = False  # it shows colour flow
    mm_x: float | None = None
    mm_y: float | None = None


def read_regions(header: Dataset, rows: int, columns: int) -> tuple[Region, ...]:
    """The regions of a *rows* × *columns* image; empty where there are none or they do not fit this image."""
    try:
        items = list(header.get("SequenceOfUltrasoundRegions") or ())[:MOST_REGIONS]
        regions = tuple(_region(item) for item in items)
    except (*HEADER_ERRORS, Undecodable):
        return ()
    if any(region is None or not _is_inside(region, rows, columns) for region in regions):
        return ()
    return tuple(_cut_to_image(region, rows, columns) for region in regions if region is not None)


def common_aspect(regions: Sequence[Region]) -> float | None:
    """A pixel's height over its width in the pictures of tissue; None where they do not say it or differ in it."""
    stated = [region.mm_y / region.mm_x for region in regions if region.plane and region.mm_x and region.mm_y]
    alike = bool(stated) and max(stated) <= min(stated) * 1.01
    return pixel_aspect((stated[0], 1.0)) if alike else None


def read_frame_rate(header: Dataset) -> float | None:
    """A clip's frame rate; None without a usable value.

    In this order, the recorded rates before the recommended one: the mean of Frame Time Vector (0018,1065), Frame Time
    (0018,1063), both in milliseconds; Cine Rate (0018,0040); Recommended Display Frame Rate (0008,2144).
    """
    times = [
        one for one in header_values.read_decimals(header, "FrameTimeVector").whole[1:] if one > 0
    ]  # the first is 0 (C.7.6.5.1.2)
    rates = [1e3 * len(times) / sum(times)] if times else []
    rates += [1e3 / time for time in header_values.read_decimals(header, "FrameTime").whole[:1] if time > 0]
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rates += header_values.read_decimals(header, keyword).whole[:1]
    return plausible_rate(rates)


def plausible_rate(stated: Sequence[float]) -> float | None:
    """The first of the rates *stated* that an ultrasound machine can have."""
    return next((rate for rate in stated if _SLOWEST_HZ <= rate <= _QUICKEST_HZ), None)


def _region(item: Dataset) -> Region | None:
    corners = [read_integer(item, f"RegionLocation{name}", -1) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    x0, y0, x1, y1 = corners
    if min(corners) < 0 or x1 <= x0 or y1 <= y0:
        return None
    flags = read_integer(item, "RegionFlags", 0)
    return Region(
        x0=x0,
        y0=y0,
        x1=x1 + 1,
        y1=y1 + 1,
        plane=read_integer(item, "RegionSpatialFormat", _PLANE) == _PLANE,
        first=bool(flags & _HIGH_PRIORITY),
        flow=read_integer(item, "RegionDataType", 0) == _COLOUR_FLOW,
        mm_x=_scale(item, "X"),
        mm_y=_scale(item, "Y"),
    )


def _scale(item: Dataset, axis: str) -> float | None:
    """Millimetres per pixel along *axis*; a delta may be negative where the axis runs the other way."""
    if read_integer(item, f"PhysicalUnits{axis}Direction", 0) != _CENTIMETRES:
        return None
    mm = 10.0 * abs(header_values.read_decimals(item, f"PhysicalDelta{axis}").single or 0.0)
    return mm if 0 < mm < math.inf else None


def _is_inside(region: Region, rows: int, columns: int) -> bool:
    return region.x1 - 1 < columns + _BEYOND_PX and region.y1 - 1 < rows + _BEYOND_PX


def _cut_to_image(region: Region, rows: int, columns: int) -> Region:
    return replace(region, x1=min(region.x1, columns), y1=min(region.y1, rows))
