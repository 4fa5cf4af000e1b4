"""The queue to the archives: what makes a case due, what is sent again, and when an object counts as sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import rescue
from firmware_app.cases.case_deletion import AgeLimits, CaseDeletion
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patients
from firmware_app.core import database_health
from firmware_app.core.records import Reason
from firmware_app.dicom.commitment import (
    NO_SUCH_OBJECT,
    PROCESSING_FAILURE,
    CommitmentAnswer,
    InvalidCommitment,
    ObjectReference,
    build_answer,
    parse_commitment,
)
from firmware_app.results import due_cases
from firmware_app.results.archive_queue import QueuedObject, SendingQueue, SendingStage
from firmware_app.results.due_cases import DueCase
from firmware_app.results.storage_commitment import StorageCommitments
from tests.finished import NOW, admit_image, days_ago, film, make_finished_cases, open_state, read_all, sign

PLACE = "10.0.0.5:104 ARCHIVE"
SR = QueuedObject("sr", "1.2.3", "2.25.1", "c-1-1/sr-01.dcm")
SC = QueuedObject("sc", "1.2.4", "2.25.2", "c-1-1/sc-01.dcm")
NEXT_SR = QueuedObject("sr", "1.2.3", "2.25.3", "c-1-2/sr-01.dcm")
SAME_SC = QueuedObject("sc", "1.2.4", "2.25.2", "c-1-2/sc-01.dcm")


@pytest.fixture
def queue(clinical: ClinicalDatabase) -> SendingQueue:
    made = SendingQueue(clinical.database)
    made.set_archives({"pacs": PLACE})
    return made


def put(queue: SendingQueue, version: int, *objects: QueuedObject, again: bool = False) -> None:
    queue.put(DueCase("c-1", 1, again), version, objects, {"pacs": {"sr", "sc"}})


def stages(queue: SendingQueue) -> dict[str, SendingStage]:
    return {one.sop_instance_uid: one.stage for one in queue.list_of_case("c-1")}


def test_a_case_is_due_when_it_has_come_to_rest_and_whenever_a_person_says_something_of_it(tmp_path: Path) -> None:
    state, clinical, door = open_state(tmp_path / "state")
    case, patients = admit_image(door, film(tmp_path / "films", 1), days_ago(0)), Patients(clinical, state)
    assert due_cases.list_due_cases(clinical.database) == []
    read_all(state, clinical)
    for change in (
        lambda: None,
        lambda: sign(clinical, case),
        lambda: patients.correct(case, replace(patients.load_displayed(case).patient, name="Li"), "li"),
    ):
        change()
        (one,) = due_cases.list_due_cases(clinical.database)
        assert (one.case, one.again) == (case, False)
        due_cases.settle_case(clinical.database, one)
        assert due_cases.list_due_cases(clinical.database) == []


def test_a_change_that_comes_while_the_objects_are_made_is_not_lost(tmp_path: Path) -> None:
    state, clinical, door = open_state(tmp_path / "state")
    case = admit_image(door, film(tmp_path / "films", 1), days_ago(0))
    read_all(state, clinical)
    (before,) = due_cases.list_due_cases(clinical.database)
    sign(clinical, case)
    due_cases.settle_case(clinical.database, before)
    assert [one.case for one in due_cases.list_due_cases(clinical.database)] == [case]


def test_a_newer_version_replaces_what_waits_and_sends_no_object_a_second_time(queue: SendingQueue) -> None:
    put(queue, 1, SC, SR)
    sc, _ = queue.list_waiting("pacs")
    queue.record_success(sc, commits=False)
    put(queue, 2, SAME_SC, NEXT_SR)
    assert stages(queue) == {"2.25.2": "accepted", "2.25.1": "replaced", "2.25.3": "waiting"}
    assert queue.list_lacking("c-1", 2, ["pacs", "other"]) == ["other"]
    assert queue.filter_needed({SR.file, NEXT_SR.file, SAME_SC.file}) == {NEXT_SR.file}


def test_only_a_person_has_an_object_sent_again(queue: SendingQueue) -> None:
    for again, stage in ((False, SendingStage.ACCEPTED), (True, SendingStage.WAITING)):
        put(queue, 1, SR, again=again)
        for one in queue.list_waiting("pacs") if not again else ():
            queue.record_success(one, commits=False)
        put(queue, 1, SR, again=again)
        assert stages(queue) == {"2.25.1": stage}


def test_stored_is_not_sent_until_the_archive_has_committed_itself_to_this_request(
    queue: SendingQueue, clinical: ClinicalDatabase
) -> None:
    commitments = StorageCommitments(clinical.database, {"pacs": "ARCHIVE"})
    put(queue, 1, SC, SR)
    for one in queue.list_waiting("pacs"):
        queue.record_success(one, commits=True)
    kept, lost = ObjectReference("1.2.4", "2.25.2"), ObjectReference("1.2.3", "2.25.1")
    assert not commitments.record_report(CommitmentAnswer("1.2.3.4", (kept, lost)))
    assert set(stages(queue).values()) == {SendingStage.STORED}
    transaction = commitments.record_request("pacs", queue.list_stored("pacs"))
    assert commitments.record_report(CommitmentAnswer(transaction, (kept,), ((lost, NO_SUCH_OBJECT),)))
    assert stages(queue) == {"2.25.2": "committed", "2.25.1": "waiting"}
    (again,) = queue.list_waiting("pacs")
    assert again.reason == Reason("pacs.not_committed", {"pacs": "ARCHIVE", "failure": "0112H"})


def test_what_waits_outlives_the_case_and_a_rebuilt_database(tmp_path: Path) -> None:
    state, clinical, _, (case,) = make_finished_cases(tmp_path / "state", [400])
    queue = SendingQueue(clinical.database)
    queue.set_archives({"pacs": PLACE})
    queue.put(DueCase(case, 1, False), 1, [SR, SC], {"pacs": {"sr", "sc"}})
    sr = next(one for one in queue.list_waiting("pacs") if one.kind == "sr")
    queue.record_success(sr, commits=False)
    database_health.write_damage_note(state.clinical_db)
    clinical.database.close()
    rescue.rescue_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    queue = SendingQueue(clinical.database)
    for one_due in due_cases.list_due_cases(clinical.database):  # the rescue has it looked at again
        due_cases.settle_case(clinical.database, one_due)
    clearing = CaseDeletion(state, clinical)
    (one,) = clearing.list_candidates(AgeLimits(NOW, NOW, days_of_work=0))[0]
    assert clearing.delete(one)
    assert due_cases.list_due_cases(clinical.database) == []
    assert [one.kind for one in queue.list_waiting("pacs")] == ["sc"]
    queue.delete_orphans()
    assert [one.kind for one in queue.list_of_case(case)] == ["sc"]


def test_what_was_read_while_no_archive_got_results_is_not_sent_when_one_does_again(tmp_path: Path) -> None:
    _, clinical, _, (case,) = make_finished_cases(tmp_path / "state", [1])
    queue = SendingQueue(clinical.database)
    queue.set_archives({"pacs": PLACE})
    assert due_cases.list_due_cases(clinical.database) == [], "the clinic had no archive when it was read"
    sign(clinical, case)
    queue.set_archives({"pacs": PLACE})
    assert [one.case for one in due_cases.list_due_cases(clinical.database)] == [case]
    for places in ({}, {"pacs": PLACE}):  # send = false, and later true
        queue.set_archives(places)
        assert due_cases.list_due_cases(clinical.database) == []
        assert [archive.name for archive in queue.list_archives()] == list(places)
        sign(clinical, case)
    queue.set_archives({"pacs": PLACE, "county": "10.0.0.6:104 COUNTY"})
    assert [one.case for one in due_cases.list_due_cases(clinical.database)] == [case]


def test_another_archive_under_the_same_name_is_credited_with_nothing_and_gets_what_was_on_its_way(
    tmp_path: Path,
) -> None:
    _, clinical, _, (there, on_its_way) = make_finished_cases(tmp_path / "state", [1, 1])
    queue = SendingQueue(clinical.database)
    queue.set_archives({"pacs": PLACE})
    queue.put(DueCase(there, 1, False), 1, [SR], {"pacs": {"sr", "sc"}})
    queue.record_success(queue.list_waiting("pacs")[0], commits=False)
    queue.put(DueCase(on_its_way, 1, False), 1, [NEXT_SR], {"pacs": {"sr", "sc"}})
    queue.put(DueCase("c-deleted", 1, False), 1, [SC], {"pacs": {"sr", "sc"}})
    queue.set_archives({"pacs": "10.0.0.6:104 OTHER"})
    assert queue.list_of_case(there) == queue.list_of_case(on_its_way) == []
    assert [one.sop_instance_uid for one in queue.list_waiting("pacs")] == [SC.sop_instance_uid]
    assert [case.case for case in due_cases.list_due_cases(clinical.database)] == [on_its_way]
    assert queue.list_lacking(there, 1, ["pacs"]) == ["pacs"]


def test_what_waits_is_given_up_when_the_configuration_no_longer_names_its_kind(queue: SendingQueue) -> None:
    put(queue, 1, SC, SR)
    queue.give_up_other_kinds("pacs", {"sr"})
    assert stages(queue) == {"2.25.2": "replaced", "2.25.1": "waiting"}


def test_the_box_answers_for_what_it_keeps_and_for_nothing_else(tmp_path: Path) -> None:
    state, clinical, _, _ = make_finished_cases(tmp_path / "state", [1, 1])
    rows = clinical.database.connection.execute("SELECT * FROM instances").fetchall()
    (sop_class,) = {
        str(image.header.sop_class_uid)
        for c in clinical.list_references()
        for image in clinical.list_images(c)
        if image.header
    }
    whole, cut = (ObjectReference(sop_class, row["sop_uid"]) for row in rows)
    (state.root / rows[1]["file"]).write_bytes(b"cut")
    strange = ObjectReference(sop_class, "1.2.3.4.5")
    said = StorageCommitments(clinical.database).answer(state.root, "1.2", [whole, whole, cut, strange])
    assert said == CommitmentAnswer("1.2", (whole,), ((cut, PROCESSING_FAILURE), (strange, NO_SUCH_OBJECT)))


@pytest.mark.parametrize("explicit", [True, False])
def test_an_answer_is_read_as_it_was_written_and_a_hostile_one_refused(explicit: bool) -> None:
    said = CommitmentAnswer("1.2.3", (ObjectReference("1.2", "1.3"),), ((ObjectReference("1.4", "1.5"), 0x0112),))
    data = _encode_answer(said, explicit)
    assert parse_commitment(data, explicit=explicit) == said
    endless = (
        _encode_answer(CommitmentAnswer("1.2.3"), explicit) + b"\x08\x00\x99\x11" + (b"SQ\0\0" if explicit else b"")
    )
    for hostile in (
        data[:-3],
        b"",
        endless + b"\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 30_000,
        data.replace(b"1.2.3", b"a b c"),
    ):
        with pytest.raises(InvalidCommitment):
            parse_commitment(hostile, explicit=explicit)


def _encode_answer(said: CommitmentAnswer, explicit: bool) -> bytes:
    from pynetdicom.dsutils import encode

    data: bytes | None = encode(build_answer(said), is_implicit_vr=not explicit, is_little_endian=True)
    assert data is not None
    return data
