"""Whatever was refused or set aside stands in one list without names; who repeats himself for ever fills no disk."""

from __future__ import annotations

import pytest

from firmware_app.cases import quarantine
from firmware_app.cases.clinical_db import ClinicalDatabase, StoredInstance
from firmware_app.cases.errors import DecodeGaveUp, InstanceConflict
from firmware_app.cases.quarantine import Quarantine
from firmware_app.core.errors import LanternError, Undecodable
from firmware_app.core.records import Instance, Priority, Reading, ReadingStatus, Reason, Scope, Timing
from firmware_app.dicom.errors import Truncated
from firmware_app.reading.errors import MODALITY_UNKNOWN
from tests.viewer import HTML, Desk

NAME = "/media/stick/LI_Hua_1952.dcm"


def admit_image(clinical: ClinicalDatabase, number: int = 1) -> Instance:
    sha256 = f"{number:064x}"
    made = clinical.admit(path=NAME, file=f"images/{number}", sha256=sha256, size=1, header=None, association=None)
    assert isinstance(made, Instance)
    return made


def cannot(clinical: ClinicalDatabase, instance: Instance, why: LanternError) -> None:
    reading = Reading(
        Scope.INSTANCE, (instance.reference,), ReadingStatus.CANNOT_JUDGE, Reason.from_error(why), None, Timing(0, 0, 0)
    )
    clinical.finish(instance, reading, Priority.CANNOT_JUDGE)


def test_what_door_and_reader_refuse_stands_in_one_list_newest_first_without_a_name(clinical: ClinicalDatabase) -> None:
    clinical.record_refusal(NAME, Truncated(where="(7FE0,0010)"))
    broken, unknown = admit_image(clinical, 1), admit_image(clinical, 2)
    cannot(clinical, broken, DecodeGaveUp(detail="out of time"))
    cannot(clinical, unknown, MODALITY_UNKNOWN())  # nothing is wrong with that file
    quarantine = Quarantine(clinical.database)
    assert [(entry.where, entry.reason.code, entry.case) for entry in quarantine.list_entries(9)] == [
        ("reader", "reading.decode_gave_up", broken.case),
        ("door", "intake.truncated", None),
    ]
    assert quarantine.list_entries(9)[0].reason.text("en") == DecodeGaveUp(detail="out of time").text("en")
    assert [(count.code, count.count) for count in quarantine.list_counts()] == [
        ("intake.truncated", 1),
        ("reading.decode_gave_up", 1),
    ]
    assert len(quarantine) == 2
    assert NAME not in repr(quarantine.list_entries(9))


def test_an_image_that_is_read_again_leaves_the_list_until_it_fails_again(clinical: ClinicalDatabase) -> None:
    broken = admit_image(clinical)
    cannot(clinical, broken, Undecodable(detail="cut"))
    quarantine = Quarantine(clinical.database)
    assert len(quarantine) == 1
    clinical.requeue(StoredInstance(broken.reference, broken.case, broken.file, "1" * 64))
    assert (len(quarantine), quarantine.list_entries(9)) == (0, [])


def test_a_sender_who_repeats_himself_for_ever_does_not_fill_the_journal(
    clinical: ClinicalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MOST_LINES", 5)
    monkeypatch.setattr(quarantine, "_AT_ONCE", 5)
    image = admit_image(clinical)
    held = StoredInstance(image.reference, image.case, image.file, "1" * 64)
    for _ in range(30):
        clinical.record_refusal(NAME, Truncated(where="(7FE0,0010)"))
        clinical.record_duplicate(NAME, held)
    clinical.record_refusal(NAME, Undecodable(detail="x"))
    (lines,) = clinical.database.connection.execute("SELECT COUNT(*) FROM arrivals").fetchone()
    assert lines <= 1 + 2 * (5 + 5)
    actual = Quarantine(clinical.database)
    assert {count.code: count.count for count in actual.list_counts()} == {
        "intake.truncated": 30,
        "imaging.undecodable": 1,
    }
    assert clinical.count_queue().refused == 31
    (removed,) = clinical.database.connection.execute("SELECT SUM(count) FROM forgotten").fetchone()
    assert removed == 1 + 60 + 1 - lines
    assert actual.list_entries(1)[0].reason.code == "imaging.undecodable"
    assert clinical.load_case(image.case).files[0].status.value == "cannot-judge"  # its arrival stays


def test_the_page_shows_sentences_to_doctor_and_technician_and_the_case_to_the_doctor(desk: Desk) -> None:
    from firmware_app.cases.accounts import Role

    doctor, technician = desk.person("li"), desk.person("wang", Role.TECHNICIAN)
    assert "Nothing was refused or set aside." in doctor.get("/quarantine", headers=HTML).text
    assert "/quarantine" not in doctor.get("/", headers=HTML).text
    held = StoredInstance(desk.instance.reference, desk.case, desk.instance.file, "a" * 64)
    desk.clinical.record_refusal(NAME, InstanceConflict(), held=held, kept_file="set_aside/x.dcm")
    assert 'href="/quarantine"' in doctor.get("/", headers=HTML).text
    assert 'href="/quarantine"' in technician.get("/box", headers=HTML).text
    for person in (doctor, technician):
        shown = person.get("/quarantine", headers=HTML).text
        assert InstanceConflict().text("en") in shown
        assert "intake.conflict" in shown
        assert NAME not in shown
        assert (f"/case/{desk.case}" in shown) is (person is doctor)
