"""Detects text in a picture, without reading it: RapidOCR's network (extra `ocr`) on the box's own runtime.

Only the model file of the package is used.  Its output is a probability map (Liao et al., Real-time Scene Text
Detection with Differentiable Binarization, 2020); this module joins the cells of the map to boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.pixel_operations import Mask, label_components

Box = tuple[int, int, int, int]

SHORTER_SIDE_PX: Final = 736
"""A smaller picture is enlarged to this size, as in the network's training; then it finds letters ten pixels high."""
LONGER_SIDE_PX: Final = 1600
"""A film is reduced to this size: a name on it is a centimetre high, and the time grows with the area."""
_STEP_PX: Final = 32
_LIKELY: Final = 0.3  # probability from which a cell counts as text
_SURE: Final = 0.5  # least mean probability of a box; both as in RapidOCR
_LEAST_PX: Final = 3
_CELL_PX: Final = 4  # cells are joined over this distance


class TextSession(Protocol):
    """Runs the network: `firmware_app.packs.runtimes.interface.Session`."""

    def infer(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]: ...


def text_model_file() -> Path | None:
    """The detector's file; None where the extra `ocr` is not installed."""
    spec = find_spec("rapidocr")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return next((file for place in places for file in sorted(Path(place, "models").glob("*_det_*.onnx"))), None)


@dataclass(frozen=True, slots=True)
class TextDetector:
    """The loaded network."""

    session: TextSession

    def boxes(self, picture: NDArray[np.uint8]) -> list[Box]:
        """The boxes of text in *picture*, (H, W, 3) of 0 to 255: x0, y0, x1, y1, where x1 and y1 are exclusive."""
        rows, columns = picture.shape[:2]
        image = Image.fromarray(picture).resize(_input_size(columns, rows), Image.Resampling.BILINEAR)
        tensor = np.asarray(image, dtype=np.float32)[np.newaxis, :, :, ::-1].transpose(0, 3, 1, 2) / 127.5 - 1.0
        (likely,) = self.session.infer({"x": np.ascontiguousarray(tensor, np.float32)}).values()
        across, down = columns / image.width, rows / image.height
        return [
            (int(x0 * across), int(y0 * down), int(np.ceil(x1 * across)), int(np.ceil(y1 * down)))
            for x0, y0, x1, y1 in join_cells(likely[0, 0])
        ]


def _input_size(width: int, height: int) -> tuple[int, int]:
    """The size of the network's input: a multiple of 32 pixels, within the limits above."""
    scale = max(1.0, SHORTER_SIDE_PX / min(width, height))
    scale = min(scale, LONGER_SIDE_PX / max(width, height))
    return _round_to_step(width * scale), _round_to_step(height * scale)


def _round_to_step(side: float) -> int:
    return max(_STEP_PX, round(side / _STEP_PX) * _STEP_PX)


def join_cells(likely: NDArray[np.float32]) -> list[Box]:
    """The boxes around the connected cells of a probability map (H, W) that are surely text."""
    mask = likely > _LIKELY
    boxes: list[Box] = []
    for x0, y0, x1, y1 in _piece_boxes(mask):
        part = likely[y0:y1, x0:x1]
        inside = part[part > _LIKELY]
        if min(x1 - x0, y1 - y0) > _LEAST_PX and float(inside.mean()) >= _SURE:
            boxes.append((x0, y0, x1, y1))
    return boxes


def _piece_boxes(mask: Mask) -> list[Box]:
    """The bounding boxes of the connected pieces of *mask*, in cells."""
    rows, columns = (side // _CELL_PX for side in mask.shape)
    blocks = mask[: rows * _CELL_PX, : columns * _CELL_PX].reshape(rows, _CELL_PX, columns, _CELL_PX)
    cells: Mask = np.asarray(blocks.any(axis=(1, 3)))
    numbers, count = label_components(cells)
    boxes: list[Box] = []
    for number in range(1, count + 1):
        ys, xs = np.nonzero(numbers == number)
        x0, y0, x1, y1 = (int(side) * _CELL_PX for side in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        boxes.append((x0, y0, x1, y1))
    return boxes
