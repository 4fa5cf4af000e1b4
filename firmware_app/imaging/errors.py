"""Refusals of pixels: what no frame can be made of, and what no model may see."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal, own_python
from firmware_app.core.errors.judgement import ImagingError
from firmware_app.core.language import N_
from firmware_app.dicom.errors import CannotJudge


class ExportError(LanternError):
    """Nothing left the box, or one image stayed behind."""


EXPORT_NO_ROOM = Refusal(
    ExportError,
    "export.no_room",
    N_(
        "The box's own disk has {free_mb} MB left, too little for this export, so nothing was exported. Delete nothing "
        "on it by hand. Export onto a stick that is mounted; if that is so already, set a larger room_mb or a smaller "
        "keep_days under [retention] in the configuration, so that the box deletes more old finished cases, or give "
        "it a larger disk."
    ),
)


EXPORT_NO_SECTOR = Refusal(
    ExportError,
    "export.no_sector",
    N_("In this image the ultrasound cannot be told apart from the machine's text, so it was not exported."),
)


EXPORT_TEXT_FOUND = Refusal(
    ExportError,
    "export.text_found",
    N_(
        "Something that looks like letters is in the picture (frame {frame}) and may name a person, so the image was "
        "not exported. Look at every image of the case; if no letters name anybody, export it again with --looked."
    ),
)


EXPORT_TEXT_UNCHECKED = Refusal(
    ExportError,
    "export.text_unchecked",
    N_(
        "This box was installed without the part that looks for letters in pictures, so the image was not exported. "
        "Look at every image of the case and, if no letters name anybody, export it again with --looked; or the "
        "technician adds the part with “{python} -m pip install --no-deps 'rapidocr<3.9'”."
    ),
    usual={"python": own_python},
)


EXPORT_TOO_LARGE = Refusal(
    ExportError,
    "export.too_large",
    N_("Uncompressed, this image takes {megabytes} MB, more than the {most} MB that one exported file may."),
)


class NoPixels(ImagingError):
    code = "imaging.no_pixels"
    sentence = N_("This object holds no image (it may be a report or a plan), so there is nothing to read.")


CLIP_WITHOUT_PICTURES = Refusal(
    ImagingError,
    "imaging.empty_clip",
    N_(
        "This clip contains no picture: the recording was stopped too early, or it holds only sound. Record it again, "
        "or copy it again from the machine."
    ),
)


class PixelsUnsupported(ImagingError):
    code = "imaging.unsupported"
    sentence = N_(
        "The image stores its pixels in a way that this version cannot show. Ask for it to be exported again, "
        "uncompressed."
    )
    detail: str
    unsaid = ("detail",)


SIGN_CONTRADICTED = Refusal(
    ImagingError,
    "imaging.sign",
    N_(
        "The header says that no value of this image is below zero, but its compressed pixels hold values below zero, "
        "so it is not clear what is dark and what is bright. Ask for it to be exported again, uncompressed."
    ),
)


VIDEO_READER_MISSING = Refusal(
    ImagingError,
    "imaging.no_video",
    N_(
        "This is a video clip, and Lantern was installed without the part that reads video. The clip is unharmed. "
        "The technician adds the part with “{python} -m pip install av”; clips that come after that are read."
    ),
    usual={"python": own_python},
)


class FrameTooLarge(ImagingError):
    """`megapixels`: how many there may be of such a picture, in millions."""

    code = "imaging.too_large"
    sentence = N_(
        "The image has {columns} × {rows} pixels by its header; of this kind the box opens images of up to "
        "{megapixels} million pixels and {side} along a side. Save or export it with fewer pixels and give it again."
    )
    columns: int
    rows: int
    megapixels: int = 33
    side: int = 32_768


class ImageUnfit(CannotJudge):
    """The pixels can be no film, whatever the header says (`imaging.quality_checks`)."""


IMAGE_OF_PAGES = Refusal(
    ImageUnfit,
    "quality.pages",
    N_(
        "This file holds {pages} pages, which may be different films, so it was given no number. Save each page as a "
        "file of its own and give them again."
    ),
)


NO_VOLUME = Refusal(
    ImageUnfit,
    "quality.no_volume",
    N_(
        "The model for this image reads a whole volume in one file, and of the {frames} frames of this file {slices} "
        "lie evenly behind each other, so it was given no number. Send the scan as one file with all its frames."
    ),
)
"""The model reads volumes, and the slices of the file are none (`imaging.model_frames`)."""


IMAGE_TOO_SMALL = Refusal(
    ImageUnfit,
    "quality.too_small",
    N_("The image has {columns} × {rows} pixels; at least {least} on each side are needed. Send the original image."),
)


IMAGE_BELOW_LEAST = Refusal(
    ImageUnfit,
    "reading.too_small",
    N_(
        "Only {columns} × {rows} pixels of this image reach the model, which needs at least {least} on the shorter "
        "side, so it was given no number. Send the original from the machine that took it, not a reduced copy."
    ),
)
"""`least`: what the pack asks of the shorter side (`packs.requirements.QualityPolicy.least_px`)."""


IMAGE_ODD_SHAPE = Refusal(
    ImageUnfit,
    "quality.shape",
    N_("The image has {columns} × {rows} pixels, which is not the shape of a film. Send the whole image."),
)


IMAGE_BLANK = Refusal(
    ImageUnfit,
    "quality.blank",
    N_("The image is blank or nearly so (greys in use: {greys}). Check the exposure and send it again."),
)


IMAGE_NOT_A_FILM = Refusal(
    ImageUnfit,
    "quality.not_a_film",
    N_("The image shows no connected shapes, as noise or a test pattern does, so it was not read as a film."),
)


class ImageTurned(ImageUnfit):
    code = "quality.turned"
    sentence = N_(
        "The film lies on its side or upside down, or black and white are exchanged, so it was given no number. "
        "Turn it at the machine and send it again."
    )


IMAGE_UNLIKE = Refusal(
    ImageUnfit,
    "quality.unlike",
    N_("The image does not look like a frontal chest film, so it was not read as one. Check what was sent."),
)


IMAGE_OF_COLOUR = Refusal(
    ImageUnfit,
    "quality.colour",
    N_("This is a picture in full colour, not an image of the kind that the model reads, so it was not read."),
)


IMAGE_PHOTOGRAPHED = Refusal(
    ImageUnfit,
    "quality.photographed",
    N_(
        "This is a photograph or a colour scan of a film, and the model was not made for such. "
        "Send the original image from the machine."
    ),
)


class SeriesUnfit(CannotJudge):
    """The slices of a series make no volume of which a number would be honest (`imaging.scan_volumes`)."""


LOCALIZER_LEFT_OUT = Refusal(
    SeriesUnfit,
    "series.localizer",
    N_("This is a localizer, taken to plan the scan. It is no slice of the volume, and nothing is missing."),
)


NO_SLICE = Refusal(
    SeriesUnfit,
    "series.no_slice",
    N_("The header does not say where in the body this image lies, so it is in no volume. A doctor must look at it."),
    unsaid=("detail",),
)
"""Names the attribute of the header that is missing or cannot be."""


SLICES_TOO_FEW = Refusal(
    SeriesUnfit, "series.too_few", N_("Only {slices} slices belong together; a volume needs at least {least}.")
)


SLICES_MISSING = Refusal(
    SeriesUnfit,
    "series.missing",
    N_("The slices are {step_mm} mm apart, but {missing} of them are missing in between. Send the whole series again."),
)


SLICES_TWICE = Refusal(
    SeriesUnfit,
    "series.twice",
    N_(
        "Slices with the position of another slice that show something else: {slices}. Nothing in their "
        "headers tells them apart. Send each pass of the scan as a series of its own."
    ),
)


SPACING_UNEVEN = Refusal(
    SeriesUnfit,
    "series.uneven",
    N_(
        "The distance from slice to slice changes between {least_mm} and {most_mm} mm, so the series is no one volume. "
        "Reconstruct it at one distance and send it again."
    ),
)


SLICES_ASKEW = Refusal(
    SeriesUnfit,
    "series.askew",
    N_(
        "The slices do not lie behind one another on one straight line (off by {off_mm} mm), so they are no one "
        "volume. Send each scan as a series of its own."
    ),
)


VOLUME_TOO_LARGE = Refusal(
    SeriesUnfit,
    "series.too_large",
    N_(
        "The series has {slices} slices and would take {megabytes} MB, more than this box opens at once. "
        "Reconstruct it with thicker slices and send it again."
    ),
)


NOT_HOUNSFIELD = Refusal(
    SeriesUnfit,
    "series.not_hounsfield",
    N_("The values of these slices are not known to be Hounsfield units, so no density is given for them."),
    unsaid=("detail",),
)
"""Names the attribute of the header that stands in the way."""


class WatchError(LanternError):
    """A source of live frames cannot be read, or its frames are not read."""


SOURCE_UNREACHABLE = Refusal(
    WatchError,
    "watch.unreachable",
    N_(
        "The source cannot be opened: {detail}. Check that the machine is on, the cable is in and the address is right."
    ),
)


SOURCE_LOST = Refusal(
    WatchError, "watch.lost", N_("The source is lost: {detail}. It is opened again as soon as it answers.")
)


SOURCE_ENDED = Refusal(WatchError, "watch.ended", N_("The clip has ended; nothing more comes."))
