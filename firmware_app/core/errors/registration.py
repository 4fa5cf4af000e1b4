"""Why a patient is not registered, or a case not tied to a registered one."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


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


class IdCardContradicts(RegistrationError):
    code = "registration.id_card_contradicts"
    sentence = N_(
        "The ID-card number says another birth date or sex than the form. Look at the card and correct the form."
    )


class PatientIdUnusable(RegistrationError):
    code = "registration.patient_id"
    sentence = N_("The patient number must be 1 to {most} letters, digits or plain signs, without backslash.")
    most: int


class NameUnusable(RegistrationError):
    code = "registration.name"
    sentence = N_("Give a name of at most {most} characters, without backslash, “=” and “^”.")
    most: int


class SpellingMissing(RegistrationError):
    code = "registration.spelling"
    sentence = N_(
        "The pinyin of this name is not known whole. Type it in plain letters, the family name first: OUYANG FENG."
    )


class BirthDateWrong(RegistrationError):
    code = "registration.birth_date"
    sentence = N_("The birth date is no date, lies ahead, or is more than {years} years ago. Write it as 1958-07-31.")
    years: int


class AgeMissing(RegistrationError):
    code = "registration.age"
    sentence = N_("Give the birth date, or an age where nobody knows it: the age decides which model reads the image.")


class ExaminationUnknown(RegistrationError):
    code = "registration.examination"
    sentence = N_("Choose an examination: {known}.")
    known: str


class NumberOfAnother(RegistrationError):
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
