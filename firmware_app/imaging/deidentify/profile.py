"""Table E.1-1 of PS3.15: what the basic profile does with each attribute.

The table comes from the package `dicom-anonymizer`, which generates it from the standard; its code is not used.  Where
the standard's action depends on the attribute's type, the action that is legal for every type is taken.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Final

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table

EDITION: Final = "2026c"


class Action(Enum):
    """The actions of PS3.15 E.3 that the box applies to an attribute."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    NEW_UID = "U"
    NEW_UIDS_INSIDE = "U*"


# X/Z, X/D and so on depend on the attribute's type: an empty value is legal for types 3 and 2, a dummy for all types.
_ACTIONS: Final = (
    (Action.REMOVE, table.X_TAGS),
    (Action.EMPTY, table.Z_TAGS),
    (Action.EMPTY, table.X_Z_TAGS),
    (Action.DUMMY, table.D_TAGS),
    (Action.DUMMY, table.Z_D_TAGS),
    (Action.DUMMY, table.X_D_TAGS),
    (Action.DUMMY, table.X_Z_D_TAGS),
    (Action.NEW_UID, table.U_TAGS),
    (Action.NEW_UIDS_INSIDE, table.X_Z_U_STAR_TAGS),
)


@cache
def actions() -> dict[int, Action]:
    """The action by tag, for all attributes with a single tag."""
    return {group << 16 | element: action for action, tags in _ACTIONS for group, element, *rest in tags if not rest}


def action(tag: int) -> Action | None:
    """The profile's action for *tag*; None where the profile does not name it.

    The whole groups of private attributes, curves (50xx) and overlays (60xx, with their text) are removed.
    """
    group = tag >> 16
    if group % 2 or group & 0xFF00 in (0x5000, 0x6000):
        return Action.REMOVE
    return actions().get(tag)
