"""The pictures of a case that show what was found, the most telling first: frame, heat map and lesions of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Case, Reading, ReadingStatus
from firmware_app.results import overlay

MOST: Final = 12
"""Of one case: a CT may have lesions in hundreds of slices, which only the segmentation holds whole."""


@dataclass(frozen=True, slots=True)
class TellingPicture:
    """One rendered frame with what is marked in it.  `heat` is the code of a positive finding that has a heat map."""

    instance: str
    frame: int
    lesions: tuple[Lesion, ...]
    heat: str | None
    strength: float
    reading: Reading

    @property
    def is_marked(self) -> bool:
        return bool(self.lesions) or self.heat is not None


def telling(case: Case, display: Callable[[str], Path], most: int = MOST) -> list[TellingPicture]:
    """At most *most* pictures of *case*, marked ones first; *display* gives the folder of an instance's frames.

    Only frames that the reader has rendered count.  A case in which nothing is marked has one picture.
    """
    found = [one for reading in case.readings for one in _of_reading(reading, display)]
    found.sort(key=lambda one: (not one.is_marked, -one.strength))
    unique = {(one.instance, one.frame): one for one in reversed(found)}
    ordered = [one for one in found if unique.get((one.instance, one.frame)) is one]
    marked = [one for one in ordered if one.is_marked]
    return (marked or ordered[:1])[:most]


def plain(one: TellingPicture, display: Path) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3): the frame as the viewer first shows it."""
    return overlay.film_of(display, one.frame)


def marked(one: TellingPicture, display: Path) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3): the frame with its lesions' outlines, else with its heat map, else as it is."""
    if one.lesions:
        return overlay.marked_film_of(display, one.frame, one.lesions)
    if one.heat is not None:
        return overlay.blend(overlay.film_of(display, one.frame), overlay.heat_of(display / f"{one.heat}.png"))
    return overlay.film_of(display, one.frame)


def facts(display: Path, frame: int) -> dict[str, Any]:
    """What is known of the rendered *frame*; empty where it was not rendered."""
    try:
        said = json.loads((display / f"frame-{frame:03d}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _of_reading(reading: Reading, display: Callable[[str], Path]) -> list[TellingPicture]:
    by_frame: dict[tuple[str, int], list[Lesion]] = {}
    for lesion in reading.lesions:
        by_frame.setdefault((lesion.instance, lesion.frame), []).append(lesion)
    made = [
        TellingPicture(instance, frame, tuple(lesions), None, 1.0 + max(one.score for one in lesions), reading)
        for (instance, frame), lesions in by_frame.items()
        if facts(display(instance), frame)
    ]
    if made:
        return made
    instance = reading.instances[len(reading.instances) // 2]
    strongest = max(reading.findings, key=lambda one: (one.positive, one.probability), default=None)
    frame = _shown_frame(reading, strongest.code if strongest else "", display(instance))
    if frame is None:
        return []
    has_heat = strongest is not None and strongest.positive and (display(instance) / f"{strongest.code}.png").is_file()
    heat = strongest.code if has_heat and strongest is not None else None
    judged = reading.status is ReadingStatus.READ
    strength = strongest.probability if strongest is not None else 0.5 if judged else 0.0
    return [TellingPicture(instance, frame, (), heat, strength, reading)]


def _shown_frame(reading: Reading, code: str, display: Path) -> int | None:
    first = facts(display, 0)
    if not first:
        return None
    shown = [int(one) for one in first.get("full") or first.get("shown") or range(int(first.get("frames_shown", 1)))]
    strongest = reading.frames.strongest.get(code) if reading.frames is not None else None
    wanted = strongest if strongest in shown else shown[len(shown) // 2]
    return wanted if wanted is not None and facts(display, wanted) else 0
