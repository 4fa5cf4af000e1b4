"""Hints on how an image was taken: one for each quality measure that reached its limit, and one for each sign of a
confounder that is known to change a pack's probability (docs/decisions/quality.md)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from firmware_app.core.language import N_, register
from firmware_app.core.records import Header, Reason
from firmware_app.dicom.headers import view
from firmware_app.dicom.headers.charset import possible_readings
from firmware_app.packs.scope import Care
from firmware_app.reading.hints import hint

_PALE: Final = register(
    "hint.pale",
    N_("The image is very pale: it may be underexposed, or its window is wrong. Shadows in it may be hidden or false."),
)
_DARK: Final = register(
    "hint.dark",
    N_("The image is very dark: it may be overexposed, or its window is wrong. Shadows in it may be hidden."),
)
OF_A_FILM: Final = {
    "blur": register("hint.blur", N_("The image is blurred: small shadows cannot be seen. Please repeat it.")),
    "motion": register(
        "hint.motion", N_("The image shows motion: please repeat it, with the breath held and the patient supported.")
    ),
    "noise": register(
        "hint.noise", N_("The image is grainy, as with too little exposure. Fine shadows in it may be grain.")
    ),
    "pale": _PALE,
    "dark": _DARK,
    "burnt_white": _PALE,
    "burnt_black": _DARK,
    "metal": register(
        "hint.metal",
        N_("Something very bright, such as metal, lies over the patient. It may hide or imitate a finding."),
    ),
    "cut_off": register(
        "hint.cut_off",
        N_("A part of the chest seems to be cut off. What lies outside the image was not read."),
    ),
    "turned": register(
        "hint.turned", N_("The film may lie on its side or upside down. If it does, turn it and send it again.")
    ),
    "unlike": register(
        "hint.unlike", N_("The image looks little like a frontal chest film. Check what was sent before you trust it.")
    ),
}
_GAIN_HIGH: Final = register(
    "hint.gain_high", N_("The ultrasound picture is too bright: turn the gain down and take it again.")
)
OF_ULTRASOUND: Final = {
    "blur": OF_A_FILM["blur"],
    "noise": OF_A_FILM["noise"],
    "pale": _GAIN_HIGH,
    "dark": register(
        "hint.gain_low",
        N_("The ultrasound picture is almost black: turn the gain up, use more gel, and take it again."),
    ),
    "burnt_white": _GAIN_HIGH,
}
OF_KIND: Final = {"none": {}, "chest_film": OF_A_FILM, "ultrasound": OF_ULTRASOUND}

OF_SIGN: Final = {
    "view_ap": register(
        "hint.confounder_view_ap",
        N_("The film was taken from the front (AP), as of patients who cannot stand; that alone moves this model."),
    ),
    "bedside": register(
        "hint.confounder_bedside",
        N_("The film was taken at the bedside; that alone, whatever it shows, moves this model."),
    ),
    "metal": register(
        "hint.confounder_metal",
        N_("Something very bright, such as metal or a tube, lies over the patient; that alone moves this model."),
    ),
}
_BEDSIDE: Final = re.compile(r"\b(PORTABLE|BEDSIDE|MOBILE)\b|床[旁边]|移动")

Fired = Sequence[tuple[str, float]]


def of(fired: Fired, care: Care, header: Header | None) -> tuple[Reason, ...]:
    """The hints for the measures in *fired* and for the pack's confounders that the image shows; each sentence once."""
    sentences = OF_KIND[care.kind]
    signs: set[str] = {one.sign for one in care.confounders}
    hints: dict[str, Reason] = {}
    for name, number in fired:
        code = OF_SIGN["metal"] if name == "metal" and "metal" in signs else sentences[name]
        hints.setdefault(code, hint(code, measure=name, number=number))
    if header is not None:
        for sign in sorted(signs & _signs(header)):
            hints.setdefault(OF_SIGN[sign], hint(OF_SIGN[sign]))
    return tuple(hints.values())


def _signs(header: Header) -> set[str]:
    """The signs of confounders in a header."""
    words = " ".join(filter(None, (header.series_description, header.study_description)))
    shown = {"bedside"} if any(_BEDSIDE.search(one.upper()) for one in possible_readings(words)) else set()
    return shown | ({"view_ap"} if view.stated(header) == "AP" else set())
