"""Refusals of the clinical database, people and their accounts, and what is written about a case."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.errors.box import ProvisionError, StoreError
from firmware_app.core.language import N_
from firmware_app.dicom.errors import CannotJudge, EarlierError, IntakeError

REFERENCES_LOST = Refusal(
    StoreError,
    "store.references",
    N_(
        "The secret key of the case references is lost: {path} is missing or damaged, and the database has no copy. "
        "With a new key the same images would get new references and be counted twice. Restore this file from a "
        "backup."
    ),
)


class CaseUnknown(StoreError):
    code = "store.case_unknown"
    sentence = N_("There is no case {case} on this box. “lantern case list” shows the cases.")
    case: str


REVISION_UNKNOWN = Refusal(
    StoreError,
    "store.revision_unknown",
    N_("Of revision {revision} of this case nothing is kept. “lantern case show” says which revision is the newest."),
)


class AccountError(LanternError):
    """An account cannot be made or changed.  Names no account: what was typed may have been a password."""


ACCOUNT_EXISTS = Refusal(
    AccountError,
    "account.exists",
    N_("There is already an account of this name. Choose another, or “lantern user passwd” for a new code."),
)


ACCOUNT_UNKNOWN = Refusal(
    AccountError, "account.unknown", N_("There is no account of this name. “lantern user list” shows them.")
)


ACCOUNT_NAME_UNUSABLE = Refusal(
    AccountError,
    "account.name",
    N_(
        "An account's name is 1 to {limit} letters, digits, spaces, dots or hyphens, and starts with a letter or digit."
    ),
)


class CalibrationError(LanternError):
    """A confirmation or an operating point cannot be taken."""


class ConfirmationUnknown(CalibrationError):
    code = "calibration.unknown_finding"
    sentence = N_(
        "No model on this box has given a number for “{finding}” in this case, so there is nothing to confirm."
    )
    finding: str


class ResultShown(CalibrationError):
    code = "calibration.shown"
    sentence = N_(
        "The result of this case has been shown already, or no reading before it was asked for. Enter what you know "
        "as a reading after the result."
    )


class NotSuspended(CalibrationError):
    code = "calibration.not_suspended"
    sentence = N_("The model “{pack}” is not suspended on this machine, so there is nothing to undo.")
    pack: str


EARLIER_NO_NUMBER = Refusal(
    EarlierError,
    "earlier.no_number",
    N_("This case has no patient number, and a PACS is searched by nothing else. Enter the number on the case's page."),
)


class EarlierStudyUnknown(EarlierError):
    code = "earlier.unknown"
    sentence = N_("There is no such study in the list. `lantern case earlier CASE` shows all, each with its number.")


FILE_EMPTY = Refusal(
    IntakeError,
    "intake.empty",
    N_(
        "This file is empty: a name without a single byte. That is what is left when a stick is taken out too early. "
        "Copy the image again from the machine, and have the computer eject the stick before it is taken out."
    ),
)


FILE_OF_ZEROS = Refusal(
    IntakeError,
    "intake.zeros",
    N_(
        "This file holds nothing but zeros: its contents were lost, as when a stick is taken out too early or wears "
        "out. Copy the image again from the machine, onto another stick if it happens again."
    ),
)


FILE_GARBLED = Refusal(
    IntakeError,
    "intake.garbled",
    N_(
        "By its name or by the list on the medium this file is a DICOM image, but it does not contain one: the image "
        "was lost or overwritten. Copy it again from the machine, onto another stick if it happens again."
    ),
)


PACKED_ARCHIVE = Refusal(
    IntakeError,
    "intake.archive",
    N_("This is a packed archive (such as zip), and the box opens none. Unpack it and give the images themselves."),
)


PHONE_PICTURE = Refusal(
    IntakeError,
    "intake.phone_picture",
    N_(
        "This is a picture as phones store them (HEIC or AVIF), which the box does not open. Save it as JPEG or PNG "
        "and give it again; an iPhone takes JPEG with the camera set to “Most Compatible”."
    ),
)


class InstanceConflict(IntakeError):
    code = "intake.conflict"
    sentence = N_(
        "Another image with the same identity is already here, with different pixels or stored differently. "
        "The first one is used and this one is not; check the machine that made them."
    )
    dimse_status = 0xC008


class HeaderConflict(IntakeError):
    code = "intake.header_conflict"
    sentence = N_(
        "The same image is already here, but its details (such as age, view or patient) differ or are stored "
        "differently. The first one is used and this one is not. Correct a wrong patient or age in the box's viewer."
    )
    dimse_status = 0xC009


NOT_A_REGULAR_FILE = Refusal(
    IntakeError,
    "intake.not_regular",
    N_("This is a link, a pipe or a device, not a regular file. It was not followed."),
)


class FileUnreadable(IntakeError):
    code = "intake.unreadable"
    sentence = N_("The file cannot be read: {detail}. Check the stick or the permissions and try again.")
    detail: str


class DecodeGaveUp(CannotJudge):
    code = "reading.decode_gave_up"
    sentence = N_(
        "Opening this image stopped the decoder twice, so it is not opened again. It may be damaged or hostile."
    )
    detail: str
    unsaid = ("detail",)


DECODE_RAN_OUT = Refusal(
    CannotJudge,
    "reading.memory_gave_up",
    N_(
        "Opening this image stopped the decoder twice, with {held_mb} MB of memory in use, so it is not opened again. "
        "It is probably too large for this box and need not be damaged. Save or export it with fewer pixels and give "
        "it again."
    ),
    unsaid=("detail",),
)
"""As `DecodeGaveUp`, of a decoder that had taken much of its memory; `held_mb` is how much at the most."""


class InferenceGaveUp(CannotJudge):
    code = "reading.inference_gave_up"
    sentence = N_("The model stopped twice on this image, so there is no result. A doctor must read it.")
    detail: str
    unsaid = ("detail",)


READER_GAVE_UP = Refusal(
    CannotJudge,
    "reading.gave_up",
    N_("The reader was interrupted {claims} times while reading this image and has stopped trying."),
)


class NotReadYet(CannotJudge):
    code = "reading.waiting"
    sentence = N_("This image is stored safely but has not been read yet; no result does not mean normal.")


class DeviceError(LanternError):
    """A machine that was not entered, or whose line does not work; images are not touched by it."""


MACHINE_TITLE_UNUSABLE = Refusal(
    DeviceError, "modality.title", N_("An AE title has 1 to 16 letters, digits or plain signs, without backslash.")
)


MACHINE_HOST_UNUSABLE = Refusal(
    DeviceError,
    "modality.host",
    N_("The address is no IP address and no host name. Look at the machine's network settings."),
)


MACHINE_PORT_UNUSABLE = Refusal(
    DeviceError, "modality.port", N_("A port is a number from 1 to 65535; for DICOM mostly 104 or 11112.")
)


MACHINES_TOO_MANY = Refusal(
    DeviceError, "modality.too_many", N_("There are {most} machines already. Remove one that is no longer used.")
)


class DeviceUnknown(DeviceError):
    code = "modality.unknown"
    sentence = N_("This machine is no longer on the list.")


CODE_MALFORMED = Refusal(
    ProvisionError,
    "provision.code_form",
    N_("A one-time code has 12 letters and digits, as in 2345-6789-ABCD. Type it again as it is printed."),
)


class WorklistUnanswered(LanternError):
    """*detail* is the code of a `PacsError`."""

    code = "worklist.unanswered"
    sentence = N_(
        "The hospital's worklist {worklist} does not answer ({detail}). The machines are told the patients that it "
        "named last. Check host, port and ae_title under [worklist.hospital], and whether the hospital knows this "
        "box."
    )
    worklist: str
    detail: str


class WorklistRefused(LanternError):
    code = "worklist.refused"
    sentence = N_(
        "The hospital's worklist {worklist} refused the question (status {status}). The machines are told the patients "
        "that it named last. Ask its administrator, with this status."
    )
    worklist: str
    status: str


class RegistrationError(LanternError):
    """Nothing was registered; no field holds what a person has typed."""


class IdCardWrong(RegistrationError):
    code = "registration.id_card"
    sentence = N_(
        "This looks like an ID-card number, but its check digit or its birth date is wrong: a digit was mistyped or "
        "misread. Scan or type it again."
    )


ID_CARD_CONTRADICTS = Refusal(
    RegistrationError,
    "registration.id_card_contradicts",
    N_("The ID-card number says another birth date or sex than the form. Look at the card and correct the form."),
)


PATIENT_ID_UNUSABLE = Refusal(
    RegistrationError,
    "registration.patient_id",
    N_("The patient number must be 1 to {most} letters, digits or plain signs, without backslash."),
)


class NameUnusable(RegistrationError):
    code = "registration.name"
    sentence = N_("Give a name of at most {most} characters, without backslash, “=” and “^”.")
    most: int


SPELLING_MISSING = Refusal(
    RegistrationError,
    "registration.spelling",
    N_("The pinyin of this name is not known whole. Type it in plain letters, the family name first: OUYANG FENG."),
)


class BirthDateWrong(RegistrationError):
    code = "registration.birth_date"
    sentence = N_("The birth date is no date, lies ahead, or is more than {years} years ago. Write it as 1958-07-31.")
    years: int


AGE_MISSING = Refusal(
    RegistrationError,
    "registration.age",
    N_("Give the birth date, or an age where nobody knows it: the age decides which model reads the image."),
)


EXAMINATION_UNKNOWN = Refusal(RegistrationError, "registration.examination", N_("Choose an examination: {known}."))


class PatientIdTaken(RegistrationError):
    code = "registration.other_person"
    sentence = N_(
        "This number was registered before with another name, birth date or sex. Look whether the number belongs to "
        "this patient. If it does, say so and register again."
    )


class RegistrationUnknown(RegistrationError):
    code = "registration.unknown"
    sentence = N_("No patient is registered under {accession}. “lantern worklist list” shows who is.")
    accession: str


class RegistrationImaged(RegistrationError):
    code = "registration.imaged"
    sentence = N_("Images of {accession} have come, so it cannot be taken off the list any more. Nothing was changed.")
    accession: str


class StickError(LanternError):
    """A stick was not opened, or not copied to its end.  What was copied before is safe."""


CASE_INCOMPLETE = Refusal(
    StickError,
    "stick.incomplete",
    N_(
        "Incomplete: not everything on the stick with this case came in, so images may be missing. Put the stick in "
        "again and leave it in until the box says that it is done. The page “Stick” says what is damaged or was "
        "refused; fetch that from the machine."
    ),
)
"""Beside every result of a case from whose stick not everything came in."""


CASE_LISTED_MORE = Refusal(
    StickError,
    "stick.listed_more",
    N_(
        "Incomplete. Images of this case that the list on the stick (DICOMDIR) names and that are not on it: "
        "{count}. Fetch the whole examination from the machine."
    ),
)
"""The medium's own list (DICOMDIR, PS3.10 8.6) names images that are not on it."""
