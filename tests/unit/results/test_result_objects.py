"""A case as DICOM objects: stable, replaced by the next version, whatever the source lacks, and never read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import UID, UltrasoundMultiFrameImageStorage

from firmware_app.cases import lesion_tracking
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import DisplayedPatient, Patient, Patients
from firmware_app.cases.registration_entry import check_registration
from firmware_app.cases.registrations import Registrations
from firmware_app.core.records import FramesRead, Priority
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.results.case_view import gather_numbered_view
from firmware_app.results.dicom_objects import coded_concepts
from firmware_app.results.fhir_bundle import build_bundle
from tests import clips, films
from tests.results import PDF, add_reading, make_case_view, make_objects, write_objects


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return films.save(tmp_path, "film.dcm", films.film(PatientName="Wang^Xiaoming"))


def test_a_second_making_gives_the_same_bytes(film: Path, tmp_path: Path) -> None:
    result = make_case_view(film, tmp_path / "display", signed=True)
    first, second = (write_objects(result, tmp_path / name) for name in ("first", "second"))
    assert list(first) == ["sc-01.dcm", "seg-01.dcm", "pr-01.dcm", "pdf-01.dcm", "sr-01.dcm"]
    assert {name: path.read_bytes() for name, path in first.items()} == {
        name: path.read_bytes() for name, path in second.items()
    }


def test_the_marks_of_a_clips_frames_are_one_lesion_in_every_object(tmp_path: Path) -> None:
    """One segment and one measurement group; both frames show the mark, under one tracking UID."""
    pixels = clips.draw_frame(3)
    clip = films.film(
        pixels,
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        Modality="US",
        NumberOfFrames=2,
        pixel_data=pixels.tobytes() * 2,
    )
    result = make_case_view(films.save(tmp_path, "clip.dcm", clip), tmp_path / "display")
    (reading, _), mark = result.case.readings, result.case.lesions[0]
    reading = replace(reading, lesions=(mark, replace(mark, frame=1, score=0.7)), frames=FramesRead(2, (0, 1)))
    case = replace(result.case, readings=(reading,), lesions=lesion_tracking.find_lesions([reading]))
    made = {one.kind: one.data_set for one in make_objects(replace(result, case=case))}

    (segment,) = made["seg"].SegmentSequence
    drawn = [one for layer in made["pr"].GraphicAnnotationSequence for one in layer.GraphicObjectSequence]
    report = [str(one.value) for one in made["sr"].iterall() if one.tag == 0x0040A124]
    assert len(drawn) == 2
    assert {one.TrackingUID for one in drawn} == {segment.TrackingUID}
    assert report.count(segment.TrackingUID) == 1


def test_a_new_version_is_a_new_instance_of_the_same_series_and_its_report_names_the_last(
    film: Path, tmp_path: Path
) -> None:
    result = make_case_view(film, tmp_path / "display")
    before, after = (make_objects(replace(result, version=number)) for number in (1, 2))
    for old, new in zip(before, after, strict=True):
        assert old.data_set.SOPInstanceUID != new.data_set.SOPInstanceUID
        assert old.data_set.SeriesInstanceUID == new.data_set.SeriesInstanceUID
        assert old.data_set.InstanceNumber < new.data_set.InstanceNumber
    (evidence,) = after[-1].data_set.PredecessorDocumentsSequence
    (reference,) = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == before[-1].data_set.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in before[-1].data_set


def test_a_doctors_word_makes_a_new_report_and_leaves_the_pictures_as_they_are(film: Path, tmp_path: Path) -> None:
    before = make_case_view(film, tmp_path / "display")
    after = replace(
        make_case_view(film, tmp_path / "display", signed=True),
        verdicts=(),
        version=2,
        made_at="2026-11-24T08:00:00+08:00",
        drawn=1,
        drawn_at=before.made_at,
    )
    assert after.pictures_state == before.pictures_state
    assert after.state != before.state
    first, second = (write_objects(one, tmp_path / name) for one, name in ((before, "first"), (after, "second")))
    changed = {name for name, path in second.items() if path.read_bytes() != first[name].read_bytes()}
    assert changed == {"sr-01.dcm", "pdf-01.dcm"}


def test_the_report_is_unverified_until_a_doctor_signs_and_says_what_the_doctor_thinks(
    film: Path, tmp_path: Path
) -> None:
    unsigned = make_objects(make_case_view(film, tmp_path / "display"))[-1].data_set
    assert (unsigned.VerificationFlag, unsigned.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    signed = make_objects(make_case_view(film, tmp_path / "display", signed=True))[-1].data_set
    assert (signed.VerificationFlag, signed.PreliminaryFlag) == ("VERIFIED", "FINAL")
    assert str(signed.VerifyingObserverSequence[0].VerifyingObserverName) == "李医生^"
    assert "AI result rejected by the doctor" in str(signed)


@pytest.mark.parametrize("signed", [False, True])
def test_the_document_holds_the_report_as_it_was_printed(film: Path, tmp_path: Path, signed: bool) -> None:
    path = write_objects(make_case_view(film, tmp_path / "display", signed=signed), tmp_path / "objects")["pdf-01.dcm"]
    made = dcmread(path)
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength] == PDF
    assert (made.MIMETypeOfEncapsulatedDocument, made.BurnedInAnnotation) == ("application/pdf", "YES")
    assert made.VerificationFlag == ("VERIFIED" if signed else "UNVERIFIED")
    (source,) = made.SourceInstanceSequence
    assert source.ReferencedSOPInstanceUID == dcmread(film).SOPInstanceUID
    assert str(made.PatientName) == "Wang^Xiaoming"


def test_a_header_in_gbk_without_its_character_set_and_without_spacing_gives_whole_names_and_pixels(
    tmp_path: Path,
) -> None:
    plain = films.film(PatientName="MARK", PatientID=None, PixelSpacing=[0, 0])
    path = films.save(tmp_path, "gbk.dcm", plain)
    path.write_bytes(path.read_bytes().replace(b"MARK", "王明".encode("gbk")).replace(b"20260101", b"26/01/01"))
    for one in make_objects(make_case_view(path, tmp_path / "display", known=DisplayedPatient(Patient()))):
        assert str(one.data_set.PatientName) == "王明"
        assert (one.data_set.SpecificCharacterSet, one.data_set.PatientID) == ("ISO_IR 192", "")
        assert not one.data_set.StudyDate
        assert "PixelSpacing" not in one.data_set


def test_a_picture_without_a_header_gets_a_stable_study_and_is_among_the_objects(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(b"never opened: the viewer's frame is taken")
    made = make_objects(make_case_view(path, tmp_path / "display", header=False))
    assert [one.kind for one in made] == ["picture", "sc", "seg", "pr", "pdf", "sr"]
    assert len({one.data_set.StudyInstanceUID for one in made}) == 1
    picture, report = made[0].data_set, made[-1].data_set
    assert (str(picture.PatientName), picture.PatientID, picture.PatientSex) == ("王小明", "P-1", "M")
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (image,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert image.ReferencedSOPInstanceUID == picture.SOPInstanceUID
    assert UID(picture.SOPInstanceUID).is_valid


def test_a_picture_is_another_object_once_a_person_has_said_whose_it_is(tmp_path: Path) -> None:
    """Else an archive that has it without a name is never sent the name."""
    path = tmp_path / "film.png"
    path.write_bytes(b"never opened: the viewer's frame is taken")
    nameless = make_case_view(path, tmp_path / "display", header=False, known=DisplayedPatient(Patient()))
    tied = replace(nameless, known=DisplayedPatient(Patient("王小明", "P-1", "045Y", "M")), version=2)
    signed = replace(tied, version=3, drawn=2)
    before, after, last = (make_objects(one) for one in (nameless, tied, signed))
    uids = [one[0].data_set.SOPInstanceUID for one in (before, after, last)]
    assert uids[0] != uids[1] == uids[2]
    assert before[0].data_set.InstanceNumber < after[0].data_set.InstanceNumber
    for made in (after, last):
        (study,) = made[-1].data_set.CurrentRequestedProcedureEvidenceSequence
        assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == uids[1]
    (imaged,) = [one["resource"] for one in build_bundle(signed)["entry"] if "series" in one["resource"]]
    assert imaged["series"][0]["instance"][0]["uid"] == str(uids[1])


@pytest.mark.parametrize("lost", [(), ("private",), ("Manufacturer", "ManufacturerModelName")])
def test_our_own_objects_that_come_back_are_kept_and_make_no_reading_and_no_case(
    film: Path, tmp_path: Path, state: StateDir, clinical: ClinicalDatabase, lost: tuple[str, ...]
) -> None:
    door = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=64)
    for path in write_objects(make_case_view(film, tmp_path / "display"), tmp_path / "objects").values():
        data_set = dcmread(path)
        if lost == ("private",):
            data_set.remove_private_tags()
        for keyword in lost if lost != ("private",) else ():
            delattr(data_set, keyword)
        data_set.save_as(path)
        door.accept_file(path)
    assert list(clinical.load_cases()) == []
    assert clinical.count_queue().waiting == 0
    kinds = clinical.database.connection.execute("SELECT DISTINCT kind FROM instances").fetchall()
    assert [row[0] for row in kinds] == ["own_result"]


def test_the_version_rises_only_when_the_case_says_something_else(
    film: Path, state: StateDir, clinical: ClinicalDatabase
) -> None:
    config = Config.model_validate({"state": {"dir": state.root}})
    door = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=64)
    case = door.accept_file(film).case
    add_reading(clinical, case)
    first = gather_numbered_view(config, clinical, case)
    door.accept_file(film)  # a duplicate
    assert gather_numbered_view(config, clinical, case) == replace(first, case=clinical.load_case(case))
    clinical.database.connection.execute("UPDATE cases SET priority = ? WHERE reference = ?", (Priority.URGENT, case))
    second = gather_numbered_view(config, clinical, case)
    assert second.version == first.version + 1 == 2
    assert (second.drawn, second.drawn_at) == (1, first.made_at), "nothing that is drawn has changed"
    assert CaseLists(clinical).find_completion(case) is None


def test_a_registered_patient_keeps_the_components_of_the_name_until_it_is_corrected(
    film: Path, state: StateDir, clinical: ClinicalDatabase
) -> None:
    config = Config.model_validate({"state": {"dir": state.root}})
    case = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=64).accept_file(film).case
    add_reading(clinical, case)
    form = {"patient_id": "QH-1", "name": "欧阳锋", "birth_date": "1958-07-31", "sex": "M", "examination": "chest"}
    entry = Registrations(clinical.database).add(check_registration(form, datetime.now().astimezone()), "li").registered
    patients = Patients(clinical, state)
    patients.tie(case, entry, "li")
    assert gather_numbered_view(config, clinical, case).person_name == "OUYANG^FENG=欧阳^锋"
    patients.correct(case, replace(patients.load_displayed(case).patient, name="欧阳峰"), "li")
    assert gather_numbered_view(config, clinical, case).person_name == ""


def test_a_lung_opacity_has_a_code_of_the_standard_that_denies_no_nodule_or_mass() -> None:
    code = coded_concepts.code_finding(None, "lung_opacity")
    assert code == codes.cid6104.Infiltrate
    assert code not in (codes.cid6104.Opacity, codes.cid6104.Nodule, codes.cid6104.Mass)
