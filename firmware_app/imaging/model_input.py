"""From a frame of greys to the tensor a model reads: the one preprocessing, used in training and on the box.

Promise: the same frame and the same :class:`InputSpec` give the same tensor in a converter and in a clinic. The whole
film is squashed to the model's size (no crop, no padding), so a place on the activation map scales linearly back to
the film. Grey values are stretched between two percentiles *of the resized film*, so exposure, bit depth and rescale
slope of the modality do not matter, and burned-in letters or dead pixels do not set the scale.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.input_spec import InputSpec as InputSpec

REDUCE_ABOVE = 4
"""A film more than this many times larger than the model input is first averaged in whole blocks (quicker)."""


def to_model_input(frame: NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
    """Turn one frame into one model input.

    ``frame``: (H, W) float32, display polarity (bright is dense, as MONOCHROME2), any range, finite.
    Returns (1, 1, spec.height, spec.width) float32 in [0, 1]; a flat frame gives zeros.
    Raises :class:`ValueError` when the frame is not two-dimensional, is empty or holds NaN or infinity.
    """
    if frame.ndim != 2 or frame.size == 0:
        raise ValueError(f"a frame of shape {frame.shape} is not a (H, W) image")
    film = squash(frame, spec.height, spec.width)
    if not bool(np.isfinite(film).all()):
        raise ValueError("the frame holds values that are not finite")
    low, high = np.percentile(film, (spec.low_percentile, spec.high_percentile))
    return stretch(film, float(low), float(high))[np.newaxis, np.newaxis]


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
