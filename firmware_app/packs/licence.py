"""Under which licence the weights of a pack may be used: an SPDX identifier, and how people read it."""

import re
from typing import Final

SPDX: Final = r"^[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*$"
_CREATIVE_COMMONS: Final = re.compile(r"\bCC-((?:BY|NC|SA|ND)(?:-(?:BY|NC|SA|ND))*)-(\d\.\d)")
_NON_COMMERCIAL: Final = re.compile(r"(?<![A-Za-z0-9])NC(?![A-Za-z0-9])", re.IGNORECASE)


def is_non_commercial(licence: str) -> bool:
    """Whether an SPDX identifier is one that rules out commercial use."""
    return _NON_COMMERCIAL.search(licence) is not None


def spoken(licence: str | None) -> str:
    """As people write it: ``CC BY-NC 4.0`` for ``CC-BY-NC-4.0``; ``–`` where a pack does not say."""
    return "–" if licence is None else _CREATIVE_COMMONS.sub(r"CC \1 \2", licence)
