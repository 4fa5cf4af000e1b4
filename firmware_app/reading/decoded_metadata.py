"""The facts about an image that the decode child returns beside its pixels.

They are scale, frame rate, quality of the frames, and coded diagnoses. They travel as JSON and are checked on arrival:
a hostile file may have taken over the child.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from firmware_app.imaging.pixel_size import SQUARE, Scale, is_aspect

MOST_SCALES: Final = 64
MOST_DIAGNOSES: Final = 32
_DIAGNOSIS: Final = re.compile(r"[A-Za-z0-9_.-]{1,16}:[A-Za-z0-9_.-]{1,16}", re.ASCII)
_LARGEST_MM: Final = 1000.0


@dataclass(frozen=True, slots=True)
class DecodedMetadata:
    """`scales`: parts of the frames whose pixel size is known.  `rate_hz`: of a clip, where the file says it.

    `weights`: the quality of each frame that was read, from 0 to 1; empty for a single one.  `diagnoses`: those that
    the header codes, each as ``SCHEME:CODE`` (PS3.3 8.8), for example ``I10:B18.1``.  `aspect`: the height of a pixel
    over its width.
    """

    scales: tuple[Scale, ...] = ()
    rate_hz: float | None = None
    weights: tuple[float, ...] = ()
    diagnoses: tuple[str, ...] = ()
    aspect: float = SQUARE

    def to_object(self) -> dict[str, Any]:
        """Its fields as JSON."""
        return {
            "scales": [list(astuple(scale)) for scale in self.scales],
            "rate_hz": self.rate_hz,
            "weights": list(self.weights),
            "diagnoses": list(self.diagnoses),
            "aspect": self.aspect,
        }


def check_metadata(head: Mapping[str, Any], read: int) -> DecodedMetadata:
    """The same from the header of a message about *read* frames; raises `ValueError` for anything else."""
    rate, weights = head.get("rate_hz"), _check_list(head, "weights", read)
    if rate is not None and not (isinstance(rate, (int, float)) and 0 < rate < math.inf):
        raise ValueError
    if weights and (len(weights) != read or not all(_is_number(one) and 0 < one <= 1 for one in weights)):
        raise ValueError
    diagnoses = _check_list(head, "diagnoses", MOST_DIAGNOSES)
    if not all(isinstance(one, str) and _DIAGNOSIS.fullmatch(one) for one in diagnoses):
        raise ValueError
    scales = tuple(_check_scale(one) for one in _check_list(head, "scales", MOST_SCALES))
    aspect = head.get("aspect", SQUARE)
    if not (_is_number(aspect) and is_aspect(aspect)):
        raise ValueError
    return DecodedMetadata(scales, rate, tuple(float(one) for one in weights), tuple(diagnoses), float(aspect))


def format_diagnosis(scheme: str, code: str) -> str | None:
    """The form of one coded diagnosis; None for one that has not the form of a code."""
    said = f"{scheme.strip()}:{code.strip()}"
    return said if _DIAGNOSIS.fullmatch(said) else None


def _check_list(head: Mapping[str, Any], name: str, most: int) -> Sequence[Any]:
    values = head.get(name, [])
    if not isinstance(values, list) or len(values) > most:
        raise ValueError
    return values


def _check_scale(values: object) -> Scale:
    if not isinstance(values, list) or len(values) != 7:
        raise ValueError
    *corners, down, across, first = values
    if not all(isinstance(one, int) and 0 <= one < 2**31 for one in corners) or not isinstance(first, bool):
        raise ValueError
    if not all(one is None or (_is_number(one) and 0 < one < _LARGEST_MM) for one in (down, across)):
        raise ValueError
    x0, y0, x1, y1 = corners
    return Scale(x0=x0, y0=y0, x1=x1, y1=y1, mm_down=down, mm_across=across, first=first)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
