"""Whether the films of a machine have changed, as the hospital may know it: shares, medians and how far they moved.

The machine is a digest under a secret of the box, as in `uplink.messages.figures`.  Nothing of a single film is in
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from firmware_app.uplink.messages.form import Many, Message, Nested, OneOf, Text, Whole

MOST_WATCHES: Final = 16
"""Packs on machines that a box tells of, one message each."""
MOST_MEASURES: Final = 12
_SCALE: Final = 10_000
_MOST: Final = 10**9
_NUMBER: Final = Whole(-_MOST, _MOST)


class Drifting(StrEnum):
    """Whether a measure has changed."""

    STEADY = "steady"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class MeasureWatch(Message):
    """One measure of a machine's films: in its first ones and now, in ten-thousandths; `psi` in hundredths."""

    name: ClassVar = "measure"
    measure: Annotated[str, Text(r"[a-z][a-z_]{0,15}")]
    first: Annotated[int, _NUMBER]
    now: Annotated[int, _NUMBER]
    psi: Annotated[int, Whole(0, 9999)]
    state: Annotated[Drifting, OneOf(Drifting)]

    @staticmethod
    def scaled(number: float) -> int:
        """*number* as `first` and `now` have it."""
        return round(_SCALE * max(-_MOST / _SCALE, min(_MOST / _SCALE, number)))


@dataclass(frozen=True, slots=True)
class WatchedPlace(Message):
    """A pack on one imaging machine; without measures until it has seen enough images there."""

    name: ClassVar = "watched"
    pack: Annotated[str, Text(r"[a-z0-9][a-z0-9-]{0,39}")]
    version: Annotated[str, Text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")]
    machine: Annotated[str, Text(r"m-[0-9a-f]{20}")]
    seen: Annotated[int, Whole(0, _MOST)]
    measures: Annotated[tuple[MeasureWatch, ...], Many(Nested(MeasureWatch), MOST_MEASURES)]
