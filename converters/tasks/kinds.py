"""What a film's label can be to the task ``classify``, and how a network learns it: one class a kind of target.

A reader gives a film's label as the data set has it, a word (:attr:`converters.data.datasets.Film.said`); a kind turns
it into numbers, into what each channel of a network learns, and into whether the film shows each of the findings.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from converters.data.datasets import NEGATIVE_WORDS
from converters.recipe_tables import Table
from firmware_app.packs.tasks.interface import Section

Targets = NDArray[np.float64]
"""(N, T): the numbers of N films."""

LOSS_GROUP: Final = "lantern.losses"
LOSSES: Final[Mapping[str, tuple[str, ...]]] = {
    "bce": ("finding", "labels", "grades"),
    "focal": ("finding", "labels", "grades"),
    "cross-entropy": ("classes",),
    "huber": ("number",),
    "l1": ("number",),
    "mse": ("number",),
}
"""The losses of :mod:`converters.training.losses`, and the kinds of target that each is for."""

SEPARATOR = re.compile(r"[|;]")


class Settings(Table):
    """The recipe's table ``[classify]``; without it there is one finding, and a film shows it or not.

    ``labels`` are the data set's words in the order of the network's outputs. Words in ``none`` are no finding: of
    classes, some of ``labels`` ("normal"); of labels, others that the data set has beside them. ``grades`` is how many
    grades there are, from 0. From the grade or number ``at_least`` on a film shows the finding.

    With ``false_per_image`` the strongest places of the activation map are marked as candidate boxes, with at most so
    many on a held-back image without the finding (:mod:`converters.tasks.weak_labels`); of one finding or several
    labels. No outline is learnt from.
    """

    kind: Literal["finding", "labels", "classes", "grades", "number"] = "finding"
    labels: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    grades: int = Field(0, ge=0, le=100)
    at_least: float | None = None
    false_per_image: float | None = Field(None, gt=0.0)


@dataclass(frozen=True, slots=True)
class Kind(ABC):
    """``names`` are the channels' class words, the findings' first; ``order`` their positions in the network."""

    names: tuple[str, ...]
    findings: int
    order: tuple[int, ...]
    at_least: float = 0.0

    name: ClassVar[Literal["labels", "classes", "grades", "number"]]
    loss: ClassVar[str]
    """The loss where a recipe names none (:mod:`converters.training.losses`)."""

    @property
    def channels(self) -> int:
        """How many outputs a network has for it."""
        return len(self.order)

    @abstractmethod
    def target(self, said: str) -> tuple[float, ...]:
        """A film's label as numbers; raises :class:`ValueError` for a word that is none."""

    @abstractmethod
    def shows(self, targets: Targets) -> NDArray[np.int64]:
        """(N, T) → (N, K) 0 or 1: which findings each film shows."""

    @abstractmethod
    def learn(self, targets: Targets, spread: tuple[float, float]) -> NDArray[np.float32]:
        """(N, T) → (N, C): what each channel is to become; ``spread`` is (mean, deviation) of a measured number."""

    def logits(self, answers: NDArray[Any]) -> NDArray[np.float64]:
        """(N, C) outputs of a network → (N, K) logits of the findings, by the box's own rule."""
        return np.asarray(answers[:, : self.findings], dtype=np.float64)

    def stratum(self, target: Sequence[float], label: int) -> int:
        """Films of one stratum are dealt out evenly to the folds and the test part."""
        return label


class Labels(Kind):
    """Any of several findings, or none: class words separated by ``|`` or ``;``."""

    name = "labels"
    loss = "bce"

    def target(self, said: str) -> tuple[float, ...]:
        """One number a finding, 0 or 1."""
        words = [word.strip().casefold() for word in SEPARATOR.split(said)]
        words = [word for word in words if word and word not in (*NEGATIVE_WORDS, "none")]
        known = [name.casefold() for name in self.names]
        if unknown := sorted(set(words) - set(known)):
            raise ValueError(f"the label {unknown[0]} is none of {', '.join(self.names)}")
        return tuple(float(name in words) for name in known[: self.findings])

    def shows(self, targets: Targets) -> NDArray[np.int64]:
        return targets.astype(np.int64)

    def learn(self, targets: Targets, spread: tuple[float, float]) -> NDArray[np.float32]:
        return targets.astype(np.float32)


class Classes(Kind):
    """One of several classes that exclude each other; the findings are those that the recipe does not call none."""

    name = "classes"
    loss = "cross-entropy"

    def target(self, said: str) -> tuple[float, ...]:
        """The class's channel."""
        known = [name.casefold() for name in self.names]
        if said.strip().casefold() not in known:
            raise ValueError(f"the class {said} is none of {', '.join(self.names)}")
        return (float(known.index(said.strip().casefold())),)

    def shows(self, targets: Targets) -> NDArray[np.int64]:
        return np.asarray(targets == np.arange(self.findings), dtype=np.int64)

    def learn(self, targets: Targets, spread: tuple[float, float]) -> NDArray[np.float32]:
        return np.asarray(targets == np.arange(self.channels), dtype=np.float32)

    def logits(self, answers: NDArray[Any]) -> NDArray[np.float64]:
        """The log odds of the softmax."""
        values, odds = answers.astype(np.float64), []
        for channel in range(self.findings):
            rest = np.delete(values, channel, axis=1)
            top = rest.max(axis=1)
            odds.append(values[:, channel] - top - np.log(np.exp(rest - top[:, None]).sum(axis=1)))
        return np.stack(odds, axis=1)

    def stratum(self, target: Sequence[float], label: int) -> int:
        return int(target[0])


class Grades(Kind):
    """A grade from 0; channel j learns whether it is above j (Frank & Hall 2001)."""

    name = "grades"
    loss = "bce"

    def target(self, said: str) -> tuple[float, ...]:
        """The grade."""
        if not said.strip().isdecimal() or int(said) > self.channels:
            raise ValueError(f"the grade {said} is none of 0 to {self.channels}")
        return (float(said),)

    def shows(self, targets: Targets) -> NDArray[np.int64]:
        return (targets >= self.at_least).astype(np.int64)

    def learn(self, targets: Targets, spread: tuple[float, float]) -> NDArray[np.float32]:
        return np.asarray(targets > np.arange(self.channels), dtype=np.float32)

    def logits(self, answers: NDArray[Any]) -> NDArray[np.float64]:
        """The logits of the channel "at least": a film at the grade ``at_least`` is above the grade below it."""
        return np.asarray(answers[:, [self.channel]], dtype=np.float64)

    @property
    def channel(self) -> int:
        """The finding's own."""
        return math.ceil(self.at_least) - 1

    def stratum(self, target: Sequence[float], label: int) -> int:
        return int(target[0])


class Number(Kind):
    """A measured number, such as a width in mm."""

    name = "number"
    loss = "huber"

    def target(self, said: str) -> tuple[float, ...]:
        """The number."""
        try:
            value = float(said)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{said!r} is no number")
        return (value,)

    def shows(self, targets: Targets) -> NDArray[np.int64]:
        return (targets >= self.at_least).astype(np.int64)

    def learn(self, targets: Targets, spread: tuple[float, float]) -> NDArray[np.float32]:
        return np.asarray((targets - spread[0]) / spread[1], dtype=np.float32)


def parse_settings(wanted: Settings, channel: int) -> Kind | None:
    """The kind that a recipe asks for, ``None`` for one finding; ``channel`` is where a network has its number.

    Raises :class:`ValueError` for settings that contradict each other.
    """
    few = (wanted.kind in ("labels", "classes"), bool(wanted.labels))
    if few[0] != few[1] or len({label.casefold() for label in wanted.labels}) != len(wanted.labels):
        raise ValueError("[classify] labels name each label or class once, for kind labels and classes alone")
    if (wanted.kind in ("grades", "number")) != (wanted.at_least is not None):
        raise ValueError("[classify] at_least says from which grade or number on the finding is meant, and only that")
    if (wanted.kind == "grades") != bool(wanted.grades):
        raise ValueError("[classify] grades says how many grades there are, and only that")
    beside = set(wanted.none) & set(wanted.labels)
    if wanted.none and not (few[0] and beside == (set(wanted.none) if wanted.kind == "classes" else set())):
        raise ValueError("[classify] none: of classes, some of the labels; of labels, words beside them; else nothing")
    if len(beside) == len(wanted.labels) > 0:
        raise ValueError("[classify] none: one of the classes at least is a finding")
    if wanted.kind == "classes" and len(wanted.labels) < 2:
        raise ValueError("[classify] labels: classes that exclude each other are two or more")
    if wanted.kind == "labels":
        return Labels((*wanted.labels, *wanted.none), len(wanted.labels), tuple(range(len(wanted.labels))))
    if wanted.kind == "classes":
        findings = tuple(name for name in wanted.labels if name not in wanted.none)
        names = (*findings, *wanted.none)
        return Classes(names, len(findings), tuple(wanted.labels.index(name) for name in names))
    if wanted.kind == "grades":
        if not 0.0 < float(wanted.at_least or 0.0) <= wanted.grades - 1:
            raise ValueError(f"[classify] at_least is a grade above 0, up to {wanted.grades - 1}")
        return Grades((), 1, tuple(range(wanted.grades - 1)), float(wanted.at_least or 0.0))
    if wanted.kind == "number":
        return Number((), 1, (channel,), float(wanted.at_least or 0.0))
    return None


def parse_section(section: Section) -> Kind | None:
    """The kind of a finished pack; ``None`` for one finding, or for labels without recorded class words."""
    output, findings = section.output, section.findings
    measure = findings[0].measure
    if output.kind == "classes":
        return Classes(output.names, len(findings), tuple(range(len(output.names))))
    if output.kind == "grades":
        return Grades((), 1, tuple(range(len(output.biases))), measure.at_least)
    if output.kind == "number":
        return Number((), 1, (findings[0].channel,), measure.at_least)
    return Labels(output.names, len(findings), tuple(range(len(findings)))) if output.names else None


def check_loss(name: str, kind: Kind | None) -> None:
    """Raise :class:`ValueError`, with the names there are, for a loss that is none for this kind of target."""
    own = kind.name if kind is not None else "finding"
    others, fitting = other_losses(), [one for one, meant in LOSSES.items() if own in meant]
    if name not in fitting and (name in LOSSES or name not in others):
        raise ValueError(f"there is no loss {name} for {own}; known are {', '.join((*fitting, *sorted(others)))}")


def other_losses() -> dict[str, str]:
    """Name → where it is, of the losses that other packages bring, for any kind."""
    return {point.name: point.value for point in entry_points(group=LOSS_GROUP)}


def code_of(word: str) -> str:
    """The code of a finding that the data call so: ``Pleural effusion`` → ``pleural_effusion``."""
    return re.sub(r"[^a-z0-9]+", "_", word.casefold()).strip("_")
