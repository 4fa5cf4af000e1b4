"""What is known of a pixel's size.  This module has no pydicom; `spacing` reads the values from a header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The viewer has a sentence for each (`web.words`).
PATIENT: Final = "spacing.patient"
CALIBRATED: Final = "spacing.calibrated"
AT_DETECTOR: Final = "spacing.at_detector"
ESTIMATED: Final = "spacing.estimated"
SCANNED: Final = "spacing.scanned"
UNCALIBRATED: Final = "spacing.uncalibrated"
UNKNOWN: Final = "spacing.unknown"


@dataclass(frozen=True, slots=True)
class Spacing:
    """`mm`: (down, across) in the patient, or None.  `nominal_mm`: the header's value, with the meaning in `label`."""

    label: str
    mm: tuple[float, float] | None = None
    nominal_mm: tuple[float, float] | None = None
