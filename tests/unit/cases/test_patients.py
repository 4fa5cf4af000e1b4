"""Who the patient is: read right from the header, corrected by people, and read again when the age was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patient, Patients
from firmware_app.core.records import Instance, Priority
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data
from firmware_app.dicom.errors import AgeUnknown
from firmware_app.dicom.header import examine_file
from firmware_app.imaging import header_values as opened
from tests.cases import admit, make_reading
from tests.films import film, save


@dataclass
class Desk:
    """A database with one case that was not judged, because its film has no age."""

    clinical: ClinicalDatabase
    patients: Patients
    worklist: CaseLists
    instance: Instance
    state: StateDir

    @property
    def case(self) -> str:
        return self.instance.case

    def read(self, instance: Instance) -> None:
        self.clinical.finish(instance, make_reading(instance), Priority.URGENT)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    state = StateDir(tmp_path / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    instance = admit(clinical)
    clinical.finish(instance, make_reading(instance, refusal=AgeUnknown()), Priority.CANNOT_JUDGE)
    clinical.close_revisions(0)
    person = {"name": "王小明", "patient_id": "7", "sex": "M"}
    patient_data.write_identity(person, state.display / instance.reference)
    yield Desk(clinical, Patients(clinical, state), CaseLists(clinical), instance, state)
    clinical.database.close()


def test_an_entered_age_has_the_case_read_again_with_it(desk: Desk) -> None:
    known = desk.patients.load_displayed(desk.case).patient
    assert (known.name, known.age) == ("王小明", "")
    assert desk.patients.correct(desk.case, Patient("王小明", "7", "003Y", "M"), "li") == 1
    claim = desk.clinical.claim()
    assert claim is not None
    assert claim.instance.header is not None
    assert claim.instance.header.patient_age == "003Y"
    desk.read(claim.instance)
    assert desk.clinical.close_revisions(0) == [desk.case]
    case = desk.clinical.load_case(desk.case)
    assert (case.priority, case.revision, [f.probability for f in case.findings]) == (Priority.URGENT, 2, [0.9])
    kept = desk.clinical.database.connection.execute("SELECT COUNT(*) FROM superseded").fetchone()[0]
    assert kept == 1


def test_a_reading_that_rests_on_the_age_before_is_not_written(desk: Desk) -> None:
    desk.patients.correct(desk.case, Patient("王小明", "7", "003Y", "M"), "li")
    desk.read(desk.instance)  # a reader that had begun before the correction
    assert desk.clinical.load_case(desk.case).findings == ()
    assert desk.clinical.claim() is not None


def test_a_corrected_name_alone_reads_nothing_again(desk: Desk) -> None:
    assert desk.patients.correct(desk.case, Patient("王晓明", "7", "", "M"), "li") == 0
    known = desk.patients.load_displayed(desk.case)
    assert (known.patient.name, known.entered, known.actor) == ("王晓明", frozenset({"name"}), "li")
    assert desk.clinical.claim() is None


def test_every_correction_is_kept_and_audited_without_its_values(desk: Desk) -> None:
    for name in ("王晓明", "王小鸣"):
        desk.patients.correct(desk.case, Patient(name, "7", "", "M"), "li")
    rows = desk.clinical.database.connection.execute("SELECT version, name FROM identities ORDER BY version").fetchall()
    assert [tuple(row) for row in rows] == [(1, "王晓明"), (2, "王小鸣")]
    entries = Audit(desk.clinical.database).latest(10)
    assert [entry.details["fields"] for entry in entries] == ["name", "name"]
    assert "王" not in str(entries)
    desk.patients.correct(desk.case, Patient("王小鸣", "7", "130Y", "M"), "li")
    details = Audit(desk.clinical.database).latest(1)[0].details
    assert (details["age_before"], details["age_after"]) == ("-", "130Y")


def test_a_done_case_comes_back_when_it_is_read_again(desk: Desk) -> None:
    desk.worklist.finish(desk.case, "li")
    assert desk.worklist.is_done(desk.case)
    desk.patients.correct(desk.case, Patient("王小明", "7", "003Y", "M"), "li")
    assert not desk.worklist.is_done(desk.case)
    claim = desk.clinical.claim()
    assert claim is not None
    desk.read(claim.instance)
    desk.clinical.close_revisions(0)
    assert [row.case for row in desk.worklist.list_rows("open", 9)] == [desk.case]


@pytest.mark.parametrize(
    ("charset", "written", "shown"),
    [
        (None, "王^小明".encode("gb18030"), "王小明"),  # what many consoles do: GBK, and no word about it
        (None, "王^小明".encode(), "王小明"),
        ("GB18030", "张^三".encode("gb18030"), "张三"),
        ("ISO_IR 192", "Wang^Xiaoming=王^小明=".encode(), "王小明"),
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller Jörg"),
        (None, b"Doe^Jane^^", "Doe Jane"),
        (None, b"", ""),
    ],
)
def test_a_name_comes_out_as_it_was_written(tmp_path: Path, charset: str | None, written: bytes, shown: str) -> None:
    held = "X" * (len(written) + len(written) % 2)
    path = save(tmp_path, "a.dcm", film(PatientName=held, PatientID="77", SpecificCharacterSet=charset))
    path.write_bytes(path.read_bytes().replace(held.encode(), written.ljust(len(held))) if held else path.read_bytes())
    assert opened.read_identity(dcmread(path, stop_before_pixels=True)).get("name", "") == shown
    assert examine_file(path).identity.get("name", "") == shown  # at the door, before a reader opens it
