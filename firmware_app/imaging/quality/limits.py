"""Which measure is held against which limit, for which kind of picture, and what follows (docs/decisions/quality.md).

A kind names the pictures that its limits were learnt on; a pack says which kind its images are.  ``python -m
bench.quality`` prints how many good pictures each limit stops and how many bad ones it finds.  Without pixels, so
whoever only needs to know what a result may say needs no numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from firmware_app.imaging.input_spec import QualityKind


@dataclass(frozen=True, slots=True)
class Limit:
    """From `hint` on a person is told; from `refuse` on no model is asked (None: never)."""

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
        "unlike": Limit(0.53, 0.7),  # before the next: what is no chest lies no way at all
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

TINTED: Final = 0.1
"""Share of a frame in tints from which it is no film of a machine but a photograph or a colour scan of one."""
COLOURED: Final = {"none": 0.2, "chest_film": 0.2, "ultrasound": 0.5}
"""Share in full colour from which it is no medical image of its kind; colour Doppler has at most a third."""
BESIDE: Final = 0.3
"""Share of a finding's evidence beside the anatomy from which a person is told (docs/decisions/clips.md)."""
BESIDE_CELLS: Final = 64
"""Along each side of what a model sees, in which that is reckoned (`imaging.beside`)."""


def fired(measured: Mapping[str, float], kind: QualityKind) -> tuple[tuple[str, float], ...]:
    """(measure, number) of those that a person is told of."""
    limits = LIMITS[kind]
    return tuple((name, measured[name]) for name, limit in limits.items() if measured.get(name, -1e9) >= limit.hint)


def refused(measured: Mapping[str, float], kind: QualityKind) -> tuple[str, float] | None:
    """The first (measure, number) for which no model is asked."""
    for name, limit in LIMITS[kind].items():
        if limit.refuse is not None and measured.get(name, -1e9) >= limit.refuse:
            return name, measured[name]
    return None
