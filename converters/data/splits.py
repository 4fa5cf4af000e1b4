"""Folds and the frozen test part: disjoint by patient and by near-duplicate group.

The test part of a pack is a list of file names beside its recipe (``<pack>.test.txt``; of our own recipes it is
committed in ``converters/splits/``), drawn once. The rest is divided afresh by the same rule, so a new film can join
training but never slip out of, or into, the test.  Every look at it is noted (:mod:`converters.data.frozen_test_log`).

With several folds each film outside the test is held back once, so that a model which has not seen it predicts it; the
pack ships a last model that has seen them all. With one fold the pack ships the model that was judged on ``val``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters.failures import ClassEmpty, DataUnreadable, OutputUnwritable, SplitLeaks

LISTS = Path(__file__).parents[1] / "splits"
RECIPES = Path(__file__).parents[1] / "recipes"

WHOLE = "whole"
"""The name of the model that is trained on every film outside the test part."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Names of the films a model learns from, and of those that only judge it."""

    name: str
    train: tuple[str, ...]
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Division:
    """The folds and the frozen test part."""

    folds: tuple[Fold, ...]
    test: tuple[str, ...]
    joined: tuple[str, ...] = field(default=(), repr=False)
    """Films that are only learnt from, and judge nothing: a clinic's feedback, and sets with a head of their own."""

    @property
    def shipped(self) -> Fold:
        """What the pack's own model learns from: everything outside the test, or the only fold's part."""
        if len(self.folds) == 1:
            return self.folds[0]
        every = {name for fold in self.folds for name in fold.held} | set(self.joined)
        return Fold(WHOLE, tuple(sorted(every)), self.folds[0].held)

    def part(self, name: str) -> tuple[str, ...]:
        """``train``, ``val`` (held back by any fold) or ``test``."""
        held = tuple(sorted(name for fold in self.folds for name in fold.held))
        parts = {"train": self.shipped.train, "val": held, "test": self.test}
        if name not in parts:
            raise DataUnreadable("split", f"{name} is none of {', '.join(parts)}")
        return parts[name]


def draw(
    labels: Mapping[str, int], group_of: Mapping[str, str], fraction: float, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the films of ``labels`` into (rest, drawn): whole groups, ``fraction`` of the films of each kind of group.

    A group is of the largest of its films' kinds: of 0 and 1, of the positive one. The order depends on ``seed`` and
    the names only.
    """
    films_of: dict[str, list[str]] = {}
    for name in sorted(labels):
        films_of.setdefault(group_of[name], []).append(name)
    drawn: list[str] = []
    for kind in sorted(set(labels.values()) | {0, 1}):
        members = [group for group, names in films_of.items() if max(labels[name] for name in names) == kind]
        order = np.random.default_rng(seed + kind).permutation(len(members))
        wanted = fraction * sum(len(films_of[group]) for group in members)
        taken = 0
        for index in order:
            if taken >= wanted:
                break
            names = films_of[members[int(index)]]
            drawn += names
            taken += len(names)
    chosen = set(drawn)
    return tuple(name for name in sorted(labels) if name not in chosen), tuple(sorted(drawn))


def divide(
    labels: Mapping[str, int],
    group_of: Mapping[str, str],
    folds: int,
    val: float,
    test: float,
    seed: int,
    frozen: Sequence[str],
    strata: Mapping[str, int] | None = None,
) -> Division:
    """Divide films; ``val`` (with one fold) and ``test`` are fractions of all films.

    Films of one of ``strata`` are dealt out evenly, of one label where there are none.

    ``frozen`` names the test part when it has been drawn before (empty: it is drawn now). Raises
    :class:`~converters.failures.SplitLeaks` naming the films when a frozen list parts a group,
    :class:`~converters.failures.DataUnreadable` when a frozen film is absent, and
    :class:`~converters.failures.ClassEmpty` when a part would hold one class only.
    """
    if frozen:
        absent = sorted(set(frozen) - set(labels))
        if absent:
            raise DataUnreadable("frozen test list", f"{len(absent)} films are absent, the first is {absent[0]}")
        kept_out = tuple(sorted(frozen))
        rest = tuple(name for name in sorted(labels) if name not in set(frozen))
    else:
        rest, kept_out = draw(strata or labels, group_of, test, seed)
    left = {name: (strata or labels)[name] for name in rest}
    if folds == 1:
        train, held = draw(left, group_of, val / (1.0 - test), seed + 10)
        made = [Fold("fold0", train, held)]
    else:
        made = _folds(left, group_of, folds, seed + 10)
    division = Division(tuple(made), kept_out)
    for fold in division.folds:
        refuse_leaks({"train": fold.train, "held": fold.held, "test": kept_out}, group_of)
        for names in (fold.train, fold.held):
            for label, word in ((0, "negative"), (1, "positive")):
                if not any(labels[name] == label for name in names):
                    raise ClassEmpty(fold.name, word)
    return division


def _folds(labels: Mapping[str, int], group_of: Mapping[str, str], folds: int, seed: int) -> list[Fold]:
    """Whole groups dealt out one by one, the largest first, to the fold that has the fewest films of their kind."""
    films_of: dict[str, list[str]] = {}
    for name in sorted(labels):
        films_of.setdefault(group_of[name], []).append(name)
    held: list[list[str]] = [[] for _ in range(folds)]
    order = [sorted(films_of)[int(index)] for index in np.random.default_rng(seed).permutation(len(films_of))]
    for kind in sorted(set(labels.values()) | {0, 1}):
        counts = [0] * folds
        members = [group for group in order if max(labels[name] for name in films_of[group]) == kind]
        for group in sorted(members, key=lambda one: -len(films_of[one])):
            least = counts.index(min(counts))
            held[least] += films_of[group]
            counts[least] += len(films_of[group])
    return [
        Fold(f"fold{number}", tuple(sorted(set(labels) - set(names))), tuple(sorted(names)))
        for number, names in enumerate(held)
    ]


def join(division: Division, names: Sequence[str], group_of: Mapping[str, str]) -> Division:
    """The division with more films to learn from; which films judge stays as it was, so that models can be compared.

    A film whose group is held back from a fold does not join that fold. Raises
    :class:`~converters.failures.SplitLeaks`, naming the films, when a group stands in the test part.
    """
    refuse_leaks({"test": division.test, "joined": names}, group_of)
    folds = []
    for fold in division.folds:
        held = {group_of[name] for name in fold.held}
        more = {name for name in names if group_of[name] not in held}
        folds.append(Fold(fold.name, tuple(sorted({*fold.train, *more})), fold.held))
    return Division(tuple(folds), division.test, (*division.joined, *names))


def by_source(labels: Mapping[str, int], group_of: Mapping[str, str], source_of: Mapping[str, str]) -> list[Fold]:
    """Leave one source out: a fold for each, whose films judge a model that has seen none of that source.

    Of a patient who was seen at two sources no film is learnt from while either is left out. A film that is not in
    ``source_of``, or of the source "", is never left out.
    """
    folds = []
    for source in sorted(set(source_of.values()) - {""}):
        held = tuple(sorted(name for name in labels if source_of.get(name) == source))
        away = {group_of[name] for name in held}
        train = tuple(sorted(name for name in labels if group_of[name] not in away))
        folds.append(Fold(f"without-{source}", train, held))
    return folds


def refuse_leaks(parts: Mapping[str, Sequence[str]], group_of: Mapping[str, str]) -> None:
    """Raise :class:`~converters.failures.SplitLeaks`, naming the films, when a group is in two parts."""
    seen: dict[str, tuple[str, str]] = {}
    leaks: list[tuple[str, str]] = []
    for part, names in parts.items():
        for name in names:
            first_part, first_name = seen.setdefault(group_of[name], (part, name))
            if first_part != part:
                leaks.append((first_name, name))
    if leaks:
        raise SplitLeaks(leaks)


def frozen_test(pack: str, folder: Path = LISTS) -> tuple[str, ...]:
    """The committed test list of a pack; empty when none was drawn yet. Lines starting with ``#`` are notes."""
    path = folder / f"{pack}.test.txt"
    return names_in(path) if path.exists() else ()


def names_in(path: Path) -> tuple[str, ...]:
    """The names of films in a frozen list; lines that start with # are notes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def freeze_test(pack: str, names: Sequence[str], note: str, folder: Path = LISTS) -> Path:
    """Write the test list of a pack, once; raises :class:`FileExistsError` rather than change one, and
    :class:`~converters.failures.OutputUnwritable`."""
    path = folder / f"{pack}.test.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(f"# {note}\n" + "".join(f"{name}\n" for name in sorted(names)))
    except FileExistsError:
        raise
    except OSError as error:
        raise OutputUnwritable(str(path), error.strerror or str(error)) from error
    return path


def is_ours(near: Path) -> bool:
    """Whether the recipes in the folder ``near`` are this repository's own."""
    return near.resolve() == RECIPES.resolve()


def lists_of(near: Path) -> Path:
    """Where the test lists of the recipes in the folder ``near`` are: beside them, of our own in :data:`LISTS`."""
    return LISTS if is_ours(near) else near
