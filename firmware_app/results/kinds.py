"""What an image shows, in words: its examination and the side from which it was taken."""

from __future__ import annotations

from typing import Final

from firmware_app.core.language import N_, translate
from firmware_app.core.records import Entered, Header
from firmware_app.dicom.examinations import EXAMINATIONS, kind_of, like
from firmware_app.dicom.headers import body_part, view
from firmware_app.reading.choices import OTHER_PART

SIDES: Final = {view.FRONTAL: N_("from the front"), view.LATERAL: N_("from the side")}
POPULATIONS: Final = {"adult": N_("adult"), "children": N_("child")}
_NONE: Final = N_("none of these kinds")
_JOINED: Final = N_("{what}, {side}")


def name(header: Header, language: str) -> str:
    """``Chest X-ray, from the front``; empty where the examination is not one that the clinic can register."""
    kind = kind_of((header.modality or "").strip().upper())
    code = like(kind, body_part.of(header) or "-")
    what = EXAMINATIONS[code].text(language) if code else ""
    return joined(what, side(header), language) if kind == "xray" else what


def side(header: Header) -> str:
    """`view.FRONTAL` or `view.LATERAL`; empty for any other and for none."""
    seen = view.stated(header)
    if seen in ("AP", "PA"):
        return view.FRONTAL
    return seen if isinstance(seen, str) and seen in SIDES else ""


def joined(what: str, seen: str, language: str) -> str:
    """*what* with the side *seen* (a key of `SIDES`, or empty)."""
    if not seen:
        return what
    said = translate(SIDES[seen], language)
    return translate(_JOINED, language).format(what=what, side=said) if what else said


def entered(said: Entered, language: str) -> str:
    """What a person has said: ``Chest X-ray, from the front; adult``."""
    if said.body_part == OTHER_PART:
        what = translate(_NONE, language)
    else:
        code = like(kind_of(said.modality), body_part.examined(said.body_part) or "-")
        what = EXAMINATIONS[code].text(language) if code else said.body_part
        what = joined(what, said.view, language)
    whom = translate(POPULATIONS[said.population], language) if said.population else ""
    return translate(N_("; "), language).join(filter(None, (what, whom)))
