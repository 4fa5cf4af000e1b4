"""The mark by which the box knows the DICOM objects that it made itself, when a PACS or a stick brings them back.

Every object that `results.dicom_objects` makes names *Lantern* as its manufacturer and *Lantern result object* as its
model, and holds a private element (PS3.5 7.8): creator ``LANTERN RESULT``, (0009,xx01), the object's kind.  Archives
remove private elements more often than the equipment, and one of the two signs is enough.
"""

from __future__ import annotations

from typing import Final

MANUFACTURER: Final = "Lantern"
MODEL: Final = "Lantern result object"
CREATOR: Final = "LANTERN RESULT"
GROUP: Final = 0x0009
CREATOR_TAG: Final = 0x00090010
"""Where our objects reserve their block: a private creator by itself is proof enough, wherever its values went."""


def is_own(manufacturer: str | None, model: str | None, creator: str | None) -> bool:
    """Whether an object with these values was made by a box of this kind."""
    return creator == CREATOR or (manufacturer, model) == (MANUFACTURER, MODEL)
