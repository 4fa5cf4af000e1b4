"""Reasons for which an image gets no number."""

from __future__ import annotations

from firmware_app.core.errors.base import Refusal
from firmware_app.core.errors.judgement import ImagingError
from firmware_app.core.errors.packs import RuntimeFault
from firmware_app.core.language import N_
from firmware_app.dicom.errors import CannotJudge
from firmware_app.imaging.errors import WatchError
from firmware_app.packs.errors import PackError

IMAGE_FILE_MISSING = Refusal(
    ImagingError,
    "imaging.missing",
    N_(
        "The file of this image is no longer on the disk of this box, so there is nothing to read. "
        "Send the image again from the machine that made it."
    ),
)


AGE_OUTSIDE = Refusal(
    CannotJudge,
    "age",
    N_("The patient is {age} years old; no installed model was made for that age. A doctor must read this film."),
)


AGE_UNCLEAR = Refusal(
    CannotJudge,
    "age.unclear",
    N_(
        "The patient's age on the film cannot be understood or contradicts its dates. No model was chosen. Enter the "
        "age."
    ),
)
"""Names no text of the header: what was typed into an age field may be a name."""


MODALITY_NOT_COVERED = Refusal(
    CannotJudge,
    "reading.modality",
    N_("No installed model reads images of the kind “{modality}”. A doctor must read this image."),
)


MODALITY_UNKNOWN = Refusal(
    CannotJudge,
    "reading.modality_unknown",
    N_(
        "The image does not say what it shows or what machine made it, so no model was asked. Say what it is, or read "
        "it yourself."
    ),
)


BODY_PART_NOT_COVERED = Refusal(
    CannotJudge,
    "reading.body_part",
    N_("No installed model reads this part of the body ({body_part}). A doctor must read this image."),
)


BODY_PART_UNKNOWN = Refusal(
    CannotJudge,
    "reading.body_part_unknown",
    N_(
        "The image does not say which part of the body it shows, so no model was asked. Say what it is, or read it "
        "yourself."
    ),
)


BODY_PART_CONTRADICTED = Refusal(
    CannotJudge,
    "reading.body_part_contradicted",
    N_(
        "The image names two parts of the body that are not the same ({body_part} and {other_part}), one in words and "
        "one as a code, or two codes. No model was asked. Say what it is, or read it yourself, and have the service of "
        "the machine correct its settings."
    ),
)


VIEW_NOT_COVERED = Refusal(
    CannotJudge,
    "reading.view",
    N_("The installed models read frontal films only; this one is marked “{view}”. A doctor must read it."),
)


VIEW_UNCLEAR = Refusal(
    CannotJudge,
    "reading.view_unclear",
    N_(
        "The description of the examination names a frontal and another view, and the film does not say which one it "
        "is. Say which it is, or read it yourself."
    ),
)


VIEW_CONTRADICTED = Refusal(
    CannotJudge,
    "reading.view_contradicted",
    N_(
        "The view position of the film and its view code, or two codes, name different views, so it is not clear from "
        "which side it was taken. Say which it is, or read it yourself, and have the service of the machine correct "
        "its settings."
    ),
)


SIDE_CONTRADICTED = Refusal(
    CannotJudge,
    "reading.side_contradicted",
    N_(
        "The image is marked as of the left in one field and as of the right in another, so it may be another image's "
        "header and was given no number. A doctor must read it; have the service of the machine correct its settings."
    ),
)


FOR_PROCESSING = Refusal(
    CannotJudge,
    "reading.for_processing",
    N_(
        "The machine sent the detector's raw data, which no model reads. "
        "Set it to send the image “FOR PRESENTATION” and send it again."
    ),
)


NO_PACK_INSTALLED = Refusal(
    CannotJudge,
    "reading.no_pack",
    N_("No working model is installed on this box. Call the technician: “lantern doctor” says what to do."),
)


IMAGE_UNFAMILIAR = Refusal(
    CannotJudge,
    "reading.unfamiliar",
    N_(
        "The image looks unlike those that the model “{pack}” learnt from (distance {distance}, at most {limit}), so "
        "it was given no number. Check that it is the examination, the view and the patient that it is named for. "
        "A doctor must read it."
    ),
)
"""How far the image lies from those that the model learnt from, and how far it may (`packs.typicality`)."""


PACK_UNSURE = Refusal(
    CannotJudge,
    "pack.unsure",
    N_(
        "The model “{pack}” is not sure of this image: films with and without the finding look like it to the model, "
        "or its two networks disagree, so it was given no number. That means neither normal nor abnormal. A doctor "
        "must read it."
    ),
)
"""The model's probability lies where the pack has both classes, or neither (`packs.manifest`), or its two
    networks disagree (`packs.tasks.classify`)."""


EXPLAIN_SHORTCUT = Refusal(
    CannotJudge,
    "explain.shortcut",
    N_(
        "The model “{pack}” looked at marks, not at tissue: {percent} per cent of what it went by are letters, "
        "callipers, rulers or edges of the picture. So it was given no number. A doctor must read this image; saved "
        "once more without marks, it can be sent again."
    ),
)
"""Most of a positive finding's evidence is not of tissue (`imaging.outside_anatomy`)."""


PACK_TRIAL_CRASHED = Refusal(
    PackError,
    "pack.trial_crashed",
    N_(
        "Version {version} of the model pack “{pack}” stopped twice over one image while it was on trial ({detail}). "
        "It was left, and {before} reads on. Tell its publisher the words in brackets."
    ),
)


PACK_TRIAL_STALLED = Refusal(
    PackError,
    "pack.trial_stalled",
    N_(
        "Version {version} of the model pack “{pack}” gave no answer in time while it was on trial (more than "
        "{seconds} seconds, twice). It was left, and {before} reads on. Tell its publisher."
    ),
)


PACK_TRIAL_UNFIT = Refusal(
    PackError,
    "pack.trial_unfit",
    N_(
        "Version {version} of the model pack “{pack}” no longer gives the right results for its own test images on "
        "this box ({detail}). It was left, and {before} reads on. Tell its publisher the words in brackets."
    ),
)


PACK_TRIAL_FAILED = Refusal(
    PackError,
    "pack.trial_failed",
    N_(
        "Version {version} of the model pack “{pack}” failed on {images} images that {before} could read. It was left, "
        "and {before} reads on. Tell its publisher."
    ),
)


RUNTIME_WRONG = Refusal(
    RuntimeFault,
    "runtime.wrong",
    N_(
        "The model “{pack}” answers wrongly on {runtime} in {precision}: for its test image {case} it gives {given} "
        "instead of {expected} ({finding}; {tolerance} apart is allowed). It is not run in this way."
    ),
)


RUNTIME_STOPPED = Refusal(
    RuntimeFault,
    "runtime.stopped",
    N_("The model “{pack}” stopped {runtime} in {precision} when it was tried ({detail}). It is not run in this way."),
)


RUNTIME_HUNG = Refusal(
    RuntimeFault,
    "runtime.hung",
    N_(
        "The model “{pack}” gave no answer on {runtime} in {precision} within {seconds} seconds when it was tried. "
        "It is not run in this way."
    ),
)


SOURCE_STALLED = Refusal(WatchError, "watch.stalled", N_("No new frame has come for {seconds} s."))


FRAME_GONE = Refusal(
    WatchError,
    "watch.frame_gone",
    N_("This frame is no longer held, so it was not kept. Press “Keep this frame” sooner."),
)
