"""What the frames of a clip say together: one probability per finding, and the frame in which it is strongest.

Why the mean of the two largest and not the largest is argued in docs/decisions/clips.md, and why a frame unlike the
training images does not count in docs/decisions/unfamiliar.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from firmware_app.imaging.input_spec import FrameRule
from firmware_app.packs.tasks.interface import Answer
from firmware_app.packs.tasks.part import Part


class Frames(Part):
    """How the pack takes a clip (docs/decisions/clips.md): which frames, how many, and what they say together.

    A pack that says nothing reads the middle frame. ``aggregate`` makes one probability of each frame's: the largest,
    or the mean of the ``top`` largest.
    """

    rule: FrameRule = "middle"
    budget: int = Field(1, ge=1, le=16)
    aggregate: Literal["max", "mean_of_top"] = "mean_of_top"
    top: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _one_is_one(self) -> Self:
        if self.rule == "middle" and self.budget != 1:
            raise ValueError(f"the rule “middle” reads one frame, not {self.budget}")
        return self


def together(answers: Sequence[Answer], rule: Frames) -> Answer:
    """One answer per frame, in the same order → the clip's, with every frame's lesions.

    Of frames that show a finding equally well the first is taken. Where half of them or more are unsure, so is the
    clip. Raises :class:`ValueError` where there is no frame.
    """
    if not answers:
        raise ValueError("a clip of which no frame was read has no findings")
    findings, strongest = [], {}
    for one in zip(*(answer.findings for answer in answers), strict=True):
        probabilities = [finding.probability for finding in one]
        best = max(range(len(one)), key=probabilities.__getitem__)
        strongest[one[0].code] = best
        findings.append(replace(one[best], probability=aggregate(probabilities, rule)))
    lesions = tuple(lesion for answer in answers for lesion in answer.lesions)
    unsure = 2 * sum(answer.unsure for answer in answers) >= len(answers)
    return Answer(tuple(findings), lesions, strongest=strongest, unsure=unsure)


def familiar(distances: Sequence[float], limit: float) -> tuple[int, ...]:
    """Which frames count, by their distances from what the pack learnt from: those no farther than ``limit``.

    None where most are farther: then the clip shows something else, and the others are there by chance.
    """
    near = tuple(place for place, distance in enumerate(distances) if distance <= limit)
    return near if 2 * len(near) >= len(distances) else ()


def aggregate(probabilities: Sequence[float], rule: Frames) -> float:
    """One probability of several: the largest, or the mean of the ``top`` largest (of all where there are fewer)."""
    ordered = sorted(probabilities, reverse=True)[: 1 if rule.aggregate == "max" else rule.top]
    return ordered[0] if len(ordered) == 1 else sum(ordered) / len(ordered)
