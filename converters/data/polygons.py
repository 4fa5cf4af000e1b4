"""Outlines as polygons: a JSON file a film, in the form of the annotated liver ultrasound images (Xu et al. 2022).

``{"liver": [[x, y], …], "mass": [[x, y], …], "outline": [[x, y], …]}`` in pixels of the film. The mass is the lesion;
a file without it says that the film shows none.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from converters.failures import DataUnreadable

SUFFIX = ".json"
LESION = "mass"
FEWEST_POINTS = 3


def mask(path: Path, shape: tuple[int, ...], part: str = LESION) -> NDArray[np.bool_]:
    """(H, W): what the polygon ``part`` covers of a film of this shape. Raises :class:`DataUnreadable`."""
    try:
        points = json.loads(path.read_text(encoding="utf-8")).get(part) or []
        corners = [(float(x), float(y)) for x, y in points]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataUnreadable(str(path), f"it holds no polygons ({error})") from error
    if not np.isfinite(corners).all() or 0 < len(corners) < FEWEST_POINTS:
        raise DataUnreadable(str(path), f"its {part} is no polygon: {len(corners)} points")
    drawn = Image.new("1", (shape[1], shape[0]))
    if corners:
        ImageDraw.Draw(drawn).polygon(corners, fill=1, outline=1)
    return np.asarray(drawn, dtype=np.bool_)
