"""What a doctor draws on a film to say where something is: a box, or an outline.

It is kept with the word that it was drawn for (`clinical.remarks`) and like that word never changed.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Final

from firmware_app.core.records import Detail

MOST_POINTS: Final = 400
_MOST_CHARACTERS: Final = 16_000
_LEAST_PX: Final = 2.0
"""A box or an outline that is smaller, or as thin, is a slip of the hand."""
_LARGEST_PX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Drawing:
    """A place on one frame of an image.

    `points` are (x, y) in pixels of the original frame: two opposite corners of a box, or the corners of an outline.
    """

    instance: str
    frame: int
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is no place."""
        if not 2 <= len(self.points) <= MOST_POINTS or self.frame < 0:
            raise ValueError(len(self.points))
        if not all(math.isfinite(side) and 0 <= side <= _LARGEST_PX for point in self.points for side in point):
            raise ValueError("a point lies outside every frame")
        x0, y0, x1, y1 = self.box
        if min(x1 - x0, y1 - y0) < _LEAST_PX:
            raise ValueError("too small")

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the smallest box that holds it."""
        across, down = [x for x, _ in self.points], [y for _, y in self.points]
        return min(across), min(down), max(across), max(down)

    @property
    def outline(self) -> tuple[tuple[float, float], ...]:
        """Its corners; empty where it is a box."""
        return self.points if len(self.points) > 2 else ()

    def text(self) -> str:
        """As it is kept."""
        return json.dumps({"instance": self.instance, "frame": self.frame, "points": self.points})

    @classmethod
    def parse(cls, text: str) -> Drawing:
        """What `text` wrote, or a page sent; raises `ValueError`."""
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(len(text))
        try:
            told = json.loads(text)
            points = tuple((round(float(x), 1), round(float(y), 1)) for x, y in told["points"])
            return cls(str(told["instance"]), int(told["frame"]), points)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def audited(self) -> dict[str, Detail]:
        """What the audit keeps of it: its box, and a digest of all of it."""
        digest = hashlib.sha256(self.text().encode()).hexdigest()[:16]
        sides = " ".join(f"{side:.0f}" for side in self.box)
        return {
            "image": self.instance,
            "frame": self.frame,
            "box": sides,
            "corners": len(self.outline),
            "sha256": digest,
        }
