"""Deleting finished cases: only what is read, sent, signed and old goes, and no kill leaves half a case."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from firmware_app.appliance import backup_ring, rescue, rescue_report
from firmware_app.cases import result_versions
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_deletion import AgeLimits, CaseDeletion, KeptCases
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patients
from firmware_app.cases.quarantine import count_refused
from firmware_app.cases.registration_entry import check_registration
from firmware_app.cases.registrations import Registrations
from firmware_app.cases.result_versions import SignedReport
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.storage import Outcome
from firmware_app.results import due_cases
from firmware_app.results.archive_queue import SendingQueue
from firmware_app.uplink.outbox import Outbox
from tests.finished import (
    DOCTOR,
    NOW,
    admit_image,
    days_ago,
    film,
    list_case_files,
    make_finished_cases,
    open_state,
    read_all,
    sign,
)

AGE = 30
LIMITS = AgeLimits(NOW, NOW - timedelta(days=AGE), days_of_work=1)


def may_go(clearing: CaseDeletion, limits: AgeLimits = LIMITS) -> list[str]:
    return [one.case for one in clearing.list_candidates(limits)[0]]


def clear(clearing: CaseDeletion, limits: AgeLimits = LIMITS) -> list[str]:
    return [one.case for one in clearing.list_candidates(limits)[0] if clearing.delete(one)]


def test_a_case_whose_results_are_due_for_an_archive_stays_until_they_are_made(tmp_path: Path) -> None:
    state, clinical, _, (case, _) = make_finished_cases(tmp_path / "state", [200, 1])
    clearing = CaseDeletion(state, clinical)
    (gone,) = clearing.list_candidates(LIMITS)[0]
    SendingQueue(clinical.database).set_archives({"pacs": "10.0.0.5:104 ARCHIVE"})
    sign(clinical, case)
    assert clearing.list_candidates(LIMITS)[1].unsent == 1
    assert not clearing.delete(gone)
    (one,) = due_cases.list_due_cases(clinical.database)
    due_cases.settle_case(clinical.database, one)
    assert clear(clearing) == [case]


def files_with_a_row(clinical: ClinicalDatabase) -> set[str]:
    connection = clinical.database.connection
    return {row[0] for row in connection.execute("SELECT file FROM instances")}


def test_a_finished_case_goes_with_its_files_and_rows_and_the_audit_says_so(tmp_path: Path) -> None:
    state, clinical, door, cases = make_finished_cases(tmp_path / "state", [200, 100, 1])
    patients = Patients(clinical, state)
    assert patients.correct(cases[0], replace(patients.load_displayed(cases[0]).patient, name="Li Hua"), DOCTOR) == 0
    known = patients.load_displayed(cases[0]).patient
    form = {"patient_id": "7", "name": "Li Hua", "age": known.age, "sex": known.sex, "examination": "chest"}
    registered = (
        Registrations(clinical.database).add(check_registration(form, datetime.now().astimezone()), DOCTOR).registered
    )
    assert patients.tie(cases[0], registered, DOCTOR) == 0
    clinical.database.connection.execute("INSERT INTO listed_more VALUES (?, 3)", (cases[0],))
    for case in cases:
        SignedReport(state, case, 1, "0" * 64, "en").store(b"%PDF-1.7 %%EOF")
    before = count_refused(clinical.database.connection)
    with pytest.raises(Exception, match="conflict"):  # the same identity with other bytes is set aside
        door.accept_file(_alter_copy(tmp_path / "state-films" / "0.dcm"))
    assert list(state.set_aside.iterdir())
    assert clear(CaseDeletion(state, clinical)) == cases[:2]
    assert {row[0] for row in clinical.database.connection.execute("SELECT reference FROM cases")} == {cases[2]}
    assert [path.name for path in (state.root / result_versions.REPORTS_FOLDER).iterdir()] == [cases[2]]
    left = list_case_files(state)
    assert len(left) == 3, "one image and two files for people"
    assert files_with_a_row(clinical) <= left
    of_cases = clinical.database.connection.execute(
        "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE c.name = 'case_reference'"
    ).fetchall()
    assert len(of_cases) > 9
    for (table,) in of_cases:
        rows = clinical.database.connection.execute(f"SELECT DISTINCT case_reference FROM {table}").fetchall()
        if table not in ("audit", "retired"):  # a reference says nothing to anybody but this box
            assert {row[0] for row in rows} <= {cases[2], None}, table
    assert Registrations(clinical.database).list_latest(9) == []
    entries = [entry for entry in Audit(clinical.database).latest(9) if entry.action == "case.deleted"]
    assert {entry.case for entry in entries} == set(cases[:2])
    assert all(entry.actor == "box" and entry.details["images"] == 1 for entry in entries)
    assert Audit(clinical.database).verify()[0]
    assert count_refused(clinical.database.connection) == before + 1, "what was refused stays counted"
    assert not list(clinical.database.connection.execute("SELECT * FROM leaving"))
    clinical.database.close()


def test_a_name_is_not_left_in_a_free_page(tmp_path: Path) -> None:
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", [*range(200, 150, -1), 1])
    patients = Patients(clinical, state)
    for number, case in enumerate(cases):
        patients.correct(case, replace(patients.load_displayed(case).patient, name=f"Somebody-{number:04d}"), DOCTOR)
    clinical.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert state.clinical_db.read_bytes().count(b"Somebody-") >= len(cases)
    assert clear(CaseDeletion(state, clinical)) == cases[:-1]
    clinical.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert set(re.findall(rb"Somebody-\d{4}", state.clinical_db.read_bytes())) == {b"Somebody-0050"}
    clinical.database.close()


def _alter_copy(path: Path) -> Path:
    altered = path.with_name("altered.dcm")
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    altered.write_bytes(data)
    return altered


def _image_waits(state: StateDir, clinical: ClinicalDatabase, case: str) -> None:
    clinical.database.connection.execute("UPDATE instances SET state = 'waiting' WHERE case_reference = ?", (case,))


def _revision_is_open(state: StateDir, clinical: ClinicalDatabase, case: str) -> None:
    clinical.database.connection.execute("UPDATE cases SET fresh = 1 WHERE reference = ?", (case,))


def _summary_waits(state: StateDir, clinical: ClinicalDatabase, case: str) -> None:
    with clinical.database.transaction():
        Outbox(clinical.database).put(clinical.load_case(case))


def _doctor_is_not_done(state: StateDir, clinical: ClinicalDatabase, case: str) -> None:
    clinical.database.connection.execute("DELETE FROM reviews WHERE case_reference = ?", (case,))


def _doctor_was_done_with_an_earlier_revision(state: StateDir, clinical: ClinicalDatabase, case: str) -> None:
    clinical.database.connection.execute("UPDATE cases SET revision = revision + 1 WHERE reference = ?", (case,))


def _doctor_had_no_opinion(state: StateDir, clinical: ClinicalDatabase, case: str) -> None:
    CaseLists(clinical).judge(case, "pneumonia", "none", DOCTOR)


HOLDS: dict[Callable[[StateDir, ClinicalDatabase, str], None], str] = {
    _image_waits: "unread",
    _revision_is_open: "unread",
    _summary_waits: "unsent",
    _doctor_is_not_done: "unsigned",
    _doctor_was_done_with_an_earlier_revision: "unsigned",
    _doctor_had_no_opinion: "unsigned",
}


@pytest.mark.parametrize("hold", HOLDS, ids=lambda hold: hold.__name__.strip("_"))
def test_unread_unsent_and_unsigned_work_stays(
    tmp_path: Path, hold: Callable[[StateDir, ClinicalDatabase, str], None]
) -> None:
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", [200, 100, 1])
    clearing = CaseDeletion(state, clinical)
    assert may_go(clearing) == cases[:2]
    ((one, other), _) = clearing.list_candidates(LIMITS)
    hold(state, clinical, cases[0])
    candidates, kept = clearing.list_candidates(LIMITS)
    assert [candidate.case for candidate in candidates] == [cases[1]]
    assert kept == KeptCases(**{**dict.fromkeys(KeptCases.__slots__, 0), HOLDS[hold]: 1, "recent": 1})
    assert not clearing.delete(one), "it is held against every condition again at the moment it would go"
    assert clearing.delete(other)
    assert clinical.load_case(cases[0]).files
    clinical.database.close()


def test_an_image_that_comes_between_the_look_and_the_deletion_keeps_its_case(tmp_path: Path) -> None:
    state, clinical, door, cases = make_finished_cases(tmp_path / "state", [200, 1])
    clearing = CaseDeletion(state, clinical)
    (one,) = clearing.list_candidates(LIMITS)[0]
    late = admit_image(door, film(tmp_path / "late", 7, study=0), days_ago(200))
    assert late == cases[0]
    assert not clearing.delete(one)
    assert len(clinical.load_case(cases[0]).files) == 2
    clinical.database.close()


# --- clocks ----------------------------------------------------------------------------------------------------------


def _came(clinical: ClinicalDatabase, times: list[str]) -> None:
    for number, at in enumerate(times, 1):
        clinical.database.connection.execute("UPDATE instances SET received_at = ? WHERE sequence = ?", (at, number))


def test_an_image_is_no_older_than_those_before_it(tmp_path: Path) -> None:
    """The clock stood in 1970 when the second came."""
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", [200, 20, 20, 1])
    _came(clinical, [days_ago(200), "1970-01-01T00:00:00.000+00:00", days_ago(20), days_ago(1)])
    assert may_go(CaseDeletion(state, clinical)) == cases[:2]
    _came(clinical, [days_ago(20), "1970-01-01T00:00:00.000+00:00", days_ago(20), days_ago(1)])
    assert may_go(CaseDeletion(state, clinical)) == []
    clinical.database.close()


def test_an_image_whose_time_nobody_vouched_for_is_as_new_as_the_next_one(tmp_path: Path) -> None:
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", [200, 190, 180, 1])
    _came(clinical, [days_ago(200), days_ago(190) + "?", days_ago(20), days_ago(1)])
    assert may_go(CaseDeletion(state, clinical)) == cases[:1]
    _came(clinical, [days_ago(200), days_ago(190) + "?", days_ago(180), days_ago(1)])
    assert may_go(CaseDeletion(state, clinical)) == cases[:3]
    _came(clinical, [days_ago(200), *(days_ago(190 - n) + "?" for n in range(3))])
    assert may_go(CaseDeletion(state, clinical)) == cases[:1], "behind it nobody ever told the time"
    clinical.database.close()


def test_a_clock_that_jumps_ahead_deletes_nothing_of_the_newest_days_of_work(tmp_path: Path) -> None:
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", range(40, 0, -1))
    ahead = NOW + timedelta(days=5000)
    limits = AgeLimits(ahead, ahead - timedelta(days=AGE), days_of_work=30)
    assert may_go(CaseDeletion(state, clinical), limits) == cases[:10]
    clinical.database.close()


# --- what comes back -------------------------------------------------------------------------------------------------


def test_a_deleted_case_that_comes_again_goes_on_behind_the_revision_that_the_hospital_knows(tmp_path: Path) -> None:
    state, clinical, door, cases = make_finished_cases(tmp_path / "state", [200, 1])
    known = clinical.load_case(cases[0]).revision
    assert clear(CaseDeletion(state, clinical)) == cases[:1]
    again = door.accept_file(tmp_path / "state-films" / "0.dcm")
    assert (again.outcome, again.case) == (Outcome.ACCEPTED, cases[0])
    read_all(state, clinical)
    assert clinical.load_case(cases[0]).revision == known + 1
    assert not CaseLists(clinical).is_done(cases[0])
    sign(clinical, cases[0])
    clinical.database.connection.execute(
        "UPDATE instances SET received_at = ? WHERE case_reference = ?", (days_ago(100), cases[0])
    )
    clinical.database.connection.execute("UPDATE instances SET sequence = 0 WHERE case_reference = ?", (cases[0],))
    assert clear(CaseDeletion(state, clinical)) == cases[:1]
    row = clinical.database.connection.execute("SELECT revision, arrivals FROM retired").fetchone()
    assert tuple(row) == (known + 1, 2)
    clinical.database.close()


def _rows_gone_files_left(state: StateDir, clinical: ClinicalDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right behind the commit that deletes the oldest case."""
    clearing = CaseDeletion(state, clinical)
    with monkeypatch.context() as cut:
        cut.setattr(clearing, "_remove", lambda case: None)
        assert clearing.delete(clearing.list_candidates(LIMITS)[0][0])


def test_the_same_image_sent_again_while_its_files_leave_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, clinical, door, cases = make_finished_cases(tmp_path / "state", [200, 1])
    _rows_gone_files_left(state, clinical, monkeypatch)
    again = door.accept_file(tmp_path / "state-films" / "0.dcm")
    assert again.outcome is Outcome.ACCEPTED
    read_all(state, clinical)
    assert CaseDeletion(state, clinical).finish() == 1
    assert files_with_a_row(clinical) <= list_case_files(state)
    assert (state.display / again.instance / "0.png").exists()
    assert clinical.load_case(cases[0]).files
    clinical.database.close()


def test_an_image_whose_file_leaves_between_its_link_and_its_row_is_put_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, clinical, door, _ = make_finished_cases(tmp_path / "state", [200, 1])
    _rows_gone_files_left(state, clinical, monkeypatch)
    link = door._link

    def linked(spool: object, file: str) -> bool:
        is_new = link(spool, file)  # type: ignore[arg-type]
        CaseDeletion(state, clinical).finish()  # the other process is just here
        return is_new

    with monkeypatch.context() as between:
        between.setattr(door, "_link", linked)
        again = door.accept_file(tmp_path / "state-films" / "0.dcm")
    assert again.outcome is Outcome.ACCEPTED
    assert files_with_a_row(clinical) <= list_case_files(state)
    clinical.database.close()


def test_a_rescue_brings_no_deleted_case_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are still there, and the copy knows that they are to go."""
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", range(240, 200, -1))
    clearing = CaseDeletion(state, clinical)
    for one in clearing.list_candidates(LIMITS)[0][:-2]:
        assert clearing.delete(one)
    _rows_gone_files_left(state, clinical, monkeypatch)
    known = {row[0] for row in clinical.database.connection.execute("SELECT reference FROM cases")}
    assert len(known) < len(cases) // 2
    clinical.database.close()
    backup_ring.BackupRing(state.backup).make([state.clinical_db], 3, 0)
    state.clinical_db.write_bytes(b"\xa5" * 8192)
    rescue.rescue_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    assert {row[0] for row in clinical.database.connection.execute("SELECT reference FROM cases")} == known
    ((_, report),) = rescue_report.list_reports(state)
    assert report.missing == 0
    assert CaseDeletion(state, clinical).finish() == 1
    assert files_with_a_row(clinical) == {name for name in list_case_files(state) if name.startswith("images/")}
    clinical.database.close()


def test_a_study_of_which_only_a_report_came_goes_by_its_age(tmp_path: Path) -> None:
    state, clinical, door = open_state(tmp_path / "state")
    cases = [admit_image(door, film(tmp_path / "films", number), days_ago(200 - 199 * number)) for number in range(2)]
    connection = clinical.database.connection  # as the door takes what is no image
    connection.execute("UPDATE instances SET kind = 'report', state = 'done' WHERE case_reference = ?", (cases[0],))
    connection.execute("UPDATE cases SET fresh = 0 WHERE reference = ?", (cases[0],))
    (one,), kept = CaseDeletion(state, clinical).list_candidates(LIMITS)
    assert (one.case, one.without_image) == (cases[0], True)
    assert kept == KeptCases(unread=1)
    assert CaseDeletion(state, clinical).delete(one)
    clinical.database.close()
