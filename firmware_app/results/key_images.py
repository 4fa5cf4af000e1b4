"""The key images of a case, the most telling first, each with its heat map and its lesions.

An image is a rendered frame as the viewer first shows it, with the heat map laid over it in colour or the outlines of
the lesions drawn in. `lantern read --out`, the printed report and the DICOM objects use these images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from firmware_app.core.records import Case, Lesion, Reading, ReadingStatus

_STRONGEST: Final = 0.55
# Yellow to red over black: weak evidence is faint, strong evidence is red, and the film shows through.
_COLOURS: Final = np.array([[255, 221, 0], [255, 0, 0]], dtype=np.float32)

_BOX_COLOUR: Final = (255, 216, 77)  # as in `web/static`
_LAYER_COLOUR: Final = np.array([120, 220, 255], dtype=np.uint8)  # as in `web/static/film.js`


def apply_window(greys: NDArray[np.uint16], window: dict[str, Any] | None) -> NDArray[np.uint8]:
    """(H, W) uint16 display greys, bright as shown, → uint8 under the default *window* (PS3.3 C.11.2.1).

    Without a window the whole range of the film is shown.
    """
    values = greys.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if window is not None and window["width"] > 0:
        low, high = window["centre"] - window["width"] / 2, window["centre"] + window["width"] / 2
    scaled = (values - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0.0, 1.0) * 255.0, dtype=np.uint8)


def load_marked_frame(folder: Path, frame: int = 0, lesions: Sequence[Lesion] = ()) -> NDArray[np.uint8]:
    """The rendered *frame* as the viewer first shows it: windowed, with the file's graphic layers and the lesions."""
    film = load_frame(folder, frame)
    for path in sorted(folder.glob(f"frame-{frame:03d}-layer-*.png")):
        colour = film if film.ndim == 3 else np.repeat(film[:, :, None], 3, axis=2)
        film = np.where(load_heat_map(path)[:, :, None] > 0, _LAYER_COLOUR, colour)
    if not lesions:
        return film
    picture, facts = Image.fromarray(film).convert("RGB"), _load_facts(folder, frame)
    across, down = picture.width / facts["columns"], picture.height / facts["rows"]
    drawing = ImageDraw.Draw(picture)
    width = max(1, max(picture.size) // 400)
    for lesion in lesions:
        x0, y0, x1, y1 = lesion.box
        if lesion.outline:
            corners = [(x * across, y * down) for x, y in (*lesion.outline, lesion.outline[0])]
            drawing.line(corners, fill=_BOX_COLOUR, width=width, joint="curve")
        else:
            drawing.rectangle((x0 * across, y0 * down, x1 * across, y1 * down), outline=_BOX_COLOUR, width=width)
    return np.asarray(picture)


def blend_heat_map(film: NDArray[np.uint8], heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) film and (h, w) heat map of the same aspect → (H, W, 3) RGB."""
    colour = film if film.ndim == 3 else np.repeat(film[:, :, None], 3, axis=2)
    size = (film.shape[1], film.shape[0])
    stretched = Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR)
    strength = np.asarray(stretched, dtype=np.float32)[:, :, None] / np.float32(255.0)
    tint = _COLOURS[0] * (1.0 - strength) + _COLOURS[1] * strength
    share = strength * _STRONGEST
    return np.asarray(np.rint(colour * (1.0 - share) + tint * share), dtype=np.uint8)


def load_heat_map(path: Path) -> NDArray[np.uint8]:
    """The heat map in the PNG at *path*: (h, w) uint8."""
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)


def load_frame(folder: Path, frame: int = 0) -> NDArray[np.uint8]:
    """The rendered *frame* in a display folder as 8-bit grey or RGB."""
    facts = _load_facts(folder, frame)
    with Image.open(folder / f"frame-{frame:03d}.png", formats=("PNG",)) as image:
        pixels = np.asarray(image)
    if facts["colour"]:
        return pixels.astype(np.uint8)
    return apply_window(pixels.astype(np.uint16), facts["window"])


def _load_facts(folder: Path, frame: int) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / f"frame-{frame:03d}.json").read_text("utf-8"))
    return facts


MOST_KEY_IMAGES: Final = 12
"""Of one case: a CT may have lesions in hundreds of slices, which only the segmentation holds whole."""


@dataclass(frozen=True, slots=True)
class KeyImage:
    """One rendered frame with what is marked in it.  `heat` is the code of a positive finding that has a heat map."""

    instance: str
    frame: int
    lesions: tuple[Lesion, ...]
    heat: str | None
    strength: float
    reading: Reading

    @property
    def is_marked(self) -> bool:
        return bool(self.lesions) or self.heat is not None


def select_key_images(case: Case, display: Callable[[str], Path], most: int = MOST_KEY_IMAGES) -> list[KeyImage]:
    """At most *most* pictures of *case*, marked ones first; *display* gives the folder of an instance's frames.

    Only frames that the reader has rendered count.  A case in which nothing is marked has one picture.
    """
    found = [key_image for reading in case.readings for key_image in _list_of_reading(reading, display)]
    found.sort(key=lambda one: (not one.is_marked, -one.strength))
    unique = {(key_image.instance, key_image.frame): key_image for key_image in reversed(found)}
    ordered = [key_image for key_image in found if unique.get((key_image.instance, key_image.frame)) is key_image]
    marked = [key_image for key_image in ordered if key_image.is_marked]
    return (marked or ordered[:1])[:most]


def render_plain(one: KeyImage, display: Path) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3): the frame as the viewer first shows it."""
    return load_frame(display, one.frame)


def render_marked(one: KeyImage, display: Path) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3): the frame with its lesions' outlines, else with its heat map, else as it is."""
    if one.lesions:
        return load_marked_frame(display, one.frame, one.lesions)
    if one.heat is not None:
        return blend_heat_map(load_frame(display, one.frame), load_heat_map(display / f"{one.heat}.png"))
    return load_frame(display, one.frame)


def read_facts(display: Path, frame: int) -> dict[str, Any]:
    """What is known of the rendered *frame*; empty where it was not rendered."""
    try:
        said = json.loads((display / f"frame-{frame:03d}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _list_of_reading(reading: Reading, display: Callable[[str], Path]) -> list[KeyImage]:
    by_frame: dict[tuple[str, int], list[Lesion]] = {}
    for lesion in reading.lesions:
        by_frame.setdefault((lesion.instance, lesion.frame), []).append(lesion)
    made = [
        KeyImage(
            instance=instance,
            frame=frame,
            lesions=tuple(lesions),
            heat=None,
            strength=1.0 + max(one.score for one in lesions),
            reading=reading,
        )
        for (instance, frame), lesions in by_frame.items()
        if read_facts(display(instance), frame)
    ]
    if made:
        return made
    instance = reading.instances[len(reading.instances) // 2]
    strongest = max(reading.findings, key=lambda one: (one.positive, one.probability), default=None)
    frame = _find_frame(reading, strongest.code if strongest else "", display(instance))
    if frame is None:
        return []
    has_heat = strongest is not None and strongest.positive and (display(instance) / f"{strongest.code}.png").is_file()
    heat = strongest.code if has_heat and strongest is not None else None
    judged = reading.status is ReadingStatus.READ
    strength = strongest.probability if strongest is not None else 0.5 if judged else 0.0
    return [KeyImage(instance=instance, frame=frame, lesions=(), heat=heat, strength=strength, reading=reading)]


def _find_frame(reading: Reading, code: str, display: Path) -> int | None:
    first = read_facts(display, 0)
    if not first:
        return None
    shown = [int(one) for one in first.get("full") or first.get("shown") or range(int(first.get("frames_shown", 1)))]
    strongest = reading.frames.strongest.get(code) if reading.frames is not None else None
    wanted = strongest if strongest in shown else shown[len(shown) // 2]
    return wanted if wanted is not None and read_facts(display, wanted) else 0
