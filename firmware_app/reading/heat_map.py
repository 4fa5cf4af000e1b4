"""An activation map as a small grey picture of the film's own shape, for a viewer to lay over it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging import display

LONGEST_SIDE_PX: Final = 256


Box = tuple[int, int, int, int]


def picture(strengths: NDArray[np.float32], rows: int, columns: int, box: Box | None = None) -> NDArray[np.uint8]:
    """(h, w) in [0, 1] → (H, W) uint8 with the aspect of a *rows* × *columns* film, its longest side 256 pixels.

    The film was squashed as a whole to the model's size, so the map stretches linearly back over the whole film; or its
    *box* was (x0, y0, x1, y1 in pixels of the film), then over that, and around it is no evidence.  A letterbox reaches
    beyond the film: what the map says of its bars is not drawn.
    """
    scale = LONGEST_SIDE_PX / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    x0, y0, x1, y1 = (round(side * scale) for side in box) if box is not None else (0, 0, *size)
    inner = (max(1, x1 - x0), max(1, y1 - y0))
    image = Image.fromarray(strengths.astype(np.float32)).resize(inner, Image.Resampling.BILINEAR)
    if inner != size:
        whole = Image.new("F", size)
        whole.paste(image, (x0, y0))
        image = whole
    return np.asarray(np.rint(np.clip(np.asarray(image), 0.0, 1.0) * 255.0), dtype=np.uint8)


def write(strengths: NDArray[np.float32], rows: int, columns: int, path: Path, box: Box | None = None) -> None:
    """Save `picture` as an 8-bit PNG, whole or not at all."""
    display.save(Image.fromarray(picture(strengths, rows, columns, box)), path)
