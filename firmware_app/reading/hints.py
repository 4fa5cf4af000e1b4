"""What a reader of a result should know first: sentences that stand beside a number without refusing it."""

from __future__ import annotations

from typing import Final

from firmware_app.language import N_, register
from firmware_app.records import Reason

VIEW_ASSUMED: Final = register(
    "hint.view_assumed", N_("The film does not say from which side it was taken; it was read as a frontal film.")
)
AGE_ASSUMED_ADULT: Final = register(
    "hint.age_assumed_adult",
    N_("The film does not give an age; it was read as an adult's, because [box] usual_population is set to “adult”."),
)
AGE_ASSUMED_CHILD: Final = register(
    "hint.age_assumed_child",
    N_("The film does not give an age; it was read as a child's, because [box] usual_population is set to “children”."),
)
PACK_FORCED: Final = register(
    "hint.pack_forced", N_("The model “{pack}” was named by a person; what the image does not say was taken as given.")
)
BODY_PART_FROM_TEXT: Final = register(
    "hint.body_part_from_text",
    N_("The part of the body was taken from the words of the examination, not from its own field."),
)
ONE_FRAME: Final = register("hint.one_frame", N_("The image holds {frames} frames; only frame {frame} was read."))
DISPLAY_MISSING: Final = register(
    "hint.display_missing", N_("The picture for the screen could not be made; look at the original on the machine.")
)


def hint(code: str, **details: str | int | float) -> Reason:
    """A registered hint with the values of its sentence."""
    return Reason(code, details)
