"""kill -9 at random instants, the same ones for the same seed as far as the machine allows.

Whose turn it is is shuffled and not drawn, so that also a short attack strikes every process of the box.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping

import psutil

SHORTEST_S, LONGEST_S = 0.4, 1.5


class Killer(threading.Thread):
    """Kills one of whoever plays a role just now, every 0.4 to 1.5 s, until `stop` or *most* kills.

    Nobody is struck a second time while a role that is there has not been struck in this round.
    """

    def __init__(
        self, cast: Callable[[], Mapping[str, psutil.Process]], chance: random.Random, most: int | None = None
    ) -> None:
        super().__init__(name="killer")
        self._cast, self._chance, self._most = cast, chance, most
        self._enough = threading.Event()
        self.struck: Counter[str] = Counter()
        self._done: set[str] = set()  # in this round

    def run(self) -> None:
        while not self._enough.wait(self._chance.uniform(SHORTEST_S, LONGEST_S)):
            self._strike()
            if self._most is not None and self.struck.total() >= self._most:
                return

    def _strike(self) -> None:
        cast = self._cast()
        if not cast:
            return
        if not cast.keys() - self._done:
            self._done.clear()
        role = self._chance.choice(sorted(cast.keys() - self._done))
        try:
            cast[role].kill()
        except psutil.Error:
            return
        self.struck[role] += 1
        self._done.add(role)

    def stop(self) -> None:
        self._enough.set()
        self.join()
