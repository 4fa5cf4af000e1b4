"""What is said of a lesion: its mark in one frame, and the same lesion summed up over all the frames that show it.

Lengths are in pixels of the original frame unless the name says millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

FINDING_TAG: Final = "finding"
"""The tag of a lesion that names the code of its finding."""
SOURCE_TAG: Final = "source"
"""The tag of a lesion that says what its box is taken from, where that is no detector and no outline."""
ACTIVATION_MAP: Final = "activation map"
"""The :data:`SOURCE_TAG` of a candidate box: the network learnt from image labels alone, and looked there."""
SIZES: Final = (
    "area_px",
    "area_mm2",
    "long_axis_px",
    "long_axis_mm",
    "short_axis_px",
    "short_axis_mm",
    "volume_px3",
    "volume_mm3",
)
"""The attributes of a `Lesion` that are sizes."""

Point = tuple[float, float]
Line = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Feature:
    """One term of a lesion's description, such as the shape “oval”.

    `confidence` is 0.5 or so where the next term would fit as well, and 1 where none other would; it is no calibrated
    probability.  `measure` is the number that decided.  `learned`: by a network; else computed from mask and pixels.
    """

    name: str
    term: str
    confidence: float
    measure: float | None = None
    learned: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0 or not math.isfinite(self.measure or 0.0):
            raise ValueError(f"a confidence of {self.confidence} or a measure of {self.measure} cannot be")


@dataclass(frozen=True, slots=True)
class LesionSightings:
    """What a case's lesion was summed up from.

    `marks`: instance and frame of each mark.  `of`: how many frames were read in those instances.  `ranges`: the least
    and the greatest of each size, by its attribute's name.  `votes`: by a finding's code, in how many of the frames
    its probability reached the threshold.
    """

    marks: tuple[tuple[str, int], ...]
    of: int
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    votes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.marks) <= self.of:
            raise ValueError(f"a lesion cannot be seen in {len(self.marks)} of {self.of} frames")

    @property
    def frames(self) -> int:
        """In how many frames it was seen."""
        return len(self.marks)


@dataclass(frozen=True, slots=True)
class Lesion:
    """One place in one frame.  `box` is x0, y0, x1, y1 in pixels of the original frame; unknown measures are None.

    The tag `FINDING_TAG` holds the code of the finding that it belongs to.  `chances` are the probabilities of this
    lesion by a finding's code, where a model gives several.  `axes` are the long and the short one, as lines x0, y0,
    x1, y1; `outline` is a closed polygon; `picture` is (columns, rows) of the frame.  `look` are a few numbers by which
    it is known again in another frame.

    A case's lesion has `seen`: instance, frame, box, outline and features are then those of its best frame, its
    `score` and `chances` are means over its frames, and its sizes are medians.
    """

    instance: str
    frame: int
    box: tuple[float, float, float, float]
    score: float
    area_px: int | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    volume_mm3: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    area_mm2: float | None = None
    long_axis_px: float | None = None
    short_axis_px: float | None = None
    volume_px3: float | None = None
    chances: Mapping[str, float] = field(default_factory=dict)
    features: tuple[Feature, ...] = ()
    outline: tuple[Point, ...] = ()
    axes: tuple[Line, ...] = ()
    picture: tuple[int, int] | None = None
    look: tuple[float, ...] = ()
    seen: LesionSightings | None = None

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (x0 < x1 and y0 < y1 and math.isfinite(sum(self.box)) and 0.0 <= self.score <= 1.0):
            raise ValueError(f"a lesion cannot have the box {self.box} and the score {self.score}")
        if not all(math.isfinite(number) for number in self._numbers()):
            raise ValueError("a lesion has a size, a corner or a look that is no number")
        if not all(0.0 <= chance <= 1.0 for chance in self.chances.values()):
            raise ValueError(f"a lesion cannot have the probabilities {dict(self.chances)}")

    def _numbers(self) -> Iterator[float]:
        yield from (size for name in SIZES if (size := getattr(self, name)) is not None)
        yield from (number for row in (*self.outline, *self.axes) for number in row)
        yield from self.look

    @property
    def finding(self) -> str:
        """The code of the finding that it belongs to; empty where nobody says."""
        return self.tags.get(FINDING_TAG, "")

    @property
    def is_candidate(self) -> bool:
        """Whether its box is no more than where a network of image labels looked."""
        return self.tags.get(SOURCE_TAG) == ACTIVATION_MAP

    @property
    def centre(self) -> Point:
        """The middle of its box."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    def find_probability(self, finding: str) -> float:
        """The probability of *finding* here: the score for its own finding, 0 for one of which nothing is said."""
        return self.score if finding == self.finding else self.chances.get(finding, 0.0)

    def largest(self, size: str) -> float | None:
        """A size by its attribute's name, in the frame in which it is largest; None where it is not known."""
        ends = self.seen.ranges.get(size) if self.seen is not None else None
        one: float | None = getattr(self, size)
        return ends[1] if ends is not None else one


def box_overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1; 0 where neither has an area."""
    across = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    down = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = across * down
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - both
    return both / union if union > 0.0 else 0.0
