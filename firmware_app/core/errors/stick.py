"""What can be said of a stick: why it is not opened, why its copying ended early, what that means for a case."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class StickError(LanternError):
    """A stick was not opened, or not copied to its end.  What was copied before is safe."""


class StickBlank(StickError):
    code = "stick.blank"
    sentence = N_(
        "No readable file system was found on the stick, so it was not opened. Try it in another computer; if it works "
        "there, copy the images to a stick formatted as FAT32 or exFAT."
    )


class StickForeign(StickError):
    code = "stick.file_system"
    sentence = N_(
        "The stick has a file system that this box does not open ({kind}). Copy the images to a stick formatted as "
        "FAT32 or exFAT, or to a CD."
    )
    kind: str


class StickNotMounted(StickError):
    code = "stick.mount"
    sentence = N_(
        "The stick could not be attached ({detail}). Take it out and put it in again; if that does not help, try it in "
        "another computer."
    )
    detail: str


class StickWithoutDriver(StickError):
    code = "stick.driver"
    sentence = N_(
        "This box has no driver for {kind} sticks, so the stick was not opened. Copy the images to a stick formatted "
        "as FAT32; the technician adds the driver with “apt install {package}”."
    )
    kind: str
    package: str


class StickUnsafe(StickError):
    """Fail closed: what the kernel shows is not what was asked for."""

    code = "stick.unsafe"
    sentence = N_(
        "The stick could not be attached safely (missing: {missing}), so nothing on it was opened. Call the technician."
    )
    missing: str


class StickInUse(StickError):
    code = "stick.in_use"
    sentence = N_("This disk is in use by the box itself, so it was left alone.")


class StickPulled(StickError):
    code = "stick.pulled"
    sentence = N_(
        "The stick was taken out, or broke, before everything was copied. What was copied is safe. Put it in again and "
        "leave it in until the box says that it is done."
    )


class StickStopped(StickError):
    code = "stick.stopped"
    sentence = N_(
        "Copying from the stick was interrupted before its end. What was copied is safe. Put the stick in again, and "
        "the rest is copied."
    )


class StickNotAll(StickError):
    """Files were refused or could not be read; `StickStatus.refused` says how many for which reason."""

    code = "stick.not_all"
    sentence = N_(
        "The stick can be taken out, but not everything came in. Files damaged or refused: {count}; images "
        "may be missing. What came in is safe."
    )
    count: int


class StickNothingKnown(StickError):
    code = "stick.nothing_known"
    sentence = N_("No image was found on the stick. Files of an unknown kind: {count}.")
    count: int


class StickEmpty(StickError):
    code = "stick.empty"
    sentence = N_(
        "No image was found on the stick; other files on it: {count}. It can be taken out. Check that the machine has "
        "finished writing, and that this is the right stick."
    )
    count: int


class StickDamaged(StickError):
    """More space is in use on the medium than the listed files take (`ingest.stick_space`)."""

    code = "stick.damaged"
    sentence = N_(
        "There may be images on the stick that the box cannot see: more of it is in use than its files take, so its "
        "folders are damaged or its memory is worn out. What can be seen was copied, and its cases are marked as "
        "incomplete. Copy the images from the machine again, onto another stick."
    )


class StickOverfull(StickError):
    code = "stick.overfull"
    sentence = N_(
        "The stick holds more than {limit} files, or folders deeper than {depth}; the rest was not looked at. Put the "
        "images alone on a stick."
    )
    limit: int
    depth: int


class CaseIncomplete(StickError):
    """Beside every result of a case from whose stick not everything came in."""

    code = "stick.incomplete"
    sentence = N_(
        "Incomplete: not everything on the stick with this case came in, so images may be missing. Put the stick in "
        "again and leave it in until the box says that it is done. The page “Stick” says what is damaged or was "
        "refused; fetch that from the machine."
    )


class CaseListedMore(StickError):
    """The medium's own list (DICOMDIR, PS3.10 8.6) names images that are not on it."""

    code = "stick.listed_more"
    sentence = N_(
        "Incomplete. Images of this case that the list on the stick (DICOMDIR) names and that are not on it: "
        "{count}. Fetch the whole examination from the machine."
    )
    count: int


class StickListsMore(StickError):
    code = "stick.lists_more"
    sentence = N_(
        "All that is on the stick was copied. Images that its list (DICOMDIR) names and that are not on it: "
        "{count}. Their cases are marked as incomplete; fetch the whole examinations from the machine."
    )
    count: int
