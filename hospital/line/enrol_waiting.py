"""Requests to be enrolled until they are looked at, which costs an scrypt each: a few of each box, in turn.

Anybody may send requests under the id of a box that has a label.  What they send for one box never takes the place of
another's, and of one box's a random one gives way: none can be pushed out for certain.  What was looked at and was not
made with the label's code is not looked at twice.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final

MOST_OF_A_BOX: Final = 32
_MOST_STRANGE: Final = 4096


class Waiting:
    """The last request of each token, by box; `take` gives the oldest of the box whose turn it is."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.SystemRandom()
        self._of: dict[str, dict[str, bytes]] = {}
        self._strange: dict[bytes, None] = {}

    def add(self, box: str, token: str, body: bytes) -> None:
        """Remember a request for *box* that came under *token*; a repeated one keeps its place in the row."""
        if _mark(body) in self._strange:
            return
        waiting = self._of.setdefault(box, {})
        waiting[token] = body
        if len(waiting) > MOST_OF_A_BOX:
            del waiting[self._chance.choice(list(waiting))]

    def take(self) -> tuple[str, bytes] | None:
        """Token and request that are to be looked at next; None where nothing waits."""
        if not self._of:
            return None
        box = next(iter(self._of))
        waiting = self._of.pop(box)
        token = next(iter(waiting))
        body = waiting.pop(token)
        if waiting:
            self._of[box] = waiting  # behind the others
        return token, body

    def refuse(self, body: bytes) -> None:
        """*body* was made by a stranger."""
        self._strange[_mark(body)] = None
        if len(self._strange) > _MOST_STRANGE:
            del self._strange[next(iter(self._strange))]


def _mark(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
