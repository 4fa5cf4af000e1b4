"""From a frame of greys to the tensor that a model reads: the one preprocessing, used in training and on the box.

Promise: the same frame and the same :class:`InputSpec` give the same tensor in a converter and in a clinic. The whole
film (or by the spec, the box around an ultrasound sector, or the film without an even border) is resized to the model's
size without keeping the aspect and without padding. So a position in the activation map scales linearly back to the
frame. Grey values are stretched between two percentiles *of the resized film*. So exposure, bit depth and rescale slope
do not matter, and burned-in letters or dead pixels do not set the scale.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.input_spec import InputSpec as InputSpec
from firmware_app.imaging.quality import beside
from firmware_app.imaging.ultrasound import lee1980, sector

REDUCE_ABOVE = 4
"""A film larger than the model input by more than this factor is first averaged in whole blocks, which is faster."""


def to_model_input(
    frame: NDArray[np.float32],
    spec: InputSpec,
    found: sector.Sector | None = None,
    hidden: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Turn one frame into one model input.

    Where the spec crops to the ultrasound sector, ``found`` is used (of a clip: from several frames), or else the
    sector of this frame; a frame without a sector is taken whole.

    ``frame``: (H, W) float32, display polarity (bright is dense, as MONOCHROME2), any range, finite.
    ``hidden``: (H, W) bool, padding pixels, which do not count for the percentiles.

    Returns (1, 1, spec.height, spec.width) float32 in [0, 1]; a flat frame gives zeros. Where the spec has a depth the
    frame is a volume (D, H, W) and the result (1, 1, spec.depth, spec.height, spec.width).
    Raises :class:`ValueError` when the frame has another number of axes, is empty or holds NaN or infinity.
    """
    if frame.ndim != len(spec.shape) or frame.size == 0:
        wanted = "(H, W) image" if spec.depth is None else "(D, H, W) volume"
        raise ValueError(f"a frame of shape {frame.shape} is not a {wanted}")
    veil = None if hidden is None else hidden.astype(np.float32)
    if spec.crop == "sector" and (found := found or sector.of_still(frame)) is not None:
        frame = found.cut(frame)
        veil = None if veil is None else found.cut(veil)
    if spec.crop == "frame" and (box := beside.framed(frame, hidden)) is not None:
        frame = cut(frame, box)
        veil = None if veil is None else cut(veil, box)
    film = fitted(frame, spec.shape)
    if not bool(np.isfinite(film).all()):
        raise ValueError("the frame holds values that are not finite")
    if spec.despeckle == "lee":
        film = lee1980.filtered(film)
    low, high = np.percentile(_seen(film, veil, spec), (spec.low_percentile, spec.high_percentile))
    return stretch(film, float(low), float(high))[np.newaxis, np.newaxis]


def cut(frame: NDArray[np.float32], box: sector.Box) -> NDArray[np.float32]:
    """What lies in *box*, (x0, y0, x1, y1), of a (H, W) frame."""
    x0, y0, x1, y1 = box
    return frame[y0:y1, x0:x1]


def _seen(film: NDArray[np.float32], veil: NDArray[np.float32] | None, spec: InputSpec) -> NDArray[np.float32]:
    """The pixels of the resized *film* without a contribution of a hidden pixel (1 in *veil*); all if none remain."""
    if veil is None:
        return film
    seen = film[fitted(veil, spec.shape) <= 0]
    return seen if seen.size else film


def fitted(frame: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize (H, W) or (D, H, W) to ``shape`` (:func:`squash`): a volume slice by slice, then along its depth."""
    if len(shape) == 2:
        return squash(frame, *shape)
    depth, height, width = shape
    slices = np.stack([squash(one, height, width) for one in frame])
    return squash(slices.reshape(len(slices), height * width), depth, height * width).reshape(shape)


def squash(frame: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize (H, W) to (height, width) float32 without keeping the aspect ratio, antialiased (Pillow, bilinear)."""
    image = Image.fromarray(np.ascontiguousarray(frame, dtype=np.float32))
    factor = min(image.height // height, image.width // width) // REDUCE_ABOVE
    if factor > 1:
        image = image.reduce(factor)
    if image.size == (width, height):
        return np.array(image, dtype=np.float32)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def stretch(film: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Map greys so that ``low`` becomes 0 and ``high`` becomes 1, clipped; all zeros where they are the same."""
    span = high - low
    if not span > max(abs(low), abs(high)) * 1e-6:
        return np.zeros_like(film)
    return np.asarray(np.clip((film - np.float32(low)) / np.float32(span), 0.0, 1.0), dtype=np.float32)
