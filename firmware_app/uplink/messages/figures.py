"""How a pack does at a clinic, as the hospital may know it: numbers of confirmed films, and whose they are.

The machine is a digest under a secret of the box: it tells one machine from another and says nothing of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from firmware_app.core.records import LocalState
from firmware_app.uplink.messages.form import Many, Message, OneOf, Text, Whole

MOST_PLACES: Final = 4
"""Packs on machines that one message tells of: as many as always fit an envelope of form 2."""
_COUNT: Final = Whole(0, 10**9)
_ESTIMATE: Final = Many(Whole(0, 100), 3)
"""Value, lower and upper 95 % bound in hundredths; empty where the films do not say."""
Hundredths = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlaceFigures(Message):
    """One finding of a pack on one imaging machine."""

    name: ClassVar = "place"
    pack: Annotated[str, Text(r"[a-z0-9][a-z0-9-]{0,39}")]
    version: Annotated[str, Text(r"\d{1,4}\.\d{1,4}\.\d{1,4}")]
    machine: Annotated[str, Text(r"m-[0-9a-f]{20}")]
    finding: Annotated[str, Text(r"[a-z][a-z0-9_]{0,63}")]
    state: Annotated[LocalState, OneOf(LocalState)]
    threshold: Annotated[int, Whole(0, 10_000)]  # in force, at the pack's own prevalence, in ten-thousandths
    read: Annotated[int, _COUNT]
    confirmed: Annotated[int, _COUNT]
    positives: Annotated[int, _COUNT]
    auc: Annotated[Hundredths, _ESTIMATE]
    sensitivity: Annotated[Hundredths, _ESTIMATE]
    specificity: Annotated[Hundredths, _ESTIMATE]
