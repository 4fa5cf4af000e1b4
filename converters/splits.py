"""Training, validation and test parts: disjoint by patient and by near-duplicate group, the test part frozen.

The test part of a pack is a committed list of file names (``converters/splits/<pack>.test.txt``), drawn once. The
rest is divided afresh by the same rule, so a new film can join training but never slip out of, or into, the test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.failures import DataUnreadable, SplitLeaks

LISTS = Path(__file__).parent / "splits"


@dataclass(frozen=True, slots=True)
class Split:
    """Film names per part."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def part(self, name: str) -> tuple[str, ...]:
        """``train``, ``val`` or ``test``."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        if name not in parts:
            raise DataUnreadable("split", f"{name} is none of {', '.join(parts)}")
        return parts[name]


def draw(
    labels: Mapping[str, int], group_of: Mapping[str, str], fraction: float, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the films of ``labels`` into (rest, drawn): whole groups, ``fraction`` of the films of each kind of group.

    A group is of the positive kind when any of its films is. The order depends on ``seed`` and the names only.
    """
    films_of: dict[str, list[str]] = {}
    for name in sorted(labels):
        films_of.setdefault(group_of[name], []).append(name)
    drawn: list[str] = []
    for kind in (0, 1):
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


def split(
    labels: Mapping[str, int], group_of: Mapping[str, str], val: float, test: float, seed: int, frozen: Sequence[str]
) -> Split:
    """Divide films into three parts; ``val`` and ``test`` are fractions of all films.

    ``frozen`` names the test part when it has been drawn before (empty: it is drawn now). Raises
    :class:`~converters.failures.SplitLeaks` naming the films when a frozen list parts a group, and
    :class:`~converters.failures.DataUnreadable` when a frozen film is absent.
    """
    if frozen:
        absent = sorted(set(frozen) - set(labels))
        if absent:
            raise DataUnreadable("frozen test list", f"{len(absent)} films are absent, the first is {absent[0]}")
        kept_out = tuple(sorted(frozen))
        rest = tuple(name for name in sorted(labels) if name not in set(frozen))
    else:
        rest, kept_out = draw(labels, group_of, test, seed)
    train, held = draw({name: labels[name] for name in rest}, group_of, val / (1.0 - test), seed + 10)
    parts = Split(train, held, kept_out)
    refuse_leaks(parts, group_of)
    return parts


def refuse_leaks(parts: Split, group_of: Mapping[str, str]) -> None:
    """Raise :class:`~converters.failures.SplitLeaks`, naming the films, when a group stands in two parts."""
    seen: dict[str, tuple[str, str]] = {}
    leaks: list[tuple[str, str]] = []
    for part in ("train", "val", "test"):
        for name in parts.part(part):
            first_part, first_name = seen.setdefault(group_of[name], (part, name))
            if first_part != part:
                leaks.append((first_name, name))
    if leaks:
        raise SplitLeaks(leaks)


def frozen_test(pack: str, folder: Path = LISTS) -> tuple[str, ...]:
    """The committed test list of a pack; empty when none was drawn yet. Lines starting with ``#`` are notes."""
    path = folder / f"{pack}.test.txt"
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def freeze_test(pack: str, names: Sequence[str], note: str, folder: Path = LISTS) -> Path:
    """Write the test list of a pack, once; raises :class:`FileExistsError` rather than change one."""
    path = folder / f"{pack}.test.txt"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(f"# {note}\n" + "".join(f"{name}\n" for name in sorted(names)))
    return path
