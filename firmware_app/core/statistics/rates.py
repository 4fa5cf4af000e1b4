"""A share of films and its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

Z95: Final = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""

Interval = tuple[float, float]


def wilson(share: float, n: float, z: float = Z95) -> Interval:
    """Wilson (1927) score interval of *share* of *n* films; *n* > 0 may be an effective number, and no whole one."""
    z2 = z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``n``, as a fraction; ``None`` where ``n`` is 0.

    ``interval`` takes the films for independent: where several are of one patient it is too narrow.
    """

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        """The fraction."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Wilson (1927) score interval, 95 %."""
        return wilson(self.hits / self.n, self.n) if self.n else None
