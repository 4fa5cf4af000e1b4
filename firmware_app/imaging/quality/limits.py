"""The limit of each quality measure by kind of picture, and what follows from it (docs/decisions/quality.md).

A kind names the pictures on which its limits were learnt; a pack declares the kind of its images.  ``python -m
bench.quality`` prints how many good pictures each limit stops and how many bad ones it detects.  This module has no
pixels and needs no numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from firmware_app.imaging.input_spec import QualityKind


@dataclass(frozen=True, slots=True)
class Limit:
    """From `hint` on, the doctor gets a hint; from `refuse` on, no model is run (None: never)."""

    hint: float
    refuse: float | None = None


LIMITS: Final[Mapping[QualityKind, Mapping[str, Limit]]] = {
    "none": {},
    "chest_film": {
        "blur": Limit(5.3),
        "motion": Limit(1.9),
        "noise": Limit(0.009),
        "pale": Limit(0.93),
        "dark": Limit(0.8),
        "burnt_white": Limit(0.05),
        "burnt_black": Limit(0.02),
        "metal": Limit(0.015),
        "cut_off": Limit(2.3),
        "unlike": Limit(0.53, 0.7),  # before "turned": without a chest there is no orientation
        "turned": Limit(0.5, 2.0),
    },
    "ultrasound": {
        "blur": Limit(5.1),
        "noise": Limit(0.021),
        "pale": Limit(0.72),
        "dark": Limit(0.96),
        "burnt_white": Limit(0.05),
    },
}
"""By kind and measure."""

WATCHED: Final = ("blur", "noise", "pale")
"""Measures that are kept of every image, so that a change of the machine is seen (`core.statistics.shift`)."""

TINTED: Final = 0.1
"""Share of tinted pixels from which a frame is a photograph or a colour scan of a film, not a machine's image."""
COLOURED: Final = {"none": 0.2, "chest_film": 0.2, "ultrasound": 0.5}
"""Share of fully coloured pixels from which it is no medical image of its kind; colour Doppler has at most a third."""
BESIDE: Final = 0.3
"""Share of a finding's evidence that is not of tissue from which the doctor gets a hint."""
SHORTCUT: Final = 0.5
"""The share from which there is no number; both by `python -m bench.beside` (docs/decisions/explanation.md)."""
BESIDE_CELLS: Final = 64
"""Cells along each side of the model's view, in which this share is computed (`quality.beside`)."""


def fired(measured: Mapping[str, float], kind: QualityKind) -> tuple[tuple[str, float], ...]:
    """(measure, number) of each measure that gives a hint."""
    limits = LIMITS[kind]
    return tuple((name, measured[name]) for name, limit in limits.items() if measured.get(name, -1e9) >= limit.hint)


def watched(measured: Mapping[str, float]) -> dict[str, float]:
    """The measures by which drift is watched, of those that were taken."""
    return {name: measured[name] for name in WATCHED if name in measured}


def refused(measured: Mapping[str, float], kind: QualityKind) -> tuple[str, float] | None:
    """The first (measure, number) for which no model is run; None without one."""
    for name, limit in LIMITS[kind].items():
        if limit.refuse is not None and measured.get(name, -1e9) >= limit.refuse:
            return name, measured[name]
    return None
