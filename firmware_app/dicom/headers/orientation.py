"""Patient Orientation (PS3.3 C.7.6.1.1.1): which way the rows and the columns of a film run on the patient.

A frontal film is shown with the patient's right on the left: its rows run to the left (L), its columns to the feet (F).
"""

from __future__ import annotations

from typing import Final

_AS_SEEN_FROM_THE_FRONT: Final = ("L", "F", "R", "H")  # each a quarter turn after the one before


def axes(orientation: str | None) -> tuple[str, ...]:
    """The main direction of rows and of columns, as a letter each; that of an axis that says none is empty."""
    return tuple(axis.strip().upper()[:1] for axis in (orientation or "").split("\\"))


def is_from_the_side(orientation: str | None) -> bool:
    """Whether rows or columns run from front to back, as they do on no frontal film."""
    return bool({"A", "P"} & set(axes(orientation)))


def is_mirrored(orientation: str | None) -> bool:
    """Whether the film is a frontal one with left and right exchanged, however it is turned.

    From rows to columns it is a quarter turn clockwise, then, in the other sense.
    """
    known = axes(orientation)
    if len(known) != 2 or not set(known) <= set(_AS_SEEN_FROM_THE_FRONT):
        return False
    rows, columns = map(_AS_SEEN_FROM_THE_FRONT.index, known)
    return (columns - rows) % 4 == 3
