"""From a frame to the tensor that a model reads: the one preprocessing, used in training and on the box.

The whole film (or by the spec, the box around an ultrasound sector, or the film without an even border) is resized to
the model's size; `find_view` says which part of the frame the input covers.  Greys are stretched between two
percentiles of the resized film, or by the spec between black and white of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging import outside_anatomy, pixel_operations, ultrasound_sector
from firmware_app.imaging.grey_scale import luminance
from firmware_app.imaging.input_spec import InputSpec as InputSpec
from firmware_app.imaging.pixel_size import SQUARE

if TYPE_CHECKING:  # the inference child makes inputs of golden images without pydicom
    from firmware_app.imaging.image_file import ImageFile

REDUCE_ABOVE = 4
"""A film larger than the model input by more than this factor is first averaged in whole blocks, which is faster."""

EIGHT_BITS: Final = (0.0, 255.0)
"""Black and white of a picture of 8 bits."""


def to_model_input(
    frame: NDArray[np.float32],
    spec: InputSpec,
    area: ultrasound_sector.Sector | None = None,
    hidden: NDArray[np.bool_] | None = None,
    ends: tuple[float, float] = EIGHT_BITS,
    aspect: float = SQUARE,
) -> NDArray[np.float32]:
    """One frame as a model input: (1, channels, spec.height, spec.width) float32 in [0, 1]; a flat frame gives zeros.

    ``frame``: (H, W) float32, bright is dense, any range, finite; with three channels also (H, W, 3) RGB, with a depth
    a volume (D, H, W), whose input is (1, 1, spec.depth, spec.height, spec.width). ``area``: the sector to crop to,
    where the spec asks for it; by default that of this frame, or the whole frame. ``hidden``: (H, W) bool, padding
    pixels, which do not count for the percentiles. ``ends``: the values of black and white, for a spec with ``greys``
    "full". ``aspect``: the height of a pixel over its width.

    Raises :class:`ValueError` when the frame has another number of axes, is empty or holds NaN or infinity.
    """
    coloured = spec.channels == 3 and frame.ndim == 3 and frame.shape[2] == 3
    if (not coloured and frame.ndim != len(spec.shape)) or frame.size == 0:
        wanted = "(H, W) image" if spec.depth is None else "(D, H, W) volume"
        raise ValueError(f"a frame of shape {frame.shape} is not a {wanted}")
    box = find_crop(luminance(frame) if coloured else frame, spec, area, hidden)
    films = [
        lay_out(plane, spec, box, bars=False, aspect=aspect)
        for plane in (np.moveaxis(frame, 2, 0) if coloured else (frame,))
    ]
    if not all(bool(np.isfinite(film).all()) for film in films):
        raise ValueError("the frame holds values that are not finite")
    if spec.despeckle == "lee":
        films = [pixel_operations.lee_filter(film) for film in films]
    if spec.greys == "percentiles":
        grey = luminance(np.stack(films, axis=-1)) if coloured else films[0]
        veil = None if hidden is None else lay_out(hidden.astype(np.float32), spec, box, bars=False, aspect=aspect)
        low, high = np.percentile(_visible_pixels(grey, veil), (spec.low_percentile, spec.high_percentile))
        ends = float(low), float(high)
    stretched = np.stack([_add_bars(stretch(film, *ends), spec) for film in films])
    return (np.repeat(stretched, spec.channels, axis=0) if not coloured else stretched)[np.newaxis]


def read_model_frame(
    film: ImageFile, index: int, spec: InputSpec, grey: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Frame *index* of a film as :func:`to_model_input` takes it for this spec, and its ``ends``.

    RGB where the model has three channels and the frame has colours. *grey* is ``film.grey(index)``, if the caller has
    it: decoding a large film twice needs more memory than a decode child has. Raises an ``ImagingError``.
    """
    if spec.channels == 3 and (pixels := film.render_frame(index).pixels).ndim == 3:
        return pixels.astype(np.float32), EIGHT_BITS
    return film.grey(index) if grey is None else grey, film.read_grey_limits(
        index
    ) if spec.greys == "full" else EIGHT_BITS


def find_crop(
    grey: NDArray[np.float32],
    spec: InputSpec,
    area: ultrasound_sector.Sector | None = None,
    hidden: NDArray[np.bool_] | None = None,
) -> ultrasound_sector.Box | None:
    """What the spec crops of a frame, x0, y0, x1, y1; None: nothing. The arguments are :func:`to_model_input`'s."""
    if spec.crop == "sector":
        area = area or ultrasound_sector.detect_sector(grey)
        return None if area is None else area.box
    return outside_anatomy.find_bordered_box(grey, hidden) if spec.crop == "frame" else None


def find_view(
    rows: int, columns: int, spec: InputSpec, box: ultrasound_sector.Box | None = None, aspect: float = SQUARE
) -> ultrasound_sector.Box | None:
    """What the model's input covers of a frame that is cut to *box*, in pixels of it; None: the frame as a whole.

    With a letterbox it is more than the frame has: the bars count as if the frame went on.
    """
    if spec.resize == "squash":
        return box
    x0, y0, x1, y1 = box or (0, 0, columns, rows)
    height, width = _inner_shape((y1 - y0, x1 - x0), spec, aspect)
    top, left = (spec.height - height) // 2, (spec.width - width) // 2
    down, across = (y1 - y0) / height, (x1 - x0) / width
    ends = (x0 - left * across, y0 - top * down, x0 + (spec.width - left) * across, y0 + (spec.height - top) * down)
    seen = (round(ends[0]), round(ends[1]), round(ends[2]), round(ends[3]))
    return None if seen == (0, 0, columns, rows) else seen


def lay_out(
    plane: NDArray[np.float32],
    spec: InputSpec,
    box: ultrasound_sector.Box | None = None,
    *,
    bars: bool = True,
    aspect: float = SQUARE,
) -> NDArray[np.float32]:
    """(H, W), of a volume (D, H, W), as it lies in the model's input: cut to *box*, resized, with bars of 0 or without.

    A mask is laid over the input so.
    """
    plane = plane if box is None else crop(plane, box)
    film = resize(plane, _inner_shape(plane.shape, spec, aspect))
    return _add_bars(film, spec) if bars else film


def _inner_shape(shape: tuple[int, ...], spec: InputSpec, aspect: float) -> tuple[int, ...]:
    """The size of a film of *shape* within the model's input."""
    if spec.resize == "squash":
        return spec.shape
    rows, columns = shape
    high = rows * aspect  # in widths of a pixel
    scale = min(spec.height / high, spec.width / columns)
    return max(1, round(high * scale)), max(1, round(columns * scale))


def _add_bars(film: NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
    """*film* in the middle of an input of zeros."""
    if film.shape == spec.shape:
        return film
    whole = np.zeros(spec.shape, np.float32)
    top, left = ((side - inner) // 2 for side, inner in zip(spec.shape, film.shape, strict=True))
    whole[top : top + film.shape[0], left : left + film.shape[1]] = film
    return whole


def crop(frame: NDArray[np.float32], box: ultrasound_sector.Box) -> NDArray[np.float32]:
    """What lies in *box*, (x0, y0, x1, y1), of a (H, W) frame."""
    x0, y0, x1, y1 = box
    return frame[y0:y1, x0:x1]


def _visible_pixels(film: NDArray[np.float32], veil: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """The pixels of the resized *film* without a contribution of a hidden pixel (1 in *veil*); all if none remain."""
    if veil is None:
        return film
    seen = film[veil <= 0]
    return seen if seen.size else film


def resize(frame: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
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
