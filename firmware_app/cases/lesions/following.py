"""The marks of a clip's frames, and of a study's images, put together into lesions.

In a clip a lesion may move from frame to frame, and may be missed for half a second.  From image to image nothing is
known of how the probe was moved: only marks at the same place of pictures of the same size, which look the same, are
one lesion, as in a frozen picture that was stored with and without callipers.  Two views of one lesion are therefore
two; the number of lesions is the most that there can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from firmware_app.cases.lesions import matching
from firmware_app.cases.lesions.summing import summed
from firmware_app.core.lesion import Lesion, overlap
from firmware_app.core.records import FramesRead, Reading, ReadingStatus

ABSENT_S: Final = 0.5
"""A lesion that comes back within this time is the same one."""
ABSENT_FRAMES: Final = 5
"""The same where the file states no frame rate: half a second at the ten frames a second at which the viewer then
plays a clip (docs/decisions/clips.md)."""
SAME_PLACE: Final = 0.5
SAME_LOOK: Final = 0.9
"""The overlap and the likeness of looks from which marks in two images are one lesion."""
SAME_PLACE_UNSEEN: Final = 0.7
"""The overlap where no look was taken."""
MOST_COMPARED: Final = 200
"""The most lesions of a case that are looked for in its other images, the strongest ones; it takes 20 ms."""


@dataclass(frozen=True, slots=True)
class Track:
    """One lesion in one image or clip: its marks in the order of the frames, and the weight of each frame.

    `of`: how many frames of it were read.
    """

    marks: tuple[Lesion, ...]
    weights: tuple[float, ...]
    of: int
    pack: str = ""

    @property
    def instance(self) -> str:
        return self.marks[0].instance


def lesions_of(readings: Iterable[Reading]) -> tuple[Lesion, ...]:
    """The lesions of a case, the highest score first.

    One that was seen in a single image of one frame is its mark, unchanged.
    """
    return tuple(lesion for lesion, _ in with_marks(readings))


def with_marks(readings: Iterable[Reading]) -> list[tuple[Lesion, tuple[Lesion, ...]]]:
    """:func:`lesions_of`, each with the marks that it was put together from."""
    read = [reading for reading in readings if reading.status is ReadingStatus.READ]
    thresholds = {finding.code: finding.threshold for reading in read for finding in reading.findings}
    tracks = [track for reading in read for track in tracks_of(reading)]
    found = []
    for group in same_in_other_images(tracks):
        marks = tuple(mark for track in group for mark in track.marks)
        weights = [weight for track in group for weight in track.weights]
        found.append((summed(marks, weights, sum(track.of for track in group), thresholds), marks))
    return sorted(found, key=lambda one: -one[0].score)


def tracks_of(reading: Reading) -> list[Track]:
    """The lesions of each image or clip of *reading*."""
    pack = reading.pack.name if reading.pack is not None else ""
    tracks = []
    for instance in dict.fromkeys(mark.instance for mark in reading.lesions):
        marks = [mark for mark in reading.lesions if mark.instance == instance]
        clip = reading.frames or _still(marks)
        weights = dict(zip(clip.read, clip.weights or (1.0,) * len(clip.read), strict=True))
        for one in followed(marks, clip):
            tracks.append(Track(one, tuple(weights.get(mark.frame, 1.0) for mark in one), len(clip.read), pack))
    return tracks


def _still(marks: Sequence[Lesion]) -> FramesRead:
    frames = tuple(sorted({mark.frame for mark in marks}))
    return FramesRead(frames[-1] + 1, frames)


def followed(marks: Sequence[Lesion], clip: FramesRead) -> list[tuple[Lesion, ...]]:
    """The marks of a clip's frames, in any order, as lesions: of each its marks, at most one a frame, in order."""
    tracks: list[list[Lesion]] = []
    for place, frame in enumerate(clip.read):
        here = [mark for mark in marks if mark.frame == frame]
        alive = [track for track in tracks if _may_return(track[-1].frame, place, clip)]
        matched = matching.paired([track[-1] for track in alive], here)
        for at, to in matched:
            alive[at].append(here[to])
        known = {to for _, to in matched}
        tracks += [[mark] for to, mark in enumerate(here) if to not in known]
    return [tuple(track) for track in tracks]


def _may_return(last: int, place: int, clip: FramesRead) -> bool:
    """Whether a lesion last seen in frame *last* may be one in the frame read at *place*.

    It has not gone while no frame between them was read.
    """
    if place > 0 and clip.read[place - 1] == last:
        return True
    away = clip.read[place] - last
    return away <= ABSENT_FRAMES if clip.rate_hz is None else away <= ABSENT_S * clip.rate_hz


def same_in_other_images(tracks: Sequence[Track]) -> list[list[Track]]:
    """The tracks of a study in groups of one lesion each; no two of a group are in one image."""
    strongest = sorted(range(len(tracks)), key=lambda at: -max(mark.score for mark in tracks[at].marks))[:MOST_COMPARED]
    pairs = [(_alike(tracks[at], tracks[to]), at, to) for at, to in combinations(sorted(strongest), 2)]
    group_of = {at: [at] for at in range(len(tracks))}
    for alike, at, to in sorted(pairs, key=lambda pair: -pair[0]):
        one, other = group_of[at], group_of[to]
        images = [tracks[place].instance for place in (*one, *other)]
        if alike > 0.0 and one is not other and len(images) == len(set(images)):
            one += other
            group_of.update(dict.fromkeys(other, one))
    return [[tracks[place] for place in group] for at, group in group_of.items() if group[0] == at]


def _alike(one: Track, other: Track) -> float:
    """How alike the strongest marks of two tracks are; 0 where they are not one lesion."""
    if one.instance == other.instance or one.pack != other.pack:
        return 0.0
    mark, twin = (max(track.marks, key=lambda mark: mark.score) for track in (one, other))
    if mark.picture is None or mark.picture != twin.picture:
        return 0.0
    place, looks = overlap(mark.box, twin.box), bool(mark.look) and len(mark.look) == len(twin.look)
    if looks:
        return place if place >= SAME_PLACE and matching.look(mark, twin) >= SAME_LOOK else 0.0
    return place if place >= SAME_PLACE_UNSEEN else 0.0
