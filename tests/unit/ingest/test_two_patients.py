"""A study belongs to one patient (PS3.3 7.3); where a machine puts two under one number, each gets an own case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patient, Patients
from firmware_app.cases.study_cases import SHARED, explain_shared_study
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data
from firmware_app.dicom.header import examine_file
from firmware_app.dicom.patient_data import Person, Relation, compare_persons
from firmware_app.ingest.intake import ImageIntake
from tests.films import film, save

STUDY = generate_uid()
OWN: dict[str, Any] = {"StudyInstanceUID": STUDY, "SpecificCharacterSet": "ISO_IR 192", "PatientAge": None}
WANG: dict[str, Any] = {"PatientID": "P1", "PatientName": "Wang^Wu", "PatientBirthDate": "19700101", "PatientSex": "M"}
LI: dict[str, Any] = {"PatientID": "P2", "PatientName": "Li^Na", "PatientBirthDate": "19850505", "PatientSex": "F"}


class Study:
    """Images that come under one Study Instance UID."""

    def __init__(self, door: ImageIntake, folder: Path) -> None:
        self._door, self._folder, self._count = door, folder, 0

    def case(self, **said: Any) -> str:
        """The case of a new image that says this."""
        self._count += 1
        path = save(self._folder, f"{self._count}.dcm", film(**OWN, **said))
        return str(self._door.accept_file(path).case)


@pytest.fixture
def study(door: ImageIntake, tmp_path: Path) -> Study:
    return Study(door, tmp_path)


def one_of(said: dict[str, Any], *names: str) -> dict[str, Any]:
    """*said* with the named attributes alone."""
    every = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
    return {name: said[name] if name in names else None for name in every}


@pytest.mark.parametrize(("first", "second"), [(WANG, LI), (LI, WANG)])
def test_two_patient_ids_under_one_study_are_two_cases(
    study: Study, clinical: ClinicalDatabase, first: dict[str, Any], second: dict[str, Any]
) -> None:
    cases = [study.case(**said) for said in (first, second, first, second)]
    assert cases[0] == cases[2] != cases[1] == cases[3]
    assert len(clinical.list_images(cases[0])) == len(clinical.list_images(cases[1])) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (WANG, {**WANG, "PatientID": "P2"}),
        (one_of(WANG, "PatientName", "PatientBirthDate"), one_of(LI, "PatientName", "PatientBirthDate")),
        (one_of(WANG, "PatientName", "PatientBirthDate"), LI),
        ({**WANG, "PatientName": "Wang^Wu"}, {**WANG, "PatientName": "Li^Na", "PatientBirthDate": "19850505"}),
    ],
)
def test_another_number_or_another_name_and_birth_date_is_another_patient(
    study: Study, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert study.case(**first) != study.case(**second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (WANG, WANG),
        (WANG, one_of(WANG, "PatientID")),
        (one_of(WANG, "PatientName", "PatientBirthDate"), WANG),
        (WANG, {**WANG, "PatientID": " p1 "}),
        (WANG, {**WANG, "PatientName": "WANG^WU^^^"}),
        (WANG, {**WANG, "PatientName": "Wang^Wu=王^五"}),
        (WANG, {**WANG, "PatientBirthDate": "19000101"}),
        (WANG, {**WANG, "PatientName": "Wang^Mei"}),  # a name that was corrected: the number is the patient's
        (WANG, one_of(WANG)),
    ],
)
def test_the_same_patient_written_differently_stays_one_case(
    study: Study, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert study.case(**first) == study.case(**second)


def test_no_field_of_one_patient_is_shown_with_the_other(
    study: Study, clinical: ClinicalDatabase, state: StateDir
) -> None:
    """The first one without a number: its name never stands beside the other's number."""
    unnumbered, numbered = study.case(**one_of(WANG, "PatientName", "PatientBirthDate")), study.case(**LI)
    assert unnumbered != numbered
    read(clinical, state)
    patients = Patients(clinical, state)
    assert patients.load_from_images(unnumbered) == Patient("Wang Wu", "", "056Y", "")
    assert patients.load_from_images(numbered) == Patient("Li Na", "P2", "040Y", "F")


def read(clinical: ClinicalDatabase, state: StateDir) -> None:
    """Write what the reader keeps of each image's patient beside its picture."""
    for case in clinical.load_cases():
        for image in clinical.list_images(case.reference or ""):
            folder = state.display / image.reference
            folder.mkdir(parents=True, exist_ok=True)
            patient_data.write_identity(examine_file(state.root / image.file).identity, folder)


def test_both_cases_say_that_the_study_has_another_patient(study: Study, clinical: ClinicalDatabase) -> None:
    alone = study.case(**WANG)
    assert explain_shared_study(clinical.database.connection, alone) is None
    other = study.case(**LI)
    reasons = [explain_shared_study(clinical.database.connection, case) for case in (alone, other)]
    assert [reason.code if reason else None for reason in reasons] == [SHARED, SHARED]


def test_both_cases_keep_the_studys_uid_for_their_results(study: Study, clinical: ClinicalDatabase) -> None:
    cases = [study.case(**WANG), study.case(**LI)]
    assert [clinical.load_case(case).study_instance_uid for case in cases] == [STUDY, STUDY]


def test_an_image_that_says_nothing_of_its_patient_joins_neither_of_two(study: Study) -> None:
    cases = {study.case(**WANG), study.case(**LI)}
    assert study.case(**one_of(WANG)) not in cases


def test_numbers_of_two_issuers_are_not_compared() -> None:
    of_clinic, of_county = Person("1", "CLINIC", "Wang^Wu", "19700101"), Person("9", "COUNTY", "Wang^Wu", "19700101")
    assert compare_persons(of_clinic, of_county) is Relation.SAME
    assert compare_persons(Person("1", "CLINIC"), Person("1", "CLINIC")) is Relation.SAME
    assert compare_persons(Person("1", "CLINIC"), Person("1", "COUNTY")) is Relation.OPEN


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (one_of(WANG, "PatientName", "PatientBirthDate"), one_of(LI, "PatientID", "PatientBirthDate")),
        (
            WANG | one_of(WANG, "PatientName", "PatientBirthDate"),
            one_of(WANG, "PatientName") | {"PatientBirthDate": "19990101"},
        ),
        (
            {**WANG, "PatientID": "UNKNOWN", "PatientBirthDate": "19000101"},
            {**LI, "PatientID": "UNKNOWN", "PatientBirthDate": "19000101"},
        ),
        ({**WANG, "PatientID": "000"}, {**LI, "PatientID": "000"}),
    ],
)
def test_a_field_that_only_fills_the_form_does_not_join_two_patients(
    study: Study, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert study.case(**first) != study.case(**second)


def test_a_name_and_a_number_that_no_image_has_together_are_not_shown_together(
    study: Study, clinical: ClinicalDatabase, state: StateDir
) -> None:
    case = study.case(**one_of(WANG, "PatientName"))
    assert study.case(**one_of(LI, "PatientID")) == case, "nothing says that it is another patient"
    read(clinical, state)
    assert Patients(clinical, state).load_from_images(case) == Patient("Wang Wu", "", "", "")


def test_only_the_second_patient_makes_the_first_ones_results_due(study: Study, clinical: ClinicalDatabase) -> None:
    first = study.case(**WANG)
    connection = clinical.database.connection
    connection.execute("UPDATE cases SET revision = 1")
    connection.execute("DELETE FROM results_due")
    for number in ("P2", "P3", "P4"):
        study.case(**{**LI, "PatientID": number})
    due = connection.execute("SELECT changes FROM results_due WHERE case_reference = ?", (first,)).fetchone()
    assert due is not None
    assert due[0] == 1
