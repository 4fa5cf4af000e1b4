"""Refusals of images on their way in: files, folders and sticks."""

from __future__ import annotations

from firmware_app.cases.errors import DeviceError, StickError
from firmware_app.core.errors.base import Refusal
from firmware_app.core.language import N_
from firmware_app.dicom.errors import EarlierError

EARLIER_NONE = Refusal(
    EarlierError,
    "earlier.none",
    N_(
        "No PACS is set up to be searched for earlier studies. Write its host, port and ae_title under [pacs] in the "
        "configuration, set query = true, and restart the box."
    ),
)


EARLIER_INCOMPLETE = Refusal(
    EarlierError,
    "earlier.incomplete",
    N_(
        "Images of this study that the PACS {pacs} has: {images}; here: {kept}. The page “Refused or set "
        "aside” says why the others are not. Fetch the study again to get the rest."
    ),
)


MACHINE_NAME_UNKNOWN = Refusal(
    DeviceError,
    "modality.name_unknown",
    N_("Nobody in the clinic's network knows the name {host}. Enter the machine's IP address, or correct the name."),
)


MACHINE_ABSENT = Refusal(
    DeviceError,
    "modality.absent",
    N_(
        "No answer from {host}: nothing in the network reacts at this address. Is the machine switched on and its "
        "cable in? Compare the address with the one on the machine."
    ),
)


MACHINE_CLOSED = Refusal(
    DeviceError,
    "modality.closed",
    N_(
        "There is a device at {host}, but nothing listens on port {port}. Compare the port with the one on the "
        "machine, and switch its DICOM service (Verification) on. Many machines only send and never listen: press "
        "“Echo” there instead."
    ),
)


MACHINE_UNDIALLED = Refusal(
    DeviceError,
    "modality.undialled",
    N_(
        "The box may not call {host}: it calls only addresses of the clinic's own network. Enter the machine's address "
        "there."
    ),
)


MACHINE_NO_DICOM = Refusal(
    DeviceError,
    "modality.no_dicom",
    N_(
        "Something takes the connection at {host}, port {port}, but does not answer as DICOM does. It may be another "
        "service, or one that expects encryption (TLS). Compare the port."
    ),
)


MACHINE_CALLING_UNKNOWN = Refusal(
    DeviceError,
    "modality.calling_unknown",
    N_(
        "The machine refused: it does not know the AE title {own}. Enter this box there: AE title {own}, its address, "
        "and its port."
    ),
)


MACHINE_CALLED_UNKNOWN = Refusal(
    DeviceError,
    "modality.called_unknown",
    N_("The machine refused: its AE title is not {title}. Look on the machine how it calls itself; capitals count."),
)


MACHINE_BUSY = Refusal(
    DeviceError,
    "modality.busy",
    N_("The machine refused: it has no free connection at the moment. Test again in a minute."),
)


MACHINE_REJECTED = Refusal(
    DeviceError,
    "modality.rejected",
    N_("The machine refused without a reason that the box can name ({numbers}). Ask its maker's service."),
)
"""The numbers are result, source and reason of the A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""


MACHINE_NO_ECHO = Refusal(
    DeviceError,
    "modality.no_echo",
    N_(
        "The machine takes the connection but offers no C-ECHO (Verification). The line itself works; send a test film."
    ),
)


STICK_BLANK = Refusal(
    StickError,
    "stick.blank",
    N_(
        "No readable file system was found on the stick, so it was not opened. Try it in another computer; if it works "
        "there, copy the images to a stick formatted as FAT32 or exFAT."
    ),
)


STICK_FOREIGN = Refusal(
    StickError,
    "stick.file_system",
    N_(
        "The stick has a file system that this box does not open ({kind}). Copy the images to a stick formatted as "
        "FAT32 or exFAT, or to a CD."
    ),
)


class StickNotMounted(StickError):
    code = "stick.mount"
    sentence = N_(
        "The stick could not be attached ({detail}). Take it out and put it in again; if that does not help, try it in "
        "another computer."
    )
    detail: str


STICK_WITHOUT_DRIVER = Refusal(
    StickError,
    "stick.driver",
    N_(
        "This box has no driver for {kind} sticks, so the stick was not opened. Copy the images to a stick formatted "
        "as FAT32; the technician adds the driver with “apt install {package}”."
    ),
)


STICK_UNSAFE = Refusal(
    StickError,
    "stick.unsafe",
    N_(
        "The stick could not be attached safely (missing: {missing}), so nothing on it was opened. Call the technician."
    ),
)
"""Fail closed: what the kernel shows is not what was asked for."""


class StickInUse(StickError):
    code = "stick.in_use"
    sentence = N_("This disk is in use by the box itself, so it was left alone.")


STICK_PULLED = Refusal(
    StickError,
    "stick.pulled",
    N_(
        "The stick was taken out, or broke, before everything was copied. What was copied is safe. Put it in again and "
        "leave it in until the box says that it is done."
    ),
)


STICK_STOPPED = Refusal(
    StickError,
    "stick.stopped",
    N_(
        "Copying from the stick was interrupted before its end. What was copied is safe. Put the stick in again, and "
        "the rest is copied."
    ),
)


STICK_NOT_ALL = Refusal(
    StickError,
    "stick.not_all",
    N_(
        "The stick can be taken out, but not everything came in. Files damaged or refused: {count}; images "
        "may be missing. What came in is safe."
    ),
)
"""Files were refused or could not be read; `StickStatus.refused` says how many for which reason."""


STICK_NOTHING_KNOWN = Refusal(
    StickError, "stick.nothing_known", N_("No image was found on the stick. Files of an unknown kind: {count}.")
)


STICK_EMPTY = Refusal(
    StickError,
    "stick.empty",
    N_(
        "No image was found on the stick; other files on it: {count}. It can be taken out. Check that the machine has "
        "finished writing, and that this is the right stick."
    ),
)


STICK_OVERFULL = Refusal(
    StickError,
    "stick.overfull",
    N_(
        "The stick holds more than {limit} files, or folders deeper than {depth}; the rest was not looked at. Put the "
        "images alone on a stick."
    ),
)


STICK_LISTS_MORE = Refusal(
    StickError,
    "stick.lists_more",
    N_(
        "All that is on the stick was copied. Images that its list (DICOMDIR) names and that are not on it: "
        "{count}. Their cases are marked as incomplete; fetch the whole examinations from the machine."
    ),
)
