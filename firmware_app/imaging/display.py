"""Frames for display: one 16-bit greyscale PNG (or one colour PNG) per frame, and a JSON file with its window.

Greys are stored after the modality transform and polarity, stretched by an integer factor, so nothing is lost.  Pixels
that are not square are stretched until they are; places in the JSON are in pixels of the frame.
"""

from __future__ import annotations

import io
import json
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging import picture_encoding
from firmware_app.imaging.pixel_size import SQUARE, UNKNOWN, Spacing, square_pixel_size

if TYPE_CHECKING:  # the inference child draws heat maps without pydicom
    from firmware_app.imaging.overlays import OverlayLayer
    from firmware_app.imaging.ultrasound_regions import Region

LONGEST_SIDE_PX: Final = 2048
MOST_FRAMES: Final = 64
THUMBNAIL: Final = "thumb.jpg"
_TOP: Final = 65535
_ROWS_AT_A_TIME: Final = 32  # a whole film of 32 megapixels as floats would not fit into the decode child


@dataclass(frozen=True, slots=True)
class WindowChoice:
    """A window in greys that a person may choose, by the machine's own *name* for it (often empty)."""

    centre: float
    width: float
    function: str
    name: str


@dataclass(frozen=True, slots=True)
class DisplayFrame:
    """One frame for display.

    `pixels` is (H, W) uint16 with polarity applied, or (H, W, 3) uint8.  A grey *g* stands for the modality value
    ``g * slope + intercept``.  `centre` and `width` are the default window in greys (None: the full range); `windows`
    are all windows that the machine offers, the default among them.  `layers` are overlays, kept apart from the pixels.
    `regions` are the calibrated regions of an ultrasound picture; `rate_hz` is a clip's frame rate.
    """

    pixels: NDArray[np.uint16] | NDArray[np.uint8]
    slope: float = 1.0
    intercept: float = 0.0
    centre: float | None = None
    width: float | None = None
    function: str = "LINEAR"
    inverted: bool = False
    windows: tuple[WindowChoice, ...] = ()
    layers: tuple[OverlayLayer, ...] = ()
    spacing: Spacing = field(default_factory=lambda: Spacing(UNKNOWN))
    regions: tuple[Region, ...] = ()
    rate_hz: float | None = None
    aspect: float = SQUARE
    """The height of a pixel over its width."""
    at_mm: float | None = None
    """Of a slice: how far along its normal it lies."""
    unit: str = ""
    """``HU`` where the modality values are Hounsfield units."""


def to_greys(
    values: NDArray[np.float32], step: float, inverted: bool, limits: tuple[float, float] | None = None
) -> tuple[NDArray[np.uint16], float, float]:
    """Modality *values* (H, W), which differ by multiples of *step*, as uint16 greys with their slope and intercept.

    Lossless while the range holds at most 65536 steps.  *limits* fixes the range, so that a clip does not flicker.
    """
    low, high = limits or (float(values.min()), float(values.max()))
    span = high - low
    if not span > 0:
        return np.zeros(values.shape, np.uint16), 1.0, low
    if not 0 < step <= span:
        step = span / _TOP
    steps = round(span / step)
    factor = _TOP // steps / step if steps <= _TOP else _TOP / span
    origin = high if inverted else low
    signed = -factor if inverted else factor
    shown = np.empty(values.shape, np.uint16)
    for first in range(0, len(values), _ROWS_AT_A_TIME):
        rows = slice(first, first + _ROWS_AT_A_TIME)
        shown[rows] = np.clip(np.rint((values[rows] - np.float32(origin)) * np.float32(signed)), 0, _TOP)
    return shown, 1.0 / signed, origin


def select_display_frames(frames: int, read: Sequence[int] = ()) -> tuple[int, ...]:
    """The frames of a clip that are shown: all up to `MOST_FRAMES`, else the *read* ones and others evenly spread."""
    if frames <= MOST_FRAMES:
        return tuple(range(frames))
    wanted = sorted({0, *read})[:MOST_FRAMES]
    others = [at * (frames - 1) // (MOST_FRAMES - 1) for at in range(MOST_FRAMES)]
    spare = [frame for frame in others if frame not in wanted]
    room = MOST_FRAMES - len(wanted)
    return tuple(sorted({*wanted, *(spare[at * len(spare) // room] for at in range(room))}))


def write_frame(shown: DisplayFrame, folder: Path, index: int, frames: int, among: Sequence[int] | None = None) -> None:
    """Write ``frame-NNN.png``, its layers and ``frame-NNN.json`` into *folder*, each whole or not at all.

    Beside a heavy frame of a single image stands ``frame-NNN-screen.jpg``, and beside the first frame ``thumb.jpg``
    (`picture_encoding`). The frames in between of a long clip come afterwards and are light (`write_light_frame`). A
    layer is ``frame-NNN-layer-L.png``, white where it is set. The JSON names the other files and is written last.
    *among* are the frames that are shown, if these are not all.
    """
    image = reduce_pixels(shown.pixels, aspect=shown.aspect)
    name = f"frame-{index:03d}"
    if image.mode == "I;16":
        encoded = picture_encoding.encode_grey16(np.asarray(image))
        _write_whole(encoded, folder / f"{name}.png")
        size = len(encoded)
    else:
        size = save_png(image, folder / f"{name}.png")
    screen = _write_screen_picture(
        shown, image, folder, name, heavy=frames == 1 and size > picture_encoding.MOST_BYTES, first=index == 0
    )
    layers = []
    for number, layer in enumerate(shown.layers):
        # A drawn line is thinner than a pixel of a reduced frame: any of it counts.
        mask = Image.fromarray(layer.mask.astype(np.uint8) * 255).resize(image.size, Image.Resampling.BOX)
        save_png(mask.point(lambda grey: 255 if grey else 0), folder / f"{name}-layer-{number}.png")
        layers.append({"layer": number, "group": f"{layer.group:04X}", "kind": layer.kind})
    facts: dict[str, Any] = {
        **_frame_facts(shown, index, frames),
        "frames_shown": min(frames, MOST_FRAMES) if among is None else len(among),
        **({"shown": list(among)} if among is not None and len(among) < frames else {}),
        "shown_rows": image.height,
        "shown_columns": image.width,
        "layers": layers,
        **({"screen": screen} if screen else {}),
    }
    _write_whole(json.dumps(facts).encode(), folder / f"{name}.json")


def write_light_frame(shown: DisplayFrame, folder: Path, index: int, frames: int) -> None:
    """Write a frame in between of a long clip: ``frame-NNN-screen.jpg`` and ``frame-NNN.json``, and no PNG."""
    name, image, said = f"frame-{index:03d}", reduce_pixels(shown.pixels, aspect=shown.aspect), {}
    if image.mode == "I;16":
        window = None if shown.centre is None or shown.width is None else (shown.centre, shown.width)
        image, said["centre"], said["width"] = picture_encoding.to_eight_bits(np.asarray(image), window)
    data, size = picture_encoding.encode_screen_picture(image)
    folder.mkdir(parents=True, exist_ok=True)
    _write_whole(data, folder / f"{name}-screen.jpg")
    facts = {
        **_frame_facts(shown, index, frames),
        "shown_rows": size["rows"],
        "shown_columns": size["columns"],
        "layers": [],
        "screen": {**said, **size},
    }
    _write_whole(json.dumps(facts).encode(), folder / f"{name}.json")


def is_frame_written(folder: Path, index: int) -> bool:
    """Whether frame *index* was written for people, whole or as a light picture."""
    return (folder / f"frame-{index:03d}.json").exists()


def mark_complete(folder: Path) -> None:
    """Say of a clip whose frames were all written that all are shown, and which of them are of full depth (`full`).

    Raises `OSError` and `ValueError` where it was not written.
    """
    path = folder / "frame-000.json"
    facts = json.loads(path.read_text("utf-8"))
    full = facts.pop("shown", None)
    if full is not None:
        _write_whole(json.dumps({**facts, "frames_shown": facts["frames"], "full": full}).encode(), path)


def _frame_facts(shown: DisplayFrame, index: int, frames: int) -> dict[str, Any]:
    """What the JSON of a frame says of it, however it was written."""
    rows, columns = shown.pixels.shape[:2]
    return {
        "frame": index,
        "frames": frames,
        "rows": rows,
        "columns": columns,
        "colour": shown.pixels.ndim == 3,
        "inverted": shown.inverted,
        "slope": shown.slope,
        "intercept": shown.intercept,
        "window": None
        if shown.centre is None
        else {"centre": shown.centre, "width": shown.width, "function": shown.function},
        "windows": [asdict(choice) for choice in shown.windows],
        "spacing": asdict(shown.spacing),
        "regions": [asdict(region) for region in shown.regions],
        "rate_hz": shown.rate_hz,
        "aspect": shown.aspect,
        "at_mm": shown.at_mm,
        "unit": shown.unit,
    }


def _write_screen_picture(
    shown: DisplayFrame, image: Image.Image, folder: Path, name: str, *, heavy: bool, first: bool
) -> dict[str, Any]:
    """Write what a doctor sees before the frame itself; what is known of it, empty where the frame is light."""
    if not (heavy or first):
        return {}
    said: dict[str, Any] = {}
    if image.mode == "I;16":
        window = None if shown.centre is None or shown.width is None else (shown.centre, shown.width)
        image, said["centre"], said["width"] = picture_encoding.to_eight_bits(np.asarray(image), window)
    if first:
        _write_whole(picture_encoding.encode_thumbnail(image), folder / THUMBNAIL)
    if not heavy:
        return {}
    data, size = picture_encoding.encode_screen_picture(image)
    _write_whole(data, folder / f"{name}-screen.jpg")
    return {**said, **size}


def reduce_pixels(
    pixels: NDArray[np.uint16] | NDArray[np.uint8], longest: int = LONGEST_SIDE_PX, aspect: float = SQUARE
) -> Image.Image:
    """*pixels*, (H, W) or (H, W, 3), as an image with a longer side of at most *longest* pixels, all of them square.

    Pixels whose height over width is *aspect* are stretched along their longer side.
    """
    rows, columns = pixels.shape[:2]
    down, across = square_pixel_size(aspect)
    scale = min(1.0, longest / max(rows * down, columns * across))
    width, height = max(1, round(columns * across * scale)), max(1, round(rows * down * scale))
    smaller = _shrink(pixels, min(width, columns), min(height, rows))
    return smaller if smaller.size == (width, height) else _stretch(smaller, width, height)


def _shrink(pixels: NDArray[np.uint16] | NDArray[np.uint8], width: int, height: int) -> Image.Image:
    rows, columns = pixels.shape[:2]
    if (width, height) == (columns, rows):
        return Image.fromarray(pixels)
    if pixels.dtype == np.uint8:
        return Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
    smaller = np.empty((height, width), np.uint16)
    for first in range(0, height, _ROWS_AT_A_TIME):
        last = min(first + _ROWS_AT_A_TIME, height)
        top, bottom = first * rows / height, last * rows / height
        strip = Image.fromarray(pixels[int(top) : math.ceil(bottom)].astype(np.float32))
        within = (0.0, top - int(top), float(columns), bottom - int(top))
        smaller[first:last] = np.rint(np.asarray(strip.resize((width, last - first), Image.Resampling.BOX, within)))
    return Image.fromarray(smaller)


def _stretch(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.mode != "I;16":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    greys = Image.fromarray(np.asarray(image).astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return Image.fromarray(np.rint(np.asarray(greys)).astype(np.uint16))


def save_png(image: Image.Image, path: Path) -> int:
    """Save a PNG at *path*, whole or not at all; with fast compression, because a doctor waits for the film.

    Returns how many bytes it has.
    """
    encoded = io.BytesIO()
    image.save(encoded, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    _write_whole(encoded.getvalue(), path)
    return encoded.tell()


def _write_whole(data: bytes, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)
