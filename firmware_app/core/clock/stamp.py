"""A moment as it is stored and shown: when, and whether the clock that said so could be trusted.

One text form for rows, audit and files: ISO 8601 in UTC, and a ``?`` behind it when the clock was not trusted
(ISO 8601-2:2019, 8.2: "uncertain").  The mark is part of the value: it is hashed, copied and rescued with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_UNSURE: Final = "?"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment in UTC; `trusted` is whether the box's clock was when it was taken."""

    at: datetime
    trusted: bool

    def text(self, timespec: str = "milliseconds") -> str:
        """``2026-11-21T03:15:09.250+00:00``, with a ``?`` at the end when untrusted."""
        return self.at.astimezone(UTC).isoformat(timespec=timespec) + ("" if self.trusted else _UNSURE)

    @property
    def day(self) -> str:
        """``2026-11-21``, or ``2026-11-21?``, for a sentence."""
        return f"{self.at:%Y-%m-%d}" + ("" if self.trusted else _UNSURE)

    @property
    def minute(self) -> str:
        """``2026-11-21 11:15 +0800`` in the machine's zone, with a ``?`` behind it when untrusted, for a sentence."""
        return f"{self.at.astimezone():%Y-%m-%d %H:%M %z}" + ("" if self.trusted else _UNSURE)


def parse(text: str) -> Stamp:
    """The stamp of a stored text; raises `ValueError` when it is none."""
    at = datetime.fromisoformat(text.removesuffix(_UNSURE))
    return Stamp(at if at.tzinfo else at.replace(tzinfo=UTC), not text.endswith(_UNSURE))
