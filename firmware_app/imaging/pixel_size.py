"""What is known of a pixel's size.  `spacing` reads it from a header; here is what it finds, without pydicom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The viewer has the sentence for each (`web.words`).
PATIENT: Final = "spacing.patient"
CALIBRATED: Final = "spacing.calibrated"
AT_DETECTOR: Final = "spacing.at_detector"
ESTIMATED: Final = "spacing.estimated"
SCANNED: Final = "spacing.scanned"
UNCALIBRATED: Final = "spacing.uncalibrated"
UNKNOWN: Final = "spacing.unknown"


@dataclass(frozen=True, slots=True)
class Spacing:
    """`mm`: (down, across) of the patient, or None.  `nominal_mm`: as the header has it, meaning what `label` says."""

    label: str
    mm: tuple[float, float] | None = None
    nominal_mm: tuple[float, float] | None = None
