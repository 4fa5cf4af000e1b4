"""From which side an X-ray was taken: ViewPosition where it is given, else a word of the series' description."""

from __future__ import annotations

import re
from typing import Final

LATERAL: Final = "LATERAL"
_LATERAL: Final = re.compile(r"(?<![A-Z])(?:LAT|LATERAL|LL|RL|LLAT|RLAT)(?![A-Z])|侧位")
_FRONTAL: Final = re.compile(r"(?<![A-Z])(?:AP|PA|FRONTAL)(?![A-Z])|正位|正侧位|后前位")


def stated(view_position: str | None, series_description: str | None) -> str | None:
    """The view as a short upper-case word, None when nothing says it.

    A description that names both (“PA and lateral”) speaks of the study, not of this film, and is not used.
    """
    code = re.sub(r"[^A-Z]", "", (view_position or "").upper())[:16]
    if code:
        return LATERAL if _LATERAL.search(code) else code
    words = (series_description or "").upper()
    if _LATERAL.search(words) and not _FRONTAL.search(words):
        return LATERAL
    return None
