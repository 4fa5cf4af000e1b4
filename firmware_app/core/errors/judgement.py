"""Accepted, but no frame a model may see can be made of it, or no honest number can be given."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, own_python
from firmware_app.core.language import N_, register_terms

register_terms(
    "modality",
    {
        "CR": N_("X-ray"),
        "DX": N_("X-ray"),
        "RF": N_("fluoroscopy"),
        "XA": N_("angiography"),
        "MG": N_("mammography"),
        "US": N_("ultrasound"),
        "IVUS": N_("intravascular ultrasound"),
        "CT": "CT",
        "MR": "MR",
        "NM": N_("nuclear medicine"),
        "PT": "PET",
        "ES": N_("endoscopy"),
        "SM": N_("microscopy"),
        "IO": N_("dental X-ray"),
        "PX": N_("dental X-ray"),
        "XC": N_("photograph"),
        "OP": N_("photograph of the eye"),
        "OPT": N_("tomography of the eye"),
        "ECG": N_("ECG"),
        "SC": N_("screen picture"),
        "OT": N_("other"),
    },
)
_PARTS = {
    "CHEST": N_("chest"),
    "BREAST": N_("breast"),
    "LIVER": N_("liver"),
    "ABDOMEN": N_("abdomen"),
    "SPINE": N_("spine"),
    "BONE": N_("bone"),
    "EXTREMITY": N_("arm or leg"),
    "HEAD": N_("head"),
    "THYROID": N_("thyroid"),
    "UTERUS": N_("uterus"),
    "PROSTATE": N_("prostate"),
    "HEART": N_("heart"),
    "GALLBLADDER": N_("gall bladder"),
    "PANCREAS": N_("pancreas"),
    "SPLEEN": N_("spleen"),
    "OTHERPART": N_("other"),
}
register_terms("body_part", _PARTS)
register_terms("other_part", _PARTS)
register_terms(
    "view",
    {
        "LATERAL": N_("from the side"),
        "OBLIQUE": N_("oblique"),
        "DECUBITUS": N_("lying on the side"),
        "LORDOTIC": N_("lordotic"),
        "AXIAL": N_("axial"),
        "OTHER": N_("other"),
        "FRONTAL": N_("from the front"),
    },
)

# --- pixels ---------------------------------------------------------------------------------------------------


class ImagingError(LanternError):
    """The object was accepted, but no frame a model may see can be made of it."""


class NoPixels(ImagingError):
    code = "imaging.no_pixels"
    sentence = N_("This object holds no image (it may be a report or a plan), so there is nothing to read.")


class ImageFileMissing(ImagingError):
    code = "imaging.missing"
    sentence = N_(
        "The file of this image is no longer on the disk of this box, so there is nothing to read. "
        "Send the image again from the machine that made it."
    )


class Undecodable(ImagingError):
    code = "imaging.undecodable"
    sentence = N_(
        "The image cannot be decoded: its data are damaged or incomplete. Ask for it to be exported again, "
        "uncompressed."
    )
    detail: str
    unsaid = ("detail",)


class ClipWithoutPictures(ImagingError):
    code = "imaging.empty_clip"
    sentence = N_(
        "This clip contains no picture: the recording was stopped too early, or it holds only sound. Record it again, "
        "or copy it again from the machine."
    )


class PixelsUnsupported(ImagingError):
    code = "imaging.unsupported"
    sentence = N_(
        "The image stores its pixels in a way that this version cannot show. Ask for it to be exported again, "
        "uncompressed."
    )
    detail: str
    unsaid = ("detail",)


class SignContradicted(ImagingError):
    code = "imaging.sign"
    sentence = N_(
        "The header says that no value of this image is below zero, but its compressed pixels hold values below zero, "
        "so it is not clear what is dark and what is bright. Ask for it to be exported again, uncompressed."
    )


class VideoReaderMissing(ImagingError):
    code = "imaging.no_video"
    sentence = N_(
        "This is a video clip, and Lantern was installed without the part that reads video. The clip is unharmed. "
        "The technician adds the part with “{python} -m pip install av”; clips that come after that are read."
    )
    python: str = own_python()


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


class MemoryShort(ImagingError):
    code = "imaging.memory"
    sentence = N_(
        "Opening this image takes more memory than the box gives to one image, so it was not opened. "
        "It need not be damaged. Save or export it with fewer pixels and give it again."
    )


# --- no honest number -----------------------------------------------------------------------------------------


class CannotJudge(LanternError):
    """Nothing is broken, but a number would not be honest."""


class AgeOutside(CannotJudge):
    code = "age"
    sentence = N_(
        "The patient is {age} years old; no installed model was made for that age. A doctor must read this film."
    )
    age: int


class AgeUnknown(CannotJudge):
    code = "age.unknown"
    sentence = N_(
        "The film does not say how old the patient is, and children and adults need different models. Enter the age."
    )


class AgeUnclear(CannotJudge):
    """Names no text of the header: what was typed into an age field may be a name."""

    code = "age.unclear"
    sentence = N_(
        "The patient's age on the film cannot be understood or contradicts its dates. No model was chosen. Enter the "
        "age."
    )


class ModalityNotCovered(CannotJudge):
    code = "reading.modality"
    sentence = N_("No installed model reads images of the kind “{modality}”. A doctor must read this image.")
    modality: str


class ModalityUnknown(CannotJudge):
    code = "reading.modality_unknown"
    sentence = N_(
        "The image does not say what it shows or what machine made it, so no model was asked. Say what it is, or read "
        "it yourself."
    )


class BodyPartNotCovered(CannotJudge):
    code = "reading.body_part"
    sentence = N_("No installed model reads this part of the body ({body_part}). A doctor must read this image.")
    body_part: str


class BodyPartUnknown(CannotJudge):
    code = "reading.body_part_unknown"
    sentence = N_(
        "The image does not say which part of the body it shows, so no model was asked. Say what it is, or read it "
        "yourself."
    )


class BodyPartContradicted(CannotJudge):
    code = "reading.body_part_contradicted"
    sentence = N_(
        "The image names two parts of the body that are not the same ({body_part} and {other_part}), one in words and "
        "one as a code, or two codes. No model was asked. Say what it is, or read it yourself, and have the service of "
        "the machine correct its settings."
    )
    body_part: str
    other_part: str


class ViewNotCovered(CannotJudge):
    code = "reading.view"
    sentence = N_("The installed models read frontal films only; this one is marked “{view}”. A doctor must read it.")
    view: str


class ViewUnclear(CannotJudge):
    code = "reading.view_unclear"
    sentence = N_(
        "The description of the examination names a frontal and another view, and the film does not say which one it "
        "is. Say which it is, or read it yourself."
    )


class ViewContradicted(CannotJudge):
    code = "reading.view_contradicted"
    sentence = N_(
        "The view position of the film and its view code, or two codes, name different views, so it is not clear from "
        "which side it was taken. Say which it is, or read it yourself, and have the service of the machine correct "
        "its settings."
    )


class SideContradicted(CannotJudge):
    code = "reading.side_contradicted"
    sentence = N_(
        "The image is marked as of the left in one field and as of the right in another, so it may be another image's "
        "header and was given no number. A doctor must read it; have the service of the machine correct its settings."
    )


class ForProcessing(CannotJudge):
    code = "reading.for_processing"
    sentence = N_(
        "The machine sent the detector's raw data, which no model reads. "
        "Set it to send the image “FOR PRESENTATION” and send it again."
    )


class NoPackInstalled(CannotJudge):
    code = "reading.no_pack"
    sentence = N_("No working model is installed on this box. Call the technician: “lantern doctor” says what to do.")


class ImageUnfit(CannotJudge):
    """The pixels can be no film, whatever the header says (`imaging.quality_checks`)."""


class ImageOfPages(ImageUnfit):
    code = "quality.pages"
    sentence = N_(
        "This file holds {pages} pages, which may be different films, so it was given no number. Save each page as a "
        "file of its own and give them again."
    )
    pages: int


class NoVolume(ImageUnfit):
    """The model reads volumes, and the slices of the file are none (`imaging.model_frames`)."""

    code = "quality.no_volume"
    sentence = N_(
        "The model for this image reads a whole volume in one file, and of the {frames} frames of this file {slices} "
        "lie evenly behind each other, so it was given no number. Send the scan as one file with all its frames."
    )
    frames: int
    slices: int


class ImageTooSmall(ImageUnfit):
    code = "quality.too_small"
    sentence = N_(
        "The image has {columns} × {rows} pixels; at least {least} on each side are needed. Send the original image."
    )
    columns: int
    rows: int
    least: int


class ImageBelowLeast(ImageUnfit):
    """`least`: what the pack asks of the shorter side (`packs.requirements.QualityPolicy.least_px`)."""

    code = "reading.too_small"
    sentence = N_(
        "Only {columns} × {rows} pixels of this image reach the model, which needs at least {least} on the shorter "
        "side, so it was given no number. Send the original from the machine that took it, not a reduced copy."
    )
    columns: int
    rows: int
    least: int


class ImageOddShape(ImageUnfit):
    code = "quality.shape"
    sentence = N_("The image has {columns} × {rows} pixels, which is not the shape of a film. Send the whole image.")
    columns: int
    rows: int


class ImageBlank(ImageUnfit):
    code = "quality.blank"
    sentence = N_("The image is blank or nearly so (greys in use: {greys}). Check the exposure and send it again.")
    greys: int


class ImageNotAFilm(ImageUnfit):
    code = "quality.not_a_film"
    sentence = N_("The image shows no connected shapes, as noise or a test pattern does, so it was not read as a film.")


class ImageTurned(ImageUnfit):
    code = "quality.turned"
    sentence = N_(
        "The film lies on its side or upside down, or black and white are exchanged, so it was given no number. "
        "Turn it at the machine and send it again."
    )


class ImageUnlike(ImageUnfit):
    code = "quality.unlike"
    sentence = N_("The image does not look like a frontal chest film, so it was not read as one. Check what was sent.")


class ImageOfColour(ImageUnfit):
    code = "quality.colour"
    sentence = N_(
        "This is a picture in full colour, not an image of the kind that the model reads, so it was not read."
    )


class ImagePhotographed(ImageUnfit):
    code = "quality.photographed"
    sentence = N_(
        "This is a photograph or a colour scan of a film, and the model was not made for such. "
        "Send the original image from the machine."
    )


class ImageUnfamiliar(CannotJudge):
    """How far the image lies from those that the model learnt from, and how far it may (`packs.typicality`)."""

    code = "reading.unfamiliar"
    sentence = N_(
        "The image looks unlike those that the model “{pack}” learnt from (distance {distance}, at most {limit}), so "
        "it was given no number. Check that it is the examination, the view and the patient that it is named for. "
        "A doctor must read it."
    )
    pack: str
    distance: float
    limit: float


class PackUnsure(CannotJudge):
    """The model's probability lies where the pack has both classes, or neither (`packs.manifest`), or its two
    networks disagree (`packs.tasks.classify`)."""

    code = "pack.unsure"
    sentence = N_(
        "The model “{pack}” is not sure of this image: films with and without the finding look like it to the model, "
        "or its two networks disagree, so it was given no number. That means neither normal nor abnormal. A doctor "
        "must read it."
    )
    pack: str


class ExplainShortcut(CannotJudge):
    """Most of a positive finding's evidence is not of tissue (`imaging.outside_anatomy`)."""

    code = "explain.shortcut"
    sentence = N_(
        "The model “{pack}” looked at marks, not at tissue: {percent} per cent of what it went by are letters, "
        "callipers, rulers or edges of the picture. So it was given no number. A doctor must read this image; saved "
        "once more without marks, it can be sent again."
    )
    pack: str
    percent: int


class PackUnfitHere(CannotJudge):
    """The clinic's own confirmed films have suspended the pack on this machine (`cases.suspensions`)."""

    code = "pack.unfit_here"
    sentence = N_(
        "On films of this machine the model “{pack}” judged too badly, as the clinic's own confirmed films show. It "
        "gives no number here until a person lets it go on. A doctor must read this film."
    )
    pack: str


class DecodeGaveUp(CannotJudge):
    code = "reading.decode_gave_up"
    sentence = N_(
        "Opening this image stopped the decoder twice, so it is not opened again. It may be damaged or hostile."
    )
    detail: str
    unsaid = ("detail",)


class DecodeRanOut(CannotJudge):
    """As `DecodeGaveUp`, of a decoder that had taken much of its memory; `held_mb` is how much at the most."""

    code = "reading.memory_gave_up"
    sentence = N_(
        "Opening this image stopped the decoder twice, with {held_mb} MB of memory in use, so it is not opened again. "
        "It is probably too large for this box and need not be damaged. Save or export it with fewer pixels and give "
        "it again."
    )
    detail: str
    unsaid = ("detail",)
    held_mb: int


class InferenceGaveUp(CannotJudge):
    code = "reading.inference_gave_up"
    sentence = N_("The model stopped twice on this image, so there is no result. A doctor must read it.")
    detail: str
    unsaid = ("detail",)


class ReaderGaveUp(CannotJudge):
    code = "reading.gave_up"
    sentence = N_("The reader was interrupted {claims} times while reading this image and has stopped trying.")
    claims: int


class NotReadYet(CannotJudge):
    code = "reading.waiting"
    sentence = N_("This image is stored safely but has not been read yet; no result does not mean normal.")
