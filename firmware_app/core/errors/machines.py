"""A machine whose line was tested from the page: what was typed wrongly, and why no C-ECHO was answered."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class MachineError(LanternError):
    """A machine that was not entered, or whose line does not work; images are not touched by it."""


class MachineTitleUnusable(MachineError):
    code = "modality.title"
    sentence = N_("An AE title has 1 to 16 letters, digits or plain signs, without backslash.")


class MachineHostUnusable(MachineError):
    code = "modality.host"
    sentence = N_("The address is no IP address and no host name. Look at the machine's network settings.")


class MachinePortUnusable(MachineError):
    code = "modality.port"
    sentence = N_("A port is a number from 1 to 65535; for DICOM mostly 104 or 11112.")


class MachinesTooMany(MachineError):
    code = "modality.too_many"
    sentence = N_("There are {most} machines already. Remove one that is no longer used.")
    most: int


class MachineUnknown(MachineError):
    code = "modality.unknown"
    sentence = N_("This machine is no longer on the list.")


class MachineNameUnknown(MachineError):
    code = "modality.name_unknown"
    sentence = N_(
        "Nobody in the clinic's network knows the name {host}. Enter the machine's IP address, or correct the name."
    )
    host: str


class MachineAbsent(MachineError):
    code = "modality.absent"
    sentence = N_(
        "No answer from {host}: nothing in the network reacts at this address. Is the machine switched on and its "
        "cable in? Compare the address with the one on the machine."
    )
    host: str


class MachineClosed(MachineError):
    code = "modality.closed"
    sentence = N_(
        "There is a device at {host}, but nothing listens on port {port}. Compare the port with the one on the "
        "machine, and switch its DICOM service (Verification) on. Many machines only send and never listen: press "
        "“Echo” there instead."
    )
    host: str
    port: int


class MachineUndialled(MachineError):
    code = "modality.undialled"
    sentence = N_(
        "The box may not call {host}: it calls only addresses of the clinic's own network. Enter the machine's address "
        "there."
    )
    host: str


class MachineNoDicom(MachineError):
    code = "modality.no_dicom"
    sentence = N_(
        "Something takes the connection at {host}, port {port}, but does not answer as DICOM does. It may be another "
        "service, or one that expects encryption (TLS). Compare the port."
    )
    host: str
    port: int


class MachineCallingUnknown(MachineError):
    code = "modality.calling_unknown"
    sentence = N_(
        "The machine refused: it does not know the AE title {own}. Enter this box there: AE title {own}, its address, "
        "and its port."
    )
    own: str


class MachineCalledUnknown(MachineError):
    code = "modality.called_unknown"
    sentence = N_(
        "The machine refused: its AE title is not {title}. Look on the machine how it calls itself; capitals count."
    )
    title: str


class MachineBusy(MachineError):
    code = "modality.busy"
    sentence = N_("The machine refused: it has no free connection at the moment. Test again in a minute.")


class MachineRejected(MachineError):
    """The numbers are result, source and reason of the A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    code = "modality.rejected"
    sentence = N_("The machine refused without a reason that the box can name ({numbers}). Ask its maker's service.")
    numbers: str


class MachineNoEcho(MachineError):
    code = "modality.no_echo"
    sentence = N_(
        "The machine takes the connection but offers no C-ECHO (Verification). The line itself works; send a test film."
    )
