"""Which films the clinic is asked to confirm: drawn when the film is read, under a secret, so that nobody can choose.

- *before*: a random share of all films is asked for before the result is shown;
- *called*: every film that the pack calls positive;
- *low*: a random share of the others, without which nobody could know what is missed.

The draw depends on the case and the finding alone: reading a case again draws nothing new.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum


class Asked(StrEnum):
    """Why the truth of a film is asked for."""

    BEFORE = "before"
    LOW = "low"
    CALLED = "called"


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of films that are drawn: of all, before their result is shown, and of those below the threshold."""

    before: float
    low: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.before < 1.0 and 0.0 < self.low < 1.0):
            raise ValueError(f"shares of {self.before} and {self.low} cannot be drawn")

    @property
    def below(self) -> float:
        """The probability with which a film below the threshold is asked for."""
        return 1.0 - (1.0 - self.before) * (1.0 - self.low)


@dataclass(frozen=True, slots=True)
class Draw:
    """Why a film is asked for (``None``: it is not), and the probability for a film on its side of the threshold."""

    asked: Asked | None
    probability: float


def draw(secret: bytes, case: str, finding: str, called: bool, shares: Shares) -> Draw:
    """The draw for one finding of one case; *called*: the score reached the threshold."""
    before = _uniform(secret, "before", case, finding) < shares.before
    if called:
        return Draw(Asked.BEFORE if before else Asked.CALLED, 1.0)
    if before:
        return Draw(Asked.BEFORE, shares.below)
    low = _uniform(secret, "low", case, finding) < shares.low
    return Draw(Asked.LOW if low else None, shares.below)


def _uniform(secret: bytes, *words: str) -> float:
    """A number in [0, 1) that only the secret's holder can foresee."""
    digest = hmac.new(secret, "\0".join(words).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
