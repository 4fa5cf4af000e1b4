"""The interface of a task: it owns a part of the manifest, and turns a model's tensors into an answer.

A task is one module with ``key``, ``Output``, ``Finding`` and the functions of :class:`Task` (docs/adding-a-task.md).
It imports numpy inside its functions, never at its top: the reader and the viewer open manifests without numpy.

:class:`FramePolicy` states which frames of a clip are read and what they mean together: one probability per finding,
and the frame in which it is strongest.  Why the mean of the two largest and not the largest is argued in
docs/decisions/clips.md, and why a frame unlike the training images does not count in docs/decisions/unfamiliar.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self

from pydantic import Field, model_validator

from firmware_app.core.operating_point import LogOdds
from firmware_app.core.records import Finding, Lesion
from firmware_app.imaging.input_spec import FrameRule
from firmware_app.packs.manifest_types import LocalisedText, ManifestPart, Probability

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # REMOVED
    Tensor = NDArray[np.float32]
    Tensors = Mapping[str, Tensor]

MOST_LESIONS: Final = 200
"""The most lesions of one frame: a person cannot check more, and a model that marks more is wrong."""


class OutputPart(ManifestPart):
    """The manifest's ``output``: the names of the model's output tensors, and how to read them.

    ``features`` is a vector (1, F) that any network may give beside its answer
    (:mod:`firmware_app.packs.typicality`).
    """

    features: str | None = None


class UsualScores(ManifestPart):
    """The log odds of the pack's home films, by which a machine's own films set its threshold.

    ``mean`` and ``spread`` (standard deviation) are of ``films`` that no network learnt from, weighed so that a share
    ``prevalence`` of them shows the finding (:mod:`firmware_app.core.operating_point`).
    """

    mean: float = Field(allow_inf_nan=False)
    spread: float = Field(gt=0.0, allow_inf_nan=False)
    prevalence: float = Field(gt=0.0, lt=1.0)
    films: int = Field(ge=1)

    @property
    def log_odds(self) -> LogOdds:
        """Mean and spread alone."""
        return LogOdds(self.mean, self.spread)


class FindingPart(ManifestPart):
    """One of the manifest's ``findings``: its name, the probability from which it is positive, how soon to look.

    With ``usual_scores`` the threshold follows the scores of an imaging machine until films of it are confirmed.
    """

    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: LocalisedText
    threshold: Probability
    threshold_rule: str = Field(min_length=1)
    priority: Literal["urgent", "soon"]
    usual_scores: UsualScores | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """What a manifest says to its task: ``output`` and ``findings`` are of the task's own types."""

    output: Any
    findings: tuple[Any, ...]
    frames: FramePolicy


@dataclass(frozen=True, slots=True)
class Frame:
    """Which picture a tensor shows: frame ``number`` of an original of *rows* × *columns* pixels, or its ``box`` only.

    ``box`` is x0, y0, x1, y1 in pixels of the original, the last ones outside; with a letterbox it reaches beyond it.
    """

    rows: int
    columns: int
    number: int = 0
    box: tuple[int, int, int, int] | None = None
    instance: str = ""

    def place_box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """Corners as fractions (0 to 1) of what the model saw → the box in pixels of the original, within it.

        What lies in the bars of a letterbox alone becomes a box without area.
        """
        left, top, right, bottom = self.box or (0, 0, self.columns, self.rows)
        across, down = right - left, bottom - top

        def within(share: float, start: int, length: int, most: int) -> float:
            return round(min(max(start + min(max(share, 0.0), 1.0) * length, 0.0), most), 2)

        columns, rows = (left, across, self.columns), (top, down, self.rows)
        return within(x0, *columns), within(y0, *rows), within(x1, *columns), within(y1, *rows)

    def place_outline(self, corners: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        """Corners (x, y) of an outline, as fractions of what the model saw → in pixels of the original, within it."""
        return tuple(self.place_box(x, y, x, y)[:2] for x, y in corners)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one frame, or of a clip.

    ``maps``: what is drawn over the picture, finding code → (h, w) float32 in [0, 1] over what the model saw: a heat
    map, or a mask of 0 and 1. Boxes are drawn from ``lesions``. ``strongest``, of a clip only: finding code → the place
    of the frame, among those given, that shows it best and whose map is drawn. ``unsure``: the model contradicts
    itself, so no number is given.
    """

    findings: tuple[Finding, ...]
    lesions: tuple[Lesion, ...] = ()
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    strongest: Mapping[str, int] = field(default_factory=dict)
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """How far an answer lies from a golden case's: of ``what``, and ``apart``, which is held against the tolerance."""

    what: str
    given: float
    expected: float
    apart: float


class Task(Protocol):
    """A task module. Every function raises :class:`ValueError` for tensors or JSON that do not fit."""

    @property
    def key(self) -> str:
        """Its name in manifests."""
        ...

    @property
    def volumes(self) -> bool:
        """Whether its models may read volumes (``input.depth``)."""
        ...

    @property
    def Output(self) -> type[OutputPart]:  # noqa: N802 - a class, held by a module
        """The manifest's ``output``."""
        ...

    @property
    def Finding(self) -> type[FindingPart]:  # noqa: N802
        """One of the manifest's ``findings``."""
        ...

    def answer(self, section: Section, outputs: Tensors, frame: Frame) -> Answer:
        """The model's ``outputs`` for one frame (a batch of one) → what they say of it."""
        ...

    def together(self, section: Section, answers: Sequence[Answer]) -> Answer:
        """The answers for the frames of a clip, in order, at least one → that for the clip."""
        ...

    def golden(self, answer: Answer) -> Any:
        """What a golden case records of an answer, as JSON: ``expected`` of one precision."""
        ...

    def expectation(self, section: Section, recorded: Any) -> Any:
        """The same, read from a manifest and checked against it."""
        ...

    def difference(self, expected: Any, answer: Answer) -> Difference:
        """Where an answer is farthest from what ``expectation`` gave; ``apart`` 0 is the same, 1 is another answer."""
        ...


def find_tensor(outputs: Tensors, name: str, axes: int) -> Tensor:
    """The output ``name`` of a batch of one, without the batch; raises :class:`ValueError` without such a tensor."""
    value = outputs.get(name)
    if value is None or value.ndim != axes or value.shape[0] != 1:
        raise ValueError(f"it gives no {name}" if value is None else f"its {name} has the shape {value.shape}")
    first: Tensor = value[0]
    return first


def check_answer(answer: Answer, frame: Frame) -> Answer:
    """``answer`` itself; raises :class:`ValueError` for more lesions than a person can look at, or one elsewhere."""
    if len(answer.lesions) > MOST_LESIONS:
        raise ValueError(f"it marks {len(answer.lesions)} places in one frame")
    for lesion in answer.lesions:
        x0, y0, x1, y1 = lesion.box
        inside = x0 >= 0.0 and y0 >= 0.0 and x1 <= frame.columns and y1 <= frame.rows
        if not inside or (lesion.instance, lesion.frame) != (frame.instance, frame.number):
            raise ValueError(f"it marks {lesion.box}, which is not in the frame")
    return answer


class FramePolicy(ManifestPart):
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


def combine_frames(answers: Sequence[Answer], rule: FramePolicy) -> Answer:
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
        findings.append(replace(one[best], probability=aggregate_probabilities(probabilities, rule)))
    lesions = tuple(lesion for answer in answers for lesion in answer.lesions)
    unsure = 2 * sum(answer.unsure for answer in answers) >= len(answers)
    return Answer(tuple(findings), lesions, strongest=strongest, unsure=unsure)


def select_familiar(distances: Sequence[float], limit: float) -> tuple[int, ...]:
    """Which frames count, by their distances from what the pack learnt from: those no farther than ``limit``.

    None where most are farther: then the clip shows something else, and the others are there by chance.
    """
    near = tuple(place for place, distance in enumerate(distances) if distance <= limit)
    return near if 2 * len(near) >= len(distances) else ()


def aggregate_probabilities(probabilities: Sequence[float], rule: FramePolicy) -> float:
    """One probability of several: the largest, or the mean of the ``top`` largest (of all where there are fewer)."""
    ordered = sorted(probabilities, reverse=True)[: 1 if rule.aggregate == "max" else rule.top]
    return ordered[0] if len(ordered) == 1 else sum(ordered) / len(ordered)
