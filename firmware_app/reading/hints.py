"""Hints that a doctor should read before a result: sentences shown with a number that do not refuse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from firmware_app.core.errors import IntakeError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Entered, Finding, Header, Reason
from firmware_app.dicom.headers.header import examine
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.quality import limits

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
    "hint.frames_unfamiliar",
    N_("Frames that look unlike what the model learnt from were not counted: {frames}."),
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
OF_PIXELS: Final = (
    COLOURS_CORRECTED,
    COLOURS_UNSURE,
    FRAMES_LEFT,
    REDUCED,
    NUMBERS_MENDED,
    GREYS_UNREADABLE,
    SIZES_UNREADABLE,
)
"""What the decode child may say of how it understood the pixels (`imaging.photometric`, `imaging.picture`,
`imaging.doubts`)."""
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
0.1 (`bench.sector`)."""


def hint(code: str, **details: str | int | float) -> Reason:
    """A registered hint with the values of its sentence."""
    return Reason(code, details)


def of_identity(header: Header | None) -> tuple[Reason, ...]:
    """The hint for an object that was accepted although one of its UIDs is not valid."""
    faulty = () if header is None else header.faulty_uids
    return (hint(UID_FAULTY, keywords=", ".join(faulty)),) if faulty else ()


def of_file(path: Path, header: Header | None) -> tuple[Reason, ...]:
    """The hint for an object that was accepted although other bytes than padding follow it."""
    if header is None:
        return ()
    try:
        examined = examine(path)
    except (IntakeError, OSError):  # the decoder will say what is wrong with it
        return ()
    return (hint(BYTES_FOLLOW, count=examined.trailing),) if examined.is_followed else ()


def of_entered(entered: Entered | None) -> tuple[Reason, ...]:
    """The hint that a person has said what the image shows."""
    return (hint(ENTERED),) if entered is not None else ()


def of_pixels(codes: Sequence[str]) -> tuple[Reason, ...]:
    """The hints on how the pixels were understood, from *codes* of `OF_PIXELS`."""
    return tuple(hint(code) for code in codes)


def of_resolution(columns: int, rows: int, spec: InputSpec) -> tuple[Reason, ...]:
    """The hint where the image has fewer pixels than the model's input, so that it is enlarged.

    Every training image was made *spec*'s size (`imaging.model_input`); so it never learnt from less."""
    if columns >= spec.width and rows >= spec.height:
        return ()
    return (hint(COARSE, columns=columns, rows=rows, width=spec.width, height=spec.height),)


def of_unfamiliar(read: Sequence[int], counted: Sequence[int]) -> tuple[Reason, ...]:
    """The hint where not all frames *read* (of the clip, from 0) were *counted* (places among those read)."""
    left = ", ".join(str(frame + 1) for at, frame in enumerate(read) if at not in counted)
    return (hint(FRAMES_UNFAMILIAR, frames=left),) if left else ()


def of_beside(findings: Sequence[Finding], beside: Mapping[str, float]) -> tuple[Reason, ...]:
    """The hint where a positive finding rests on what is not tissue (shares *beside* it, by code)."""
    share, code = not_of_tissue(findings, beside)
    return (hint(BESIDE, percent=round(100 * share), finding=code),) if share >= limits.BESIDE else ()


def not_of_tissue(findings: Sequence[Finding], beside: Mapping[str, float]) -> tuple[float, str]:
    """The largest of the shares *beside* the tissue that a positive finding has, and its code; 0 without one."""
    shares = [(beside.get(finding.code, 0.0), finding.code) for finding in findings if finding.positive]
    return max(shares, default=(0.0, ""))


def of_frames(read: Sequence[int], frames: int, coloured: float, *, flow: bool = False) -> tuple[Reason, ...]:
    """The hints for a clip of which some frames were *read* (from 0), and for a picture with colours in it or with
    colour *flow* in its header."""
    hints: tuple[Reason, ...] = ()
    if frames > 1 and len(read) == 1:
        hints += (hint(ONE_FRAME, frame=read[0] + 1, frames=frames),)
    elif frames > 1:
        numbers = ", ".join(str(frame + 1) for frame in read)
        hints += (hint(FRAMES_READ, frames=frames, count=len(read), read=numbers),)
    if coloured >= COLOURED:
        hints += (hint(COLOUR_DOPPLER, percent=round(100 * coloured)),)
    elif flow:
        hints += (hint(COLOUR_FLOW),)
    return hints
