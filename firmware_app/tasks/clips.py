"""What the frames of a clip say together: one probability per finding, and the frame in which it is strongest.

Why the mean of the two largest and not the largest is argued in docs/decisions/clips.md, and why a frame unlike the
training images does not count in docs/decisions/unfamiliar.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from firmware_app.packs.scope import Frames
from firmware_app.records import Finding


def together(frames: Sequence[Sequence[Finding]], rule: Frames) -> tuple[tuple[Finding, ...], Mapping[str, int]]:
    """One tuple of findings per frame, in the same order → the clip's, and by code the frame each is strongest in.

    Frames are counted from 0 in the order given; of equal ones the first is taken. Raises :class:`ValueError` where
    there is no frame.
    """
    if not frames:
        raise ValueError("a clip of which no frame was read has no findings")
    found, strongest = [], {}
    for one in zip(*frames, strict=True):
        probabilities = [finding.probability for finding in one]
        strongest[one[0].code] = max(range(len(one)), key=probabilities.__getitem__)
        found.append(replace(one[0], probability=aggregate(probabilities, rule)))
    return tuple(found), strongest


def familiar(distances: Sequence[float], limit: float) -> tuple[int, ...]:
    """Which frames count, by their distances from what the pack learnt from: those no farther than ``limit``.

    None where most are farther: then the clip shows something else, and the others are there by chance.
    """
    near = tuple(at for at, distance in enumerate(distances) if distance <= limit)
    return near if 2 * len(near) >= len(distances) else ()


def aggregate(probabilities: Sequence[float], rule: Frames) -> float:
    """One probability of several: the largest, or the mean of the ``top`` largest (of all where there are fewer)."""
    ordered = sorted(probabilities, reverse=True)[: 1 if rule.aggregate == "max" else rule.top]
    return ordered[0] if len(ordered) == 1 else sum(ordered) / len(ordered)
