"""An activation map as a small grey picture with the film's aspect, for a viewer to lay over the film."""

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

    The model saw the whole film resized to its input, so the map is stretched back over the whole film.  With *box*
    (x0, y0, x1, y1 in pixels of the film) it saw only that part: the map covers the box and is 0 around it.
    A letterbox reaches beyond the film; what the map holds for its bars is not drawn.
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
