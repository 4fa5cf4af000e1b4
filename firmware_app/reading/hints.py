"""The hints on a reading: what was assumed, how the pixels were interpreted, and how the image was taken.

Each quality measure that reached its limit gives a hint, and so does each sign of a confounder that is known to change
a pack's probability (docs/decisions/quality.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from firmware_app.core.language import N_, register
from firmware_app.core.records import EnteredFacts, Finding, Header, Reason
from firmware_app.dicom import view
from firmware_app.dicom.charset import possible_readings
from firmware_app.dicom.errors import IntakeError
from firmware_app.dicom.header import examine_file
from firmware_app.imaging import image_limits
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.packs.requirements import QualityPolicy

VIEW_ASSUMED: Final = register(
    "hint.view_assumed", N_("The film does not say from which side it was taken; it was read as a frontal film.")
)
AGE_ASSUMED_ADULT: Final = register(
    "hint.age_assumed_adult",
    N_("The film does not give an age; it was read as an adult's, because this clinic sees mostly adults."),
)
AGE_ASSUMED_CHILD: Final = register(
    "hint.age_assumed_child",
    N_("The film does not give an age; it was read as a child's, because this clinic sees mostly children."),
)
PACK_FORCED: Final = register(
    "hint.pack_forced", N_("The model “{pack}” was named by a person; what the image does not say was taken as given.")
)
ENTERED: Final = register(
    "hint.entered", N_("What this image shows was entered by hand; the image itself does not say it.")
)
BODY_PART_FROM_TEXT: Final = register(
    "hint.body_part_from_text",
    N_("The part of the body was taken from the words of the examination, not from its own field."),
)
MIRRORED: Final = register(
    "hint.mirrored",
    N_(
        "The header of this film says that left and right are exchanged in it ({orientation}): the patient's right is "
        "on the right of the picture. Compare the marker on the film and the position of the heart."
    ),
)
ONE_FRAME: Final = register("hint.one_frame", N_("The image holds {frames} frames; only frame {frame} was read."))
FRAMES_READ: Final = register(
    "hint.frames_read", N_("The image holds {frames} frames; {count} of them were read: {read}.")
)
FRAMES_UNFAMILIAR: Final = register(
    "hint.frames_unfamiliar", N_("Frames that look unlike what the model learnt from were not counted: {frames}.")
)
COLOUR_DOPPLER: Final = register(
    "hint.colour_doppler",
    N_("{percent} per cent of the ultrasound picture are in colour (Doppler); the model was made for grey pictures."),
)
COLOUR_FLOW: Final = register(
    "hint.colour_flow",
    N_(
        "The header of this ultrasound picture tells of colour flow (Doppler) in it; the model was made for grey "
        "pictures."
    ),
)
COLOURS_CORRECTED: Final = register(
    "hint.colours_corrected",
    N_("The header of this image names another way of storing colours than its pixels use; the pixels were believed."),
)
COLOURS_UNSURE: Final = register(
    "hint.colours_unsure",
    N_(
        "Header and pixels of this image contradict each other about how colours are stored, and neither can be "
        "proved. If the colours look wrong, look at the original on the machine."
    ),
)
FRAMES_LEFT: Final = register(
    "hint.frames_left",
    N_(
        "The file holds more frames than its header names. Those beyond were neither shown nor read; look at the "
        "original on the machine."
    ),
)
REDUCED: Final = register(
    "hint.reduced",
    N_(
        "This picture has more pixels than the box opens in full, so it was made smaller to be read and shown. Lines "
        "are counted in the pixels of the smaller picture."
    ),
)
NUMBERS_MENDED: Final = register(
    "hint.numbers_mended",
    N_(
        "The header of this image writes numbers otherwise than DICOM has them, with a comma, a blank or a unit. They "
        "were read as they are meant. Compare greys and sizes with the original on the machine."
    ),
)
GREYS_UNREADABLE: Final = register(
    "hint.greys_unreadable",
    N_(
        "The header of this image tells with numbers that cannot be read how its greys are to be shown. So none of "
        "that was used: the greys run from the lowest stored value to the highest and have no unit. Look at the "
        "original on the machine too."
    ),
)
SIZES_UNREADABLE: Final = register(
    "hint.sizes_unreadable",
    N_(
        "The header of this image states the size of its pixels with a number that cannot be read; this number was "
        "not used. Measure on the machine."
    ),
)
COARSE: Final = register(
    "hint.coarse",
    N_(
        "Only {columns} × {rows} pixels of this image reach the model, which learnt from pictures of {width} × "
        "{height}. Fine shadows are lost. Send the original image."
    ),
)
PIXEL_HINTS: Final = (
    COLOURS_CORRECTED,
    COLOURS_UNSURE,
    FRAMES_LEFT,
    REDUCED,
    NUMBERS_MENDED,
    GREYS_UNREADABLE,
    SIZES_UNREADABLE,
)
"""What the decode child may say of how it understood the pixels (`imaging.colour_models`, `imaging.picture`,
`imaging.grey_transforms`)."""
BESIDE: Final = register(
    "hint.beside",
    N_(
        "{percent} per cent of what the machine went by is not the body but marks, letters or edges of the picture. "
        "Do not rely on its number; look at the picture yourself."
    ),
)
UID_FAULTY: Final = register(
    "hint.uid_faulty",
    N_(
        "The machine gave this image an identity that breaks the rules of DICOM ({keywords}). The box took it all the "
        "same, but another system may refuse it. Have the service of the machine correct this."
    ),
)
BYTES_FOLLOW: Final = register(
    "hint.bytes_follow",
    N_(
        "Behind the end of this image its file holds {count} bytes that belong to no part of it. The image itself is "
        "whole; the bytes were kept and not used. Have the service of the machine look at this."
    ),
)
DISPLAY_MISSING: Final = register(
    "hint.display_missing", N_("The picture for the screen could not be made; look at the original on the machine.")
)

COLOURED: Final = 0.02
"""Share of the sector in colour from which it is Doppler: grey pictures have at most 0.002, Doppler
0.1 (docs/decisions/clips.md)."""


def make_hint(code: str, **details: str | int | float) -> Reason:
    """A registered hint with the values of its sentence."""
    return Reason(code, details)


def list_identity_hints(header: Header | None) -> tuple[Reason, ...]:
    """The hint for an object that was accepted although one of its UIDs is not valid."""
    faulty = () if header is None else header.faulty_uids
    return (make_hint(UID_FAULTY, keywords=", ".join(faulty)),) if faulty else ()


def list_file_hints(path: Path, header: Header | None) -> tuple[Reason, ...]:
    """The hint for an object that was accepted although other bytes than padding follow it."""
    if header is None:
        return ()
    try:
        examined = examine_file(path)
    except (IntakeError, OSError):  # the decoder will say what is wrong with it
        return ()
    return (make_hint(BYTES_FOLLOW, count=examined.trailing),) if examined.is_followed else ()


def list_entry_hints(entered: EnteredFacts | None) -> tuple[Reason, ...]:
    """The hint that a person has said what the image shows."""
    return (make_hint(ENTERED),) if entered is not None else ()


def list_pixel_hints(codes: Sequence[str]) -> tuple[Reason, ...]:
    """The hints on how the pixels were understood, from *codes* of `PIXEL_HINTS`."""
    return tuple(make_hint(code) for code in codes)


def list_resolution_hints(columns: int, rows: int, spec: InputSpec) -> tuple[Reason, ...]:
    """The hint where the image has fewer pixels than the model's input, so that it is enlarged.

    Every training image was made *spec*'s size (`imaging.model_input`); so it never learnt from less."""
    if columns >= spec.width and rows >= spec.height:
        return ()
    return (make_hint(COARSE, columns=columns, rows=rows, width=spec.width, height=spec.height),)


def list_unfamiliar_hints(read: Sequence[int], counted: Sequence[int]) -> tuple[Reason, ...]:
    """The hint where not all frames *read* (of the clip, from 0) were *counted* (places among those read)."""
    left = ", ".join(str(frame + 1) for at, frame in enumerate(read) if at not in counted)
    return (make_hint(FRAMES_UNFAMILIAR, frames=left),) if left else ()


def list_outside_hints(findings: Sequence[Finding], beside: Mapping[str, float]) -> tuple[Reason, ...]:
    """The hint where a positive finding rests on what is not tissue (shares *beside* it, by code)."""
    share, code = find_outside_share(findings, beside)
    return (
        (make_hint(BESIDE, percent=round(100 * share), finding=code),)
        if share >= image_limits.OUTSIDE_HINT_SHARE
        else ()
    )


def find_outside_share(findings: Sequence[Finding], beside: Mapping[str, float]) -> tuple[float, str]:
    """The largest of the shares *beside* the tissue that a positive finding has, and its code; 0 without one."""
    shares = [(beside.get(finding.code, 0.0), finding.code) for finding in findings if finding.positive]
    return max(shares, default=(0.0, ""))


def list_frame_hints(read: Sequence[int], frames: int, coloured: float, *, flow: bool = False) -> tuple[Reason, ...]:
    """The hints for a clip of which some frames were *read* (from 0), and for a picture with colours in it or with
    colour *flow* in its header."""
    hints: tuple[Reason, ...] = ()
    if frames > 1 and len(read) == 1:
        hints += (make_hint(ONE_FRAME, frame=read[0] + 1, frames=frames),)
    elif frames > 1:
        numbers = ", ".join(str(frame + 1) for frame in read)
        hints += (make_hint(FRAMES_READ, frames=frames, count=len(read), read=numbers),)
    if coloured >= COLOURED:
        hints += (make_hint(COLOUR_DOPPLER, percent=round(100 * coloured)),)
    elif flow:
        hints += (make_hint(COLOUR_FLOW),)
    return hints


_PALE: Final = register(
    "hint.pale",
    N_("The image is very pale: it may be underexposed, or its window is wrong. Shadows in it may be hidden or false."),
)
_DARK: Final = register(
    "hint.dark",
    N_("The image is very dark: it may be overexposed, or its window is wrong. Shadows in it may be hidden."),
)
CHEST_FILM_HINTS: Final = {
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
        "hint.cut_off", N_("A part of the chest seems to be cut off. What lies outside the image was not read.")
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
ULTRASOUND_HINTS: Final = {
    "blur": CHEST_FILM_HINTS["blur"],
    "noise": CHEST_FILM_HINTS["noise"],
    "pale": _GAIN_HIGH,
    "dark": register(
        "hint.gain_low",
        N_("The ultrasound picture is almost black: turn the gain up, use more gel, and take it again."),
    ),
    "burnt_white": _GAIN_HIGH,
}
QUALITY_HINTS: Final = {"none": {}, "chest_film": CHEST_FILM_HINTS, "ultrasound": ULTRASOUND_HINTS}

CONFOUNDER_HINTS: Final = {
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

ReachedLimits = Sequence[tuple[str, float]]


def list_quality_hints(fired: ReachedLimits, care: QualityPolicy, header: Header | None) -> tuple[Reason, ...]:
    """The hints for the measures in *fired* and for the pack's confounders that the image shows; each sentence once."""
    sentences = QUALITY_HINTS[care.kind]
    signs: set[str] = {confounder.sign for confounder in care.confounders}
    hints: dict[str, Reason] = {}
    for name, number in fired:
        code = CONFOUNDER_HINTS["metal"] if name == "metal" and "metal" in signs else sentences[name]
        hints.setdefault(code, make_hint(code, measure=name, number=number))
    if header is not None:
        for sign in sorted(signs & _find_signs(header)):
            hints.setdefault(CONFOUNDER_HINTS[sign], make_hint(CONFOUNDER_HINTS[sign]))
    return tuple(hints.values())


def _find_signs(header: Header) -> set[str]:
    """The signs of confounders in a header."""
    words = " ".join(filter(None, (header.series_description, header.study_description)))
    shown = {"bedside"} if any(_BEDSIDE.search(reading.upper()) for reading in possible_readings(words)) else set()
    return shown | ({"view_ap"} if view.find_view(header) == "AP" else set())
