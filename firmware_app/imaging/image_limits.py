"""The limits that an image is held against: its size, its quality measures, and the exceptions of broken bytes.

docs/decisions/quality.md says how many good pictures each quality limit stops and how many bad ones it detects.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from firmware_app.imaging.input_spec import QualityKind


@dataclass(frozen=True, slots=True)
class QualityLimit:
    """From `hint` on, the doctor gets a hint; from `refuse` on, no model is run (None: never)."""

    hint: float
    refuse: float | None = None


QUALITY_LIMITS: Final[Mapping[QualityKind, Mapping[str, QualityLimit]]] = {
    "none": {},
    "chest_film": {
        "blur": QualityLimit(5.3),
        "motion": QualityLimit(1.9),
        "noise": QualityLimit(0.009),
        "pale": QualityLimit(0.93),
        "dark": QualityLimit(0.8),
        "burnt_white": QualityLimit(0.05),
        "burnt_black": QualityLimit(0.02),
        "metal": QualityLimit(0.015),
        "cut_off": QualityLimit(2.3),
        "unlike": QualityLimit(0.53, 0.7),  # before "turned": without a chest there is no orientation
        "turned": QualityLimit(0.5, 2.0),
    },
    "ultrasound": {
        "blur": QualityLimit(5.1),
        "noise": QualityLimit(0.021),
        "pale": QualityLimit(0.72),
        "dark": QualityLimit(0.96),
        "burnt_white": QualityLimit(0.05),
    },
}
"""By kind and measure."""

DRIFT_MEASURES: Final = ("blur", "noise", "pale")
"""Measures that are kept of every image, so that a change of the machine is seen (`core.drift_tests`)."""

TINTED_SHARE: Final = 0.1
"""Share of tinted pixels from which a frame is a photograph or a colour scan of a film, not a machine's image."""
COLOURED_SHARE: Final = {"none": 0.2, "chest_film": 0.2, "ultrasound": 0.5}
"""Share of fully coloured pixels from which it is no medical image of its kind; colour Doppler has at most a third."""
OUTSIDE_HINT_SHARE: Final = 0.3
"""Share of a finding's evidence that is not of tissue from which the doctor gets a hint."""
OUTSIDE_REFUSAL_SHARE: Final = 0.5
"""The share from which there is no number; both are argued in docs/decisions/explanation.md."""
OUTSIDE_CELLS: Final = 64
"""Cells along each side of the model's view, in which this share is computed (`outside_anatomy`)."""

MOST_SCALES: Final = 64
MOST_DIAGNOSES: Final = 32
DIAGNOSIS_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,16}:[A-Za-z0-9_.-]{1,16}$"
"""The form of a coded diagnosis, ``SCHEME:CODE``."""


def find_quality_hints(measured: Mapping[str, float], kind: QualityKind) -> tuple[tuple[str, float], ...]:
    """(measure, number) of each measure that gives a hint."""
    limits = QUALITY_LIMITS[kind]
    return tuple((name, measured[name]) for name, limit in limits.items() if measured.get(name, -1e9) >= limit.hint)


def select_drift_measures(measured: Mapping[str, float]) -> dict[str, float]:
    """The measures by which drift is watched, of those that were taken."""
    return {name: measured[name] for name in DRIFT_MEASURES if name in measured}


def find_refusal(measured: Mapping[str, float], kind: QualityKind) -> tuple[str, float] | None:
    """The first (measure, number) for which no model is run; None without one."""
    for name, limit in QUALITY_LIMITS[kind].items():
        if limit.refuse is not None and measured.get(name, -1e9) >= limit.refuse:
            return name, measured[name]
    return None


LONGEST_SIDE_PX: Final = 32_768
MOST_FRAMES: Final = 100_000

DECODING_ERRORS: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    OSError,
    MemoryError,
    AssertionError,
    SyntaxError,  # Pillow's, of a TIFF whose pages it cannot follow
    zlib.error,
)
