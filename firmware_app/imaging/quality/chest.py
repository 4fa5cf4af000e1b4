"""Checks learnt from frontal chest films: its orientation, whether a side is cut off, whether it is a chest at all.

Each check is a product of templates with a 16 × 16 thumbnail.  ``python -m converters.shipped_packs.chest_templates``
learns the templates from public films and writes `FILE_NAME`; docs/decisions/quality.md names the films and the
accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.quality.look import Look

FILE_NAME: Final = "chest.npz"
ARRAYS: Final = ("upright", "cut", "means")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Templates:
    """`upright` is (256,); `cut` (4, 257), for left, right, top, bottom, the last column a constant; `means` (M, 256),
    average films of length 1."""

    upright: Floats
    cut: Floats
    means: Floats

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, upright=self.upright, cut=self.cut, means=self.means)

    @classmethod
    def load(cls, path: Path) -> Templates:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return cls(*(np.asarray(kept[name], np.float32) for name in ARRAYS))


@cache
def shipped() -> Templates:
    """The templates shipped with the box."""
    return Templates.load(Path(__file__).with_name(FILE_NAME))


def turned(look: Look, by: Templates | None = None) -> float:
    """How much more upright the film looks when turned by a quarter, a half or three quarters than as it is.

    In log odds: 0 means equally likely; an upright film is below 0.
    """
    template = (by or shipped()).upright
    as_it_lies, *others = (float(one.reshape(-1) @ template) for one in turns(look.thumbnail))
    return max(others) - as_it_lies


def cut_off(look: Look, by: Templates | None = None) -> float:
    """Log odds that a quarter or more of the film is missing at one side, for the worst side; learnt from equal numbers
    of cut and whole films."""
    thumbnail = np.append(look.thumbnail.reshape(-1), 1.0)
    return float(((by or shipped()).cut @ thumbnail).max())


def unlike(look: Look, by: Templates | None = None) -> float:
    """1 minus the correlation with the nearest average film, in any orientation and mirrored: 0 to 2."""
    lying = [one for turn in turns(look.thumbnail) for one in (turn, turn[:, ::-1])]
    return 1.0 - float(((by or shipped()).means @ np.stack(lying).reshape(len(lying), -1).T).max())


def turns(thumbnail: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The thumbnail as it is, and turned by one, two and three quarters."""
    return tuple(np.ascontiguousarray(np.rot90(thumbnail, quarters)) for quarters in range(4))
