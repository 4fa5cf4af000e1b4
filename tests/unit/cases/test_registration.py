"""Registered patients: numbers, names and ages are checked when they are entered, and identity follows the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from firmware_app.cases import person_names, registration_entry
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import (
    AGE_MISSING,
    ID_CARD_CONTRADICTS,
    SPELLING_MISSING,
    IdCardWrong,
    NameUnusable,
    PatientIdTaken,
    RegistrationImaged,
)
from firmware_app.cases.patients import Patients
from firmware_app.cases.registration_entry import check_registration
from firmware_app.cases.registrations import Registrations
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.worklist import WorklistEntry
from tests.cases import admit, make_header
from tests.refusals import raises_refusal

NOW = datetime(2026, 11, 24, 9, 30)
FORM = {"patient_id": "QH-2041", "name": "王小明", "birth_date": "2023-08-01", "sex": "M", "examination": "chest"}


@pytest.fixture
def clinical(tmp_path: Path) -> Iterator[ClinicalDatabase]:
    state = StateDir(tmp_path / "state")
    state.prepare()
    made = ClinicalDatabase(state.clinical_db)
    made.create()
    yield made
    made.database.close()


def entry(**more: str) -> WorklistEntry:
    return check_registration({**FORM, **more}, NOW)


def arrive(clinical: ClinicalDatabase, number: int, study: str, **identity: str) -> str:
    """The case of an image that came with this *identity*."""
    header = make_header(number, study, patient_age=identity.get("age"))
    return admit(clinical, number, header, identity=identity).case


def test_an_id_cards_number_tells_birth_date_and_sex_and_every_mistyped_digit_is_found() -> None:
    number = "11010519491231002X"  # the standard's own example (GB 11643-1999)
    card = registration_entry.parse_id_card(number.lower(), NOW.date())
    assert card is not None
    assert (card.number, card.birth_date, card.sex) == (number, date(1949, 12, 31), "F")
    assert registration_entry.parse_id_card("QH-2041", NOW.date()) is None
    for place in range(17):
        for digit in set("0123456789") - {number[place]}:
            wrong = number[:place] + digit + number[place + 1 :]
            try:
                assert registration_entry.parse_id_card(wrong, NOW.date()) is None, wrong  # no longer of a card's shape
            except IdCardWrong:
                continue


@pytest.mark.parametrize(
    ("name", "person_name"),
    [
        ("王小明", "WANG^XIAOMING=王^小明"),
        ("王 小明", "WANG^XIAOMING=王^小明"),
        ("欧阳锋", "OUYANG^FENG=欧阳^锋"),
        ("曾乐", "ZENG^LE=曾^乐"),
        ("吕绿", "LYU^LYU=吕^绿"),
        ("买买提·吐尔逊", "MAIMAITI TUERXUN=买买提·吐尔逊"),
        ("龚𬸚", "GONG^YUE=龚^𬸚"),
        ("Anna Berg", "Anna Berg"),
    ],
)
def test_a_name_gets_pinyin_with_the_family_name_first(name: str, person_name: str) -> None:
    assert entry(name=name).person_name == person_name


def test_a_name_that_cannot_be_sent_whole_is_refused() -> None:
    for name in ("", "a\\b", "a=b", "王\u202e小明", "王" * 64):
        with pytest.raises(NameUnusable):
            person_names.clean_name(name)
    with raises_refusal(SPELLING_MISSING):
        entry(name="王𠮷")  # no dictionary has its pinyin: somebody types it
    assert entry(name="王𠮷", spelled="wang ji").person_name == "WANG^JI=王^𠮷"


def test_birth_date_sex_and_age_follow_from_the_card_and_a_form_that_says_otherwise_is_refused() -> None:
    scanned = {
        "patient_id": "１１０１０５１９４９１２３１００２Ｘ",
        "birth_date": "",
        "sex": "",
    }  # an input method's wide digits
    one = entry(**scanned)
    assert (one.patient_id, one.birth_date, one.age, one.sex) == ("11010519491231002X", "19491231", "076Y", "F")
    assert not one.is_child
    with raises_refusal(ID_CARD_CONTRADICTS):
        entry(**{**scanned, "sex": "M"})
    with raises_refusal(AGE_MISSING):
        entry(birth_date="")
    assert entry(birth_date="", age="3Y").is_child


def test_an_entry_is_kept_once_and_cancelled_by_a_person(clinical: ClinicalDatabase) -> None:
    register, one = Registrations(clinical.database), entry()
    assert register.add(one, "li") == register.add(one, "li")
    assert register.list_waiting(("xray",), NOW.date(), 9) == [one]
    assert register.list_waiting(("ultrasound",), NOW.date(), 9) == []
    register.cancel(one.accession, "li")
    assert register.list_waiting(("xray",), NOW.date(), 9) == []
    entries = Audit(clinical.database).latest(9)
    assert [(one.action, one.actor) for one in entries] == [
        ("registration.cancelled", "li"),
        ("registration.added", "li"),
    ]
    assert "王" not in str(entries)


def test_a_number_that_was_another_persons_is_asked_about(clinical: ClinicalDatabase) -> None:
    register = Registrations(clinical.database)
    register.add(entry(), "li")
    with pytest.raises(PatientIdTaken):
        register.add(entry(name="王晓明"), "li")
    register.add(entry(name="王晓明"), "li", same_person=True)
    register.add(entry(patient_id="QH-2042"), "li")  # the same name under another number is another patient
    assert len(register.list_latest(9)) == 3


def test_images_bring_the_registered_identity_by_uid_or_by_numbers_and_never_by_name(
    clinical: ClinicalDatabase, tmp_path: Path
) -> None:
    register, patients = Registrations(clinical.database), Patients(clinical, StateDir(tmp_path / "state"))
    mine = register.add(entry(), "li").registered
    other = register.add(entry(patient_id="QH-2042"), "li").registered  # of the same name
    by_uid = arrive(clinical, 1, mine.study_uid, name="WANG XIAOMING", patient_id="QH-2041")
    by_numbers = arrive(clinical, 2, "1.2.3", patient_id="QH-2042", accession=other.accession)
    known = [patients.load_displayed(case) for case in (by_uid, by_numbers)]
    assert [(one.registration, one.patient.name, one.patient.age) for one in known] == [
        (mine.accession, "王小明", "003Y"),
        (other.accession, "王小明", "003Y"),
    ]
    strangers = [
        arrive(clinical, 3, "1.2.4", name="王小明"),
        arrive(clinical, 4, "1.2.5", patient_id="QH-2041", accession=other.accession),
        arrive(clinical, 5, register.add(entry(), "li").registered.study_uid, patient_id="QH-9999"),
        arrive(clinical, 6, register.add(entry(), "li").registered.study_uid, patient_id="QH-2041", age="045Y"),
        arrive(clinical, 7, register.add(entry(), "li").registered.study_uid, patient_id="QH-2041", sex="F"),
    ]
    assert {patients.load_displayed(case).registration for case in strangers} == {""}
    assert register.require_entry(mine.accession).case == by_uid
    with pytest.raises(RegistrationImaged):
        register.cancel(mine.accession, "li")


def test_a_picture_without_identity_is_tied_by_a_person_and_what_was_before_is_kept(
    clinical: ClinicalDatabase, tmp_path: Path
) -> None:
    register, patients = Registrations(clinical.database), Patients(clinical, StateDir(tmp_path / "state"))
    mine = register.add(entry(), "li").registered
    picture = admit(clinical, picture=True)
    patients.tie(picture.case, mine, "zhao")
    assert patients.load_displayed(picture.case).patient.name == "王小明"
    assert register.list_without_images(9) == []
    patients.tie(picture.case, None, "zhao")
    assert patients.load_displayed(picture.case).patient.name == ""
    first, second = patients.list_changes(picture.case)
    assert ("name", "", "王小明") in first.values
    assert ("name", "王小明", "") in second.values
    entries = Audit(clinical.database).latest(2)
    assert [(one.actor, one.action, one.case) for one in entries] == [
        ("zhao", "patient.untied", picture.case),
        ("zhao", "patient.tied", picture.case),
    ]
