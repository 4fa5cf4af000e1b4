"""The licence of a pack's weights, which follows from the data sets that they were made from.

Weights that learnt from non-commercial data are non-commercial; otherwise they are :data:`OURS`, unless the words say
another. Of a network that came with weights of its own nothing is supposed.
"""

import re
from collections.abc import Iterable
from typing import Final

from firmware_app.packs.manifest_types import is_non_commercial

OURS: Final = "Apache-2.0"
NON_COMMERCIAL: Final = "CC-BY-NC-4.0"
_RESTRICTED: Final = re.compile(
    r"non-?\s?commercial|(?<![A-Za-z])NC(?![A-Za-z])|research (use|only|purposes?)|(for|academic) research",
    re.IGNORECASE,
)


def find_weights_licence(said: str | None, sources: Iterable[tuple[str, str]], *, brought: bool = False) -> str | None:
    """``said``, or without it what follows from the ``sources``, (name, licence) each; ``None`` of weights that were
    ``brought`` and of which nothing is said.

    A licence "for research" counts as non-commercial. Raises :class:`ValueError` where a source does not allow it.
    """
    bound = next((name for name, licence in sources if _RESTRICTED.search(licence)), None)
    licence = said if said is not None or brought else OURS
    if bound is not None and (licence is None or not is_non_commercial(licence)):
        raise ValueError(f'the data set “{bound}” is non-commercial: write weights_licence = "{NON_COMMERCIAL}"')
    return licence
