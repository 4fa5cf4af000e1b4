"""From the marks of a model in single frames to the lesions of a case.

In a clip a lesion may move from frame to frame, and may be missed for half a second.  From image to image nothing is
known of how the probe was moved: only marks at the same place of pictures of the same size, which look the same, are
one lesion, as in a frozen picture that was stored with and without callipers.  Two views of one lesion are therefore
two; the number of lesions is the most that there can be.

The likeness of two marks is the mean of three numbers from 0 to 1:

* overlap: intersection over union of the boxes;
* position: 1 where the middles meet, 0 where they are farther apart than a box is long;
* look: 1 less the mean difference of the marks' look numbers, or without them the smaller area over the larger.

Marks of different findings count less, not nothing: frames may contradict each other about what a lesion is.  The most
alike pair is taken first (as the trackers by overlap do, Bochinski et al. 2017, doi:10.1109/AVSS.2017.8078516), so that
no library for assignments is needed for a handful of marks.

A lesion has means weighted by the quality of its frames, and medians and ranges of sizes.  Disagreement between frames
stays visible: the score is the mean and not the largest, and `LesionSightings.votes` counts the frames that state each
finding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import Any, Final

from firmware_app.core.lesion import FINDING_TAG, SIZES, Feature, Lesion, LesionSightings, box_overlap
from firmware_app.core.records import FramesRead, Reading, ReadingStatus

LEAST_LIKENESS: Final = 0.4
"""Below it two marks are not one lesion: equal boxes that are shifted by 0.85 of their side reach it just not."""
OTHER_FINDING: Final = 0.8
"""What the likeness of marks of different findings is multiplied by."""
SMALL: Final = 0.03
"""Of the picture's longer side: as far the middle of a lesion may move that is smaller than that."""


def pair_marks(before: Sequence[Lesion], now: Sequence[Lesion], least: float = LEAST_LIKENESS) -> list[tuple[int, int]]:
    """Places in *before* and in *now* of marks that are one lesion, each at most once, the most alike pair first."""
    alike = [
        (compute_likeness(one, other), at, to)
        for at, one in enumerate(before)
        for to, other in enumerate(now)
        if _may_touch(one, other)
    ]
    taken: list[tuple[int, int]] = []
    used_before: set[int] = set()
    used_now: set[int] = set()
    for value, at, to in sorted(alike, key=lambda one: (-one[0], one[1], one[2])):
        if value >= least and at not in used_before and to not in used_now:
            taken.append((at, to))
            used_before.add(at)
            used_now.add(to)
    return taken


def compute_likeness(one: Lesion, other: Lesion) -> float:
    """How alike two marks are, from 0 to 1 (see the module)."""
    mean = (box_overlap(one.box, other.box) + compute_nearness(one, other) + compare_looks(one, other)) / 3
    same = one.finding == other.finding or not one.finding or not other.finding
    return mean if same else OTHER_FINDING * mean


def compute_nearness(one: Lesion, other: Lesion) -> float:
    """1 where the middles of the boxes meet, 0 from `_compute_reach` on."""
    return max(0.0, 1.0 - math.dist(one.centre, other.centre) / _compute_reach(one, other))


def compare_looks(one: Lesion, other: Lesion) -> float:
    """How alike the marks look, from 0 to 1; by their sizes where no look was taken."""
    if one.look and len(one.look) == len(other.look):
        apart = sum(abs(a - b) for a, b in zip(one.look, other.look, strict=True)) / len(one.look)
        return max(0.0, 1.0 - apart)
    small, large = sorted((_area(one), _area(other)))
    return small / large


def _compute_reach(one: Lesion, other: Lesion) -> float:
    """The mean of the boxes' longer sides; for small ones a share of the picture, where that is known."""
    sides = (_longer_side(one) + _longer_side(other)) / 2
    return max(sides, SMALL * max(one.picture)) if one.picture is not None else sides


def _may_touch(one: Lesion, other: Lesion) -> bool:
    """False for boxes so far apart that they cannot be alike; most pairs are, and this is quick."""
    reach = _compute_reach(one, other)
    (x, y), (to_x, to_y) = one.centre, other.centre
    return abs(x - to_x) <= reach and abs(y - to_y) <= reach


def _longer_side(one: Lesion) -> float:
    x0, y0, x1, y1 = one.box
    return max(x1 - x0, y1 - y0)


def _area(one: Lesion) -> float:
    x0, y0, x1, y1 = one.box
    return (x1 - x0) * (y1 - y0)


def summarise_marks(
    marks: Sequence[Lesion], weights: Sequence[float], of: int, thresholds: Mapping[str, float] | None = None
) -> Lesion:
    """The lesion of these *marks*; *weights* are above 0, one for each mark's frame.

    *of* is how many frames were read where they are.  *thresholds*, by a finding's code, are those of
    `LesionSightings.votes`. Its finding is the one with the largest weighted sum of scores.  Its best frame is the one
    where weight times the probability of that finding is largest.  A single mark of a single frame stays as it is.
    """
    if len(marks) == 1 and of == 1:
        return marks[0]
    finding = _select_finding(marks, weights)
    chances = {
        code: round(_mean([mark.find_probability(code) for mark in marks], weights), 6) for code in _list_codes(marks)
    }
    best = max(zip(marks, weights, strict=True), key=lambda one: one[1] * one[0].find_probability(finding))[0]
    score = chances.pop(finding, None)
    sizes = {name: [size for mark in marks if (size := getattr(mark, name)) is not None] for name in SIZES}
    middles: dict[str, Any] = {name: _compute_median(name, values) for name, values in sizes.items() if values}
    ranges = {name: (min(values), max(values)) for name, values in sizes.items() if len(values) > 1}
    votes = {
        code: sum(mark.find_probability(code) >= threshold for mark in marks)
        for code, threshold in (thresholds or {}).items()
        if code in _list_codes(marks)
    }
    return replace(
        best,
        score=score if score is not None else _mean([mark.score for mark in marks], weights),
        tags={**best.tags, FINDING_TAG: finding} if finding else best.tags,
        chances=chances,
        features=_merge_features(marks, weights),
        seen=LesionSightings(tuple((mark.instance, mark.frame) for mark in marks), of, ranges, votes),
        **middles,
    )


def score_findings(lesions: Iterable[Lesion]) -> dict[str, float]:
    """The scores of a case: by a finding's code, its probability in the lesion where that is largest."""
    found: dict[str, float] = {}
    for lesion in lesions:
        for code in _list_codes([lesion]):
            found[code] = max(found.get(code, 0.0), lesion.find_probability(code))
    return found


def _list_codes(marks: Iterable[Lesion]) -> list[str]:
    """The codes of all findings of which the marks say something, in order of appearance."""
    return list(dict.fromkeys(code for mark in marks for code in (mark.finding, *mark.chances) if code))


def _select_finding(marks: Sequence[Lesion], weights: Sequence[float]) -> str:
    """The finding of most marks, each counted by its score and its frame's weight."""
    sums: dict[str, float] = {}
    for mark, weight in zip(marks, weights, strict=True):
        sums[mark.finding] = sums.get(mark.finding, 0.0) + weight * mark.score
    return max(sums, key=sums.__getitem__)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _compute_median(name: str, values: Sequence[float]) -> float | int:
    return round(median(values)) if name == "area_px" else float(median(values))


def _merge_features(marks: Sequence[Lesion], weights: Sequence[float]) -> tuple[Feature, ...]:
    """Of each feature the term with the most weight; its confidence is shared among all frames that name one."""
    said: dict[str, list[tuple[Feature, float]]] = {}
    for mark, weight in zip(marks, weights, strict=True):
        for feature in mark.features:
            said.setdefault(feature.name, []).append((feature, weight))
    found = []
    for name, votes in said.items():
        terms: dict[str, float] = {}
        for feature, weight in votes:
            terms[feature.term] = terms.get(feature.term, 0.0) + weight * feature.confidence
        term = max(terms, key=terms.__getitem__)
        agreeing = [feature for feature, _ in votes if feature.term == term]
        measures = [feature.measure for feature in agreeing if feature.measure is not None]
        confidence = min(1.0, terms[term] / sum(weight for _, weight in votes))
        learned = any(feature.learned for feature in agreeing)
        found.append(Feature(name, term, confidence, median(measures) if measures else None, learned))
    return tuple(found)


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


def find_lesions(readings: Iterable[Reading]) -> tuple[Lesion, ...]:
    """The lesions of a case, the highest score first.

    One that was seen in a single image of one frame is its mark, unchanged.
    """
    return tuple(lesion for lesion, _ in find_lesions_with_marks(readings))


def find_lesions_with_marks(readings: Iterable[Reading]) -> list[tuple[Lesion, tuple[Lesion, ...]]]:
    """:func:`find_lesions`, each with the marks that it was put together from."""
    read = [reading for reading in readings if reading.status is ReadingStatus.READ]
    thresholds = {finding.code: finding.threshold for reading in read for finding in reading.findings}
    tracks = [track for reading in read for track in find_tracks(reading)]
    found = []
    for group in group_tracks(tracks):
        marks = tuple(mark for track in group for mark in track.marks)
        weights = [weight for track in group for weight in track.weights]
        found.append((summarise_marks(marks, weights, sum(track.of for track in group), thresholds), marks))
    return sorted(found, key=lambda one: -one[0].score)


def find_tracks(reading: Reading) -> list[Track]:
    """The lesions of each image or clip of *reading*."""
    pack = reading.pack.name if reading.pack is not None else ""
    tracks = []
    for instance in dict.fromkeys(mark.instance for mark in reading.lesions):
        marks = [mark for mark in reading.lesions if mark.instance == instance]
        clip = reading.frames or _make_still_clip(marks)
        weights = dict(zip(clip.read, clip.weights or (1.0,) * len(clip.read), strict=True))
        for one in follow_marks(marks, clip):
            tracks.append(Track(one, tuple(weights.get(mark.frame, 1.0) for mark in one), len(clip.read), pack))
    return tracks


def _make_still_clip(marks: Sequence[Lesion]) -> FramesRead:
    frames = tuple(sorted({mark.frame for mark in marks}))
    return FramesRead(frames[-1] + 1, frames)


def follow_marks(marks: Sequence[Lesion], clip: FramesRead) -> list[tuple[Lesion, ...]]:
    """The marks of a clip's frames, in any order, as lesions: of each its marks, at most one a frame, in order."""
    tracks: list[list[Lesion]] = []
    for place, frame in enumerate(clip.read):
        here = [mark for mark in marks if mark.frame == frame]
        alive = [track for track in tracks if _may_return(track[-1].frame, place, clip)]
        matched = pair_marks([track[-1] for track in alive], here)
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


def group_tracks(tracks: Sequence[Track]) -> list[list[Track]]:
    """The tracks of a study in groups of one lesion each; no two of a group are in one image."""
    strongest = sorted(range(len(tracks)), key=lambda at: -max(mark.score for mark in tracks[at].marks))[:MOST_COMPARED]
    pairs = [(_compare_tracks(tracks[at], tracks[to]), at, to) for at, to in combinations(sorted(strongest), 2)]
    group_of = {at: [at] for at in range(len(tracks))}
    for alike, at, to in sorted(pairs, key=lambda pair: -pair[0]):
        one, other = group_of[at], group_of[to]
        images = [tracks[place].instance for place in (*one, *other)]
        if alike > 0.0 and one is not other and len(images) == len(set(images)):
            one += other
            group_of.update(dict.fromkeys(other, one))
    return [[tracks[place] for place in group] for at, group in group_of.items() if group[0] == at]


def _compare_tracks(one: Track, other: Track) -> float:
    """How alike the strongest marks of two tracks are; 0 where they are not one lesion."""
    if one.instance == other.instance or one.pack != other.pack:
        return 0.0
    mark, twin = (max(track.marks, key=lambda mark: mark.score) for track in (one, other))
    if mark.picture is None or mark.picture != twin.picture:
        return 0.0
    place, looks = box_overlap(mark.box, twin.box), bool(mark.look) and len(mark.look) == len(twin.look)
    if looks:
        return place if place >= SAME_PLACE and compare_looks(mark, twin) >= SAME_LOOK else 0.0
    return place if place >= SAME_PLACE_UNSEEN else 0.0
