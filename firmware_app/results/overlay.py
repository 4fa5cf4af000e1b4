"""A film with its heat map laid over it in colour, for `lantern read --out`, where there is no viewer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from firmware_app.core.records import Lesion

_STRONGEST: Final = 0.55
# Yellow to red over black: weak evidence is faint, strong evidence is red, and the film shows through.
_COLOURS: Final = np.array([[255, 221, 0], [255, 0, 0]], dtype=np.float32)

_BOX: Final = (255, 216, 77)  # as in `web/static`
_LAYER: Final = np.array([120, 220, 255], dtype=np.uint8)  # as in `web/static/film.js`


def windowed(greys: NDArray[np.uint16], window: dict[str, Any] | None) -> NDArray[np.uint8]:
    """(H, W) uint16 display greys, bright as shown, → uint8 under the default *window* (PS3.3 C.11.2.1).

    Without a window the whole range of the film is shown.
    """
    values = greys.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if window is not None and window["width"] > 0:
        low, high = window["centre"] - window["width"] / 2, window["centre"] + window["width"] / 2
    scaled = (values - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0.0, 1.0) * 255.0, dtype=np.uint8)


def marked_film_of(folder: Path, frame: int = 0, lesions: Sequence[Lesion] = ()) -> NDArray[np.uint8]:
    """The rendered *frame* as the viewer first shows it: windowed, with the file's graphic layers and the lesions."""
    film = film_of(folder, frame)
    for path in sorted(folder.glob(f"frame-{frame:03d}-layer-*.png")):
        colour = film if film.ndim == 3 else np.repeat(film[:, :, None], 3, axis=2)
        film = np.where(heat_of(path)[:, :, None] > 0, _LAYER, colour)
    if not lesions:
        return film
    picture, facts = Image.fromarray(film).convert("RGB"), _facts(folder, frame)
    across, down = picture.width / facts["columns"], picture.height / facts["rows"]
    drawing = ImageDraw.Draw(picture)
    width = max(1, max(picture.size) // 400)
    for lesion in lesions:
        x0, y0, x1, y1 = lesion.box
        if lesion.outline:
            corners = [(x * across, y * down) for x, y in (*lesion.outline, lesion.outline[0])]
            drawing.line(corners, fill=_BOX, width=width, joint="curve")
        else:
            drawing.rectangle((x0 * across, y0 * down, x1 * across, y1 * down), outline=_BOX, width=width)
    return np.asarray(picture)


def blend(film: NDArray[np.uint8], heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) film and (h, w) heat map of the same aspect → (H, W, 3) RGB."""
    colour = film if film.ndim == 3 else np.repeat(film[:, :, None], 3, axis=2)
    size = (film.shape[1], film.shape[0])
    stretched = Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR)
    strength = np.asarray(stretched, dtype=np.float32)[:, :, None] / np.float32(255.0)
    tint = _COLOURS[0] * (1.0 - strength) + _COLOURS[1] * strength
    share = strength * _STRONGEST
    return np.asarray(np.rint(colour * (1.0 - share) + tint * share), dtype=np.uint8)


def heat_of(path: Path) -> NDArray[np.uint8]:
    """The heat map in the PNG at *path*: (h, w) uint8."""
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)


def film_of(folder: Path, frame: int = 0) -> NDArray[np.uint8]:
    """The rendered *frame* in a display folder as 8-bit grey or RGB."""
    facts = _facts(folder, frame)
    with Image.open(folder / f"frame-{frame:03d}.png", formats=("PNG",)) as image:
        pixels = np.asarray(image)
    if facts["colour"]:
        return pixels.astype(np.uint8)
    return windowed(pixels.astype(np.uint16), facts["window"])


def _facts(folder: Path, frame: int) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / f"frame-{frame:03d}.json").read_text("utf-8"))
    return facts
