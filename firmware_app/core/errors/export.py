"""Why an image does not leave the box de-identified, or an export does not begin."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, own_python
from firmware_app.core.errors.line import HospitalError
from firmware_app.core.language import N_


class ExportError(LanternError):
    """Nothing left the box, or one image stayed behind."""


class ExportOff(ExportError):
    code = "export.off"
    sentence = N_(
        "Export is switched off on this box. The person responsible for its data must write “enabled = true” under "
        "[export] in the configuration; then try again."
    )


class FeedbackNoKey(ExportError):
    code = "export.feedback_key"
    sentence = N_(
        "The model engineer's key {path} cannot be used: {detail}. Copy the file feedback.pub that the engineer gave "
        "you there, readable for the viewer, and try again."
    )
    path: str
    detail: str


class FeedbackEmpty(ExportError):
    code = "export.feedback_empty"
    sentence = N_(
        "There is no film to give: note the patient's consent on a case, give your judgement on it, and try again."
    )


class ExportPersonUnknown(ExportError):
    code = "export.person"
    sentence = N_(
        "“{name}” is no account in use on this box. Name who exports with --person; “lantern user list” shows the "
        "accounts."
    )
    name: str


class ExportFolderUnusable(ExportError):
    code = "export.folder"
    sentence = N_("The folder {path} cannot take the export: {detail}. Name another folder, or repair this one.")
    path: str
    detail: str


class ExportFolderMissing(ExportError):
    code = "export.folder_missing"
    sentence = N_(
        "There is no folder {path}. Is the stick plugged in? Name a folder that is there; the box makes none, so that "
        "no export lands on its own disk by mistake."
    )
    path: str


class ExportNotAFolder(ExportError):
    code = "export.not_a_folder"
    sentence = N_("{path} is not a folder. Name the folder that the export goes to.")
    path: str


class ExportFolderOwn(ExportError):
    code = "export.own_folder"
    sentence = N_("{path} is in the box's own state directory. Name a folder outside of it, as of a stick.")
    path: str


class ExportCaseTooLarge(ExportError):
    code = "export.case_too_large"
    sentence = N_(
        "The case is larger than a file may be in {path} (4 GB on a stick in FAT32). Format the stick as exFAT, and "
        "export again."
    )
    path: str


class ExportThere(ExportError):
    code = "export.there"
    sentence = N_("{path} exists already and is not overwritten. Name another folder, or move it away first.")
    path: str


class ExportNoRoom(ExportError):
    code = "export.no_room"
    sentence = N_(
        "The box's own disk has {free_mb} MB left, too little for this export, so nothing was exported. Delete nothing "
        "on it by hand. Export onto a stick that is mounted; if that is so already, set a larger room_mb or a smaller "
        "keep_days under [retention] in the configuration, so that the box deletes more old finished cases, or give "
        "it a larger disk."
    )
    free_mb: int


class ExportHeld(ExportError):
    code = "export.held"
    sentence = N_(
        "Another process of the box has held the file {file} for {seconds} s, so nothing was exported. Export again in "
        "a minute; if it is still so, restart the box."
    )
    file: str
    seconds: int


class ExportUnsure(ExportError):
    """The disk failed, or a person stopped it, when the finished case had got its name or was about to."""

    code = "export.unsure"
    sentence = N_(
        "The case may or may not be at {path}: the export was interrupted while the file got its name ({detail}). If "
        "it is there, it has left the box; have it opened at the hospital before anyone relies on it. If it is not "
        "there, or does not open, export it again, onto another stick."
    )
    path: str
    detail: str


class ExportUnrecorded(ExportError):
    """It took place: only the last line of the audit is missing."""

    code = "export.unrecorded"
    sentence = N_(
        "{left} of {total} images were exported to {path}, and the export is complete. But its end could not be "
        "written to the audit ({detail}), which will say that the result is unknown. Free space on the box's own disk, "
        "then run “lantern doctor”."
    )
    left: int
    total: int
    path: str
    detail: str


class ExportNotDicom(ExportError):
    code = "export.not_dicom"
    sentence = N_("This is a picture or a clip without a DICOM header; only DICOM images are exported.")


class ExportNoSector(ExportError):
    code = "export.no_sector"
    sentence = N_("In this image the ultrasound cannot be told apart from the machine's text, so it was not exported.")


class ExportTextFound(ExportError):
    code = "export.text_found"
    sentence = N_(
        "Something that looks like letters is in the picture (frame {frame}) and may name a person, so the image was "
        "not exported. Look at every image of the case; if no letters name anybody, export it again with --looked."
    )
    frame: int


class ExportTextUnchecked(ExportError):
    code = "export.text_unchecked"
    sentence = N_(
        "This box was installed without the part that looks for letters in pictures, so the image was not exported. "
        "Look at every image of the case and, if no letters name anybody, export it again with --looked; or the "
        "technician adds the part with “{python} -m pip install --no-deps 'rapidocr<3.9'”."
    )
    python: str = own_python()


class ExportTooLarge(ExportError):
    code = "export.too_large"
    sentence = N_("Uncompressed, this image takes {megabytes} MB, more than the {most} MB that one exported file may.")
    megabytes: int
    most: int


class ExportGaveUp(ExportError):
    code = "export.gave_up"
    sentence = N_("De-identifying this image stopped the process that does it ({detail}), so it was not exported.")
    detail: str


class ResultsGaveUp(ExportError):
    code = "export.results_gave_up"
    sentence = N_(
        "Making the DICOM objects of this case stopped the process that does it ({detail}), so nothing was written. "
        "Try again; if it happens again, tell the technician the case's number."
    )
    detail: str


class FhirOff(ExportError):
    code = "export.fhir_off"
    sentence = N_(
        "No FHIR server is configured. Write its address as “url” under [fhir] in the configuration, or name a folder "
        "with --fhir."
    )


class FhirUnreachable(ExportError):
    code = "export.fhir_unreachable"
    sentence = N_(
        "The FHIR server did not answer ({host}: {detail}). Check its address, its token and its certificate under "
        "[fhir], and the network; then send again, which makes nothing twice."
    )
    host: str
    detail: str


class FhirRefused(ExportError):
    code = "export.fhir_refused"
    sentence = N_(
        "The FHIR server {host} took nothing (HTTP {status}: {detail}). Show this to whoever looks after the server; "
        "sending again makes nothing twice."
    )
    host: str
    status: int
    detail: str


# --- the sealed one, which is carried to the hospital -------------------------------------------------------------


class ExportNoHospital(ExportError):
    code = "export.no_hospital"
    sentence = N_(
        "This box knows no hospital to seal the case for. Provision it first: put the hospital's stick in, or run "
        "“sudo lantern provision”. Then export again."
    )


class ExportNoSigner(ExportError):
    code = "export.no_signer"
    sentence = N_(
        "The box's own key, with which it signs what leaves, cannot be read: {detail}. Nothing was written. Run the "
        "command as root, with sudo."
    )
    detail: str


# --- at the hospital ----------------------------------------------------------------------------------------------


class CarriedUnknown(HospitalError):
    code = "hospital.carried_unknown"
    sentence = N_(
        "This file is not a sealed case of a box, or the stick was pulled out before it was finished. Ask the clinic "
        "to export the case again."
    )


class CarriedCut(HospitalError):
    code = "hospital.carried_cut"
    sentence = N_(
        "The last {missing} bytes of the sealed case are missing, so nothing was taken from it. Copy it from the stick "
        "again, or ask the clinic to export it again."
    )
    missing: int


class CarriedAltered(HospitalError):
    """Piece 0 is the head of the file."""

    code = "hospital.carried_altered"
    sentence = N_(
        "The sealed case was changed on its way, or the stick is damaged (piece {piece}), so nothing was taken from "
        "it. Copy it from the stick again, or ask the clinic to export it again."
    )
    piece: int


class CarriedElsewhere(HospitalError):
    code = "hospital.carried_elsewhere"
    sentence = N_(
        "The case is sealed for another hospital: the key {key} was never ours. Ask the clinic which hospital its box "
        "reports to."
    )
    key: str


class CarriedKeyRetired(HospitalError):
    code = "hospital.carried_retired"
    sentence = N_(
        "The case is sealed to the key {key}, which was replaced and destroyed since. Ask the clinic to export it "
        "again, once its box has been in touch with us."
    )
    key: str


class CarriedThere(HospitalError):
    code = "hospital.carried_there"
    sentence = N_("{path} exists already and is not overwritten. Name another folder, or move it away first.")
    path: str


class CarriedUnkept(HospitalError):
    code = "hospital.carried_unkept"
    sentence = N_("The contents of the sealed case cannot be stored in {path}: {detail}. Name another folder.")
    path: str
    detail: str
