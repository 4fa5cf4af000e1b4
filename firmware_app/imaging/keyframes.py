"""Chooses the frames of a clip that a model reads: at fixed intervals, or the best and most different ones.

Frames are examined one at a time and in order.  Only a picture of 96 pixels is kept of each, and of a long clip at most
`MOST_LOOKED` frames are examined, evenly spread.  So memory and time are bounded for any length of clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.input_spec import FrameRule
from firmware_app.imaging.ultrasound_sector import Box, Sector, SectorDetector

Grey = Callable[[int], NDArray[np.float32]]

MOST_LOOKED: Final = 240
"""The most frames that are scored: all of eight seconds at 30 per second, every thirteenth of 3,000."""
MOST_WATCHED: Final = 16
"""The most frames used to detect a clip's sector."""
LEAST_NOVELTY: Final = 0.001
"""1 - correlation of thumbnails; below it, two frames are the same picture, so a frozen clip is read once."""
LEAST_WEIGHT: Final = 0.05
_SIDE_PX: Final = 96
_THUMBNAIL_PX: Final = 24
_BEST_PERCENT: Final = 95  # a percentile, so that a single frame with a flash or a menu does not set the scale
_ECHO: Final = 0.04  # of the clip's range above its darkest grey


@dataclass(frozen=True, slots=True)
class Keyframes:
    """The frames to be read, in the order of the clip, and the sector, from the header or detected."""

    frames: tuple[int, ...]
    sector: Sector | None = None


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """What is kept of one frame: its sharpness, contrast, share of echoes, and a thumbnail."""

    frame: int
    sharpness: float
    contrast: float
    fill: float
    thumbnail: NDArray[np.float32]


def spread_evenly(frames: int, most: int) -> tuple[int, ...]:
    """At most *most* of *frames* frames: the middle of each of that many equal intervals."""
    count = min(frames, most)
    return tuple((2 * at + 1) * frames // (2 * count) for at in range(count))


def choose_keyframes(
    grey: Grey, frames: int, rule: FrameRule, budget: int, sector: Sector | None = None, *, find: bool = False
) -> Keyframes:
    """At least one frame, at most *budget*; the rule "middle" gives one frame for any budget.

    *grey* gives frame *i* as (H, W) float32; it is called in ascending order, at most once per frame.  *find*: the clip
    is ultrasound, so its sector is detected unless *sector* is given.
    """
    watch = SectorDetector() if find and sector is None and frames > 1 else None
    if rule == "middle" or frames == 1:
        _feed_detector(watch, grey, spread_evenly(frames, MOST_WATCHED))
        return Keyframes((frames // 2,), _sector_of(watch, sector))
    if rule == "interval":
        _feed_detector(watch, grey, spread_evenly(frames, MOST_WATCHED))
        return Keyframes(spread_evenly(frames, budget), _sector_of(watch, sector))
    looked = spread_evenly(frames, MOST_LOOKED)
    watched = {looked[at] for at in spread_evenly(len(looked), MOST_WATCHED)}
    pictures: list[NDArray[np.float32]] = []
    shape = (1, 1)
    for index in looked:
        frame = grey(index)
        if watch is not None and index in watched:
            watch.add_frame(frame)
        pictures.append(shrink_frame(frame))
        shape = (frame.shape[0], frame.shape[1])
    sector = _sector_of(watch, sector)
    box = sector.box if sector is not None else (0, 0, shape[1], shape[0])
    looks = [
        examine_frame(_crop_small(picture, box, shape), index) for picture, index in zip(pictures, looked, strict=True)
    ]
    return Keyframes(choose_best(looks, budget), sector)


def examine_frame(small: NDArray[np.float32], index: int) -> FrameFeatures:
    """The look of frame *index*; *small* is a small picture of it, at least 3 × 3 pixels."""
    image = Image.fromarray(np.ascontiguousarray(small))
    thumbnail = np.asarray(image.resize((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BOX), dtype=np.float32)
    edges = 4 * small[1:-1, 1:-1] - small[:-2, 1:-1] - small[2:, 1:-1] - small[1:-1, :-2] - small[1:-1, 2:]
    low, high = (float(limit) for limit in np.percentile(small, (1, 99)))
    # Measured on the thumbnail: blur fills the gaps between speckle grains, which must not count as echoes.
    fill = float((thumbnail > low + _ECHO * (high - low)).mean()) if high > low else 0.0
    return FrameFeatures(index, float(edges.std()), float(small.std()), fill, thumbnail)


def weigh_frames(pictures: Sequence[NDArray[np.float32]]) -> tuple[float, ...]:
    """The quality of each of several frames, given as their *pictures* (`shrink_frame`), as a share of the best one's.

    Quality is sharpness × contrast × fill, as in `choose_best`.  A frame without any keeps `LEAST_WEIGHT`, so that it
    is never left without a word.
    """
    quality = _quality([examine_frame(picture, index) for index, picture in enumerate(pictures)])
    top = float(quality.max(initial=0.0))
    return tuple(max(LEAST_WEIGHT, float(one) / top) if top > 0.0 else 1.0 for one in quality)


def choose_best(looks: list[FrameFeatures], budget: int) -> tuple[int, ...]:
    """The frames with the largest quality × novelty, chosen one by one; novelty is relative to those already chosen.

    Quality is the product of sharpness, contrast and fill, each as a share of the clip's best frames, so the result
    does not depend on the machine.  A frame without contrast is chosen only if there are no others.
    """
    lively = [look for look in looks if look.contrast > 0] or looks[len(looks) // 2 :][:1]
    quality = _quality(lively)
    pictures = np.stack([_normalise(frame_features.thumbnail) for frame_features in lively])
    taken = [int(quality.argmax())]
    novelty = 1.0 - pictures @ pictures[taken[0]]
    while len(taken) < min(budget, len(lively)):
        worth = np.where(novelty > LEAST_NOVELTY, quality * novelty, 0.0)
        following = int(worth.argmax())
        if worth[following] <= 0:
            break
        taken.append(following)
        novelty = np.minimum(novelty, 1.0 - pictures @ pictures[following])
    return tuple(sorted(lively[at].frame for at in taken))


def _quality(looks: Sequence[FrameFeatures]) -> NDArray[np.float64]:
    """Sharpness × contrast × fill of each, each as a share of that of the best frames."""
    measures = np.array([(look.sharpness, look.contrast, look.fill) for look in looks])
    return np.asarray(np.prod([_normalise_by_best(column) for column in measures.T], axis=0))


def _normalise_by_best(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value as a share of the best frames' value, at most 1; all 1 where that is 0."""
    best_of = float(np.percentile(values, _BEST_PERCENT))
    return np.minimum(values / best_of, 1.0) if best_of > 0 else np.ones_like(values)


def _normalise(thumbnail: NDArray[np.float32]) -> NDArray[np.float64]:
    """The thumbnail as a vector with mean 0 and length 1, so that dot products are Pearson's correlations."""
    values = thumbnail.astype(np.float64).reshape(-1)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-9)


def _feed_detector(watch: SectorDetector | None, grey: Grey, indices: Sequence[int]) -> None:
    if watch is not None:
        for index in indices:
            watch.add_frame(grey(index))


def _sector_of(watch: SectorDetector | None, sector: Sector | None) -> Sector | None:
    return watch.sector() if watch is not None else sector


def shrink_frame(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """*frame* with a longer side of at most `_SIDE_PX`, and no side below 3."""
    image = Image.fromarray(np.ascontiguousarray(frame, np.float32))
    scale = min(1.0, _SIDE_PX / max(image.size))
    size = (max(3, round(image.width * scale)), max(3, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float32)


def _crop_small(picture: NDArray[np.float32], box: Box, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The part of a small *picture* that shows *box* of a frame of *shape*; all of it if the part is tiny."""
    down, across = picture.shape[0] / shape[0], picture.shape[1] / shape[1]
    x0, y0, x1, y1 = (round(side * scale) for side, scale in zip(box, (across, down) * 2, strict=True))
    part = picture[y0:y1, x0:x1]
    return part if min(part.shape) >= 3 else picture
