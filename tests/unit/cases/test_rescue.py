"""A damaged database is set aside and replaced by its newest whole copy; every image file is admitted again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from firmware_app.appliance import backup_ring, rescue, rescue_report
from firmware_app.appliance.checks import databases
from firmware_app.appliance.errors import RESCUE_IMPOSSIBLE
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patient, Patients
from firmware_app.core import database_health
from firmware_app.core.errors import STORE_DAMAGED
from firmware_app.core.records import Finding, Instance, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.storage import Outcome
from firmware_app.ingest.intake import ImageIntake
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.outbox import Outbox
from tests import objects
from tests.refusals import raises_refusal

IMAGES = 60
PICTURES = 3
COPIED, SIGNED = 40, 5
PAGE = 4096
SEED = int(os.environ.get("LANTERN_SEED") or 4)


@dataclass(frozen=True, slots=True)
class Known:
    """What a filled box holds, to hold a mended one against."""

    folder: Path  # of its state, database and log as a kill left them
    films: list[Path]
    instances: dict[str, tuple[str, str]]  # sha256 -> (reference, case)
    told: set[tuple[str, int]]  # case revisions that the hospital may know
    words: set[str]  # the cases that the copy in the ring has a doctor's words of; later words are not in it

    def copy(self, to: Path) -> StateDir:
        shutil.copytree(self.folder, to, copy_function=os.link)
        for database in StateDir(to).databases:
            for path in database.parent.glob(f"{database.name}*"):
                data = path.read_bytes()
                path.unlink()
                path.write_bytes(data)
        return StateDir(to)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Images through the door, all read, some judged and corrected before and some after a copy of the databases; left
    while open, so that a log is there."""
    folder = tmp_path_factory.mktemp("filled")
    state = StateDir(folder / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    door = ImageIntake(state, clinical, 1, 64)
    films = [_film(folder / f"{number}.dcm", number) for number in range(IMAGES)]
    films += [_picture(folder / f"{number}.bmp", number) for number in range(PICTURES)]
    for path in films[:COPIED]:
        door.accept_file(path)
    read_all(clinical)
    words = {case.reference for case in clinical.load_cases() if case.reference}
    for case in words:
        CaseLists(clinical).judge(case, "pneumonia", "agree", "doctor")
    for case in sorted(words)[:SIGNED]:
        CaseLists(clinical).finish(case, "doctor")
    backup_ring.BackupRing(state.backup).make([state.clinical_db], 3, 0)
    for path in films[COPIED:]:
        door.accept_file(path)
    read_all(clinical)
    cases = [case.reference for case in clinical.load_cases() if case.reference]
    for case in [one for one in cases if one not in sorted(words)[:SIGNED]][:20]:
        CaseLists(clinical).judge(case, "pneumonia", "disagree", "doctor")
        CaseLists(clinical).finish(case, "doctor")
        Patients(clinical, state).correct(case, Patient(name="Somebody", age="050Y"), "doctor")
    assert read_all(clinical) > 0  # again, by the corrected age
    rows = clinical.database.connection.execute("SELECT sha256, reference, case_reference FROM instances").fetchall()
    shutil.copytree(state.root, folder / "killed")
    known = Known(folder / "killed", films, {row[0]: (row[1], row[2]) for row in rows}, revisions(clinical), words)
    clinical.database.close()
    return known


@pytest.fixture(scope="module")
def closed(filled: Known, tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The same box after an orderly end: all that its log held is in the file."""
    state = filled.copy(tmp_path_factory.mktemp("closed") / "state")
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    clinical.database.close()
    return replace(filled, folder=state.root)


def _film(path: Path, number: int) -> Path:
    """Two images to a study."""
    path.write_bytes(objects.file_of(objects.film(study=f"1.2.3.{number // 2}", sop_instance=f"1.2.4.{number}")))
    return path


def _picture(path: Path, number: int) -> Path:
    body = bytes([number]) * 64
    path.write_bytes(b"BM" + (14 + len(body)).to_bytes(4, "little") + bytes(4) + (14).to_bytes(4, "little") + body)
    return path


def read_all(clinical: ClinicalDatabase) -> int:
    """Read what waits, and close every revision as the reader does; returns how many were read."""
    count = 0
    while (claim := clinical.claim()) is not None:
        clinical.finish(claim.instance, reading(claim.instance), Priority.URGENT)
        count += 1
    clinical.close_revisions(-1, report=Outbox(clinical.database).put)
    return count


def reading(instance: Instance) -> Reading:
    finding = Finding("pneumonia", {"en": "Pneumonia", "zh_CN": "肺炎"}, 0.9, 0.5)
    return Reading(
        Scope.INSTANCE,
        (instance.reference,),
        ReadingStatus.READ,
        None,
        PackIdentity("p", "1.0.0", "onnxruntime", "int8"),
        Timing(1, 2, 3),
        (finding,),
    )


def revisions(clinical: ClinicalDatabase) -> set[tuple[str, int]]:
    rows = clinical.database.connection.execute("SELECT case_reference, revision FROM outbox").fetchall()
    return {(row[0], row[1]) for row in rows}


def overwrite(path: Path, page: int, chance: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(PAGE * page)
        file.write(chance.randbytes(PAGE))


def without_copies(state: StateDir) -> StateDir:
    shutil.rmtree(state.backup)
    return state


def read_verdicts(path: Path) -> dict[str, str]:
    """Case -> what a doctor said of it."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT case_reference, verdict FROM verdicts").fetchall())


def check_rebuilt(state: StateDir, known: Known) -> rescue_report.RescueReport:
    """Every promise that holds whatever was damaged."""
    [(_, report)] = rescue_report.list_reports(state)
    assert not database_health.has_any_damage_note(state.databases)
    assert database_health.find_damage(state.clinical_db) is None
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    try:
        connection = clinical.database.connection
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = connection.execute("SELECT sha256, reference, case_reference FROM instances").fetchall()
        assert {row[0]: (row[1], row[2]) for row in rows} == known.instances
        door = ImageIntake(state, clinical, 1, 64)
        assert {door.accept_file(film).outcome for film in known.films} == {Outcome.DUPLICATE}
        carried = revisions(clinical)
        assert carried <= known.told
        assert read_all(clinical) == report.again
        assert connection.execute("SELECT COUNT(*) FROM readings").fetchone()[0] == IMAGES + PICTURES
        assert all(case.priority is Priority.URGENT and case.revision > 0 for case in clinical.load_cases())
        assert not (revisions(clinical) - carried) & known.told  # a number that the hospital knows means what it meant
        newest = Audit(clinical.database).latest(1)[0]
        assert newest.action == "database.rescued"
    finally:
        clinical.database.close()
    return report


def test_whichever_page_is_overwritten_every_image_keeps_its_name_and_gets_its_reading(
    closed: Known, tmp_path: Path
) -> None:
    rescued = 0
    pages = StateDir(closed.folder).clinical_db.stat().st_size // PAGE
    chance = random.Random(SEED)
    for page in {0, *chance.sample(range(pages), min(pages, 8))}:
        state = closed.copy(tmp_path / str(page))
        overwrite(state.clinical_db, page, chance)
        before = state.clinical_db.read_bytes()
        rescue.rescue_database(state, state.clinical_db)
        if not list(rescue_report.list_reports(state)):
            with closing(sqlite3.connect(state.clinical_db)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok", page
            continue
        rescued += 1
        report = check_rebuilt(state, closed)
        assert (state.clinical_db.parent / "damaged" / "1" / "clinical.db").read_bytes() == before
        assert report.since == backup_ring.list_copies(state)[0].at
        assert report.admitted == IMAGES + PICTURES - COPIED
        assert read_verdicts(state.clinical_db) == dict.fromkeys(closed.words, "agree")
    assert rescued > 4


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("first", ["overwritten", "cut", "empty", "gone", "text"])
def test_a_file_that_is_no_database_any_more_costs_no_image_and_no_summary(
    closed: Known, tmp_path: Path, first: str, copied: bool
) -> None:
    state = closed.copy(tmp_path / "state")
    if not copied:
        without_copies(state)
    path = state.clinical_db
    if first == "overwritten":
        overwrite(path, 0, random.Random(SEED))
    elif first == "cut":
        os.truncate(path, path.stat().st_size // 2 + 7)
    elif first == "empty":
        os.truncate(path, 0)
    elif first == "gone":
        path.unlink()
    else:
        path.write_bytes(b"no database at all\n" * 5000)
    rescue.rescue_database(state, path)
    report = check_rebuilt(state, closed)
    assert (path.parent / "damaged" / "1" / "clinical.db").exists() == (first != "gone")
    assert bool(report.since) == copied
    assert report.admitted == IMAGES + PICTURES - COPIED * copied
    assert read_verdicts(path) == (dict.fromkeys(closed.words, "agree") if copied else {})
    clinical = ClinicalDatabase(path)
    waiting = dict(sorted(revisions(clinical)))  # the highest of each case
    clinical.database.close()
    assert waiting.keys() == {case for case, _ in closed.told}
    assert all(waiting[case] >= revision for case, revision in closed.told)


def test_a_case_that_a_doctor_was_done_with_does_not_come_back_to_the_list(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    check_rebuilt(state, closed)
    clinical = ClinicalDatabase(state.clinical_db)
    assert {row.case for row in CaseLists(clinical).list_rows("done", 99)} == set(sorted(closed.words)[:SIGNED])
    clinical.database.close()


def test_a_copy_that_went_bad_is_passed_over(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    shutil.copytree(state.backup / "000001", state.backup / "000002")
    bad = state.backup / "000002" / "clinical.db"
    data = bad.read_bytes()
    bad.write_bytes(data[:PAGE] + bytes(PAGE) + data[2 * PAGE :])
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    assert check_rebuilt(state, closed).since
    assert read_verdicts(state.clinical_db) == dict.fromkeys(closed.words, "agree")


def test_every_table_is_as_the_copy_has_it(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    (copy,) = backup_ring.list_copies(state)
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    with (
        backup_ring.open_copy(copy.folder / "clinical.db") as before,
        closing(sqlite3.connect(f"{state.clinical_db.as_uri()}?mode=ro", uri=True)) as after,
    ):
        for (table,) in before.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table not in ("cases", "associations", "results_due"):  # those that go on
                had, has = ({tuple(row) for row in one.execute(f'SELECT * FROM "{table}"')} for one in (before, after))
                assert had <= has or table == "sqlite_sequence", table


def test_a_report_of_a_version_before_copies_is_counted_and_says_nothing_wrong(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    folder = state.clinical_db.parent / "damaged" / "1"
    folder.mkdir(parents=True)
    said = {
        "number": 1,
        "database": "clinical.db",
        "at": "2026-11-21T03:15:09+00:00",
        "cause": "x",
        "lost": {"audit": 3},
    }
    (folder / "report.json").write_text(json.dumps(said), "utf-8")
    assert len(list(rescue_report.list_reports(state))) == 1
    assert list(databases._check_rescues(state)) == []


def test_what_lies_only_in_the_log_is_not_lost_with_a_page_of_the_file(filled: Known, tmp_path: Path) -> None:
    state = filled.copy(tmp_path / "state")
    assert state.clinical_db.with_name("clinical.db-wal").stat().st_size > 0
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    if list(rescue_report.list_reports(state)):
        check_rebuilt(state, filled)
    else:  # the log holds the first page too
        clinical = ClinicalDatabase(state.clinical_db)
        assert clinical.database.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        rows = clinical.database.connection.execute("SELECT sha256, reference, case_reference FROM instances")
        assert {row[0]: (row[1], row[2]) for row in rows} == filled.instances
        assert revisions(clinical) == filled.told
        clinical.database.close()


def damage_log(state: StateDir) -> None:
    """Damage the log's first frame, so that SQLite takes none."""
    with state.clinical_db.with_name("clinical.db-wal").open("r+b") as file:
        file.seek(32 + 100)
        file.write(b"\xff" * 200)


def test_images_that_a_hole_in_the_log_takes_are_taken_in_again(closed: Known, tmp_path: Path) -> None:
    running = closed.copy(tmp_path / "running")
    clinical = ClinicalDatabase(running.clinical_db)
    door = ImageIntake(running, clinical, 1, 64)
    for number in range(IMAGES, IMAGES + 3):
        assert door.accept_file(_film(tmp_path / f"{number}.dcm", number)).outcome is Outcome.ACCEPTED
    rows = clinical.database.connection.execute("SELECT sha256, reference, case_reference FROM instances").fetchall()
    shutil.copytree(running.root, tmp_path / "killed")
    newest = Audit(clinical.database).latest(1)[0].at
    clinical.database.close()
    state = StateDir(tmp_path / "killed")
    words = read_verdicts(running.clinical_db)
    damage_log(state)
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue_report.list_reports(state)
    assert "3 images have no row" in report.cause
    assert report.admitted == 3
    assert read_verdicts(state.clinical_db) == words
    assert report.since == newest
    clinical = ClinicalDatabase(state.clinical_db)
    rows_after = clinical.database.connection.execute(
        "SELECT sha256, reference, case_reference FROM instances"
    ).fetchall()
    assert {tuple(row) for row in rows_after} == {tuple(row) for row in rows}
    clinical.database.close()


# --- what the hospital counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [True, False])
def test_a_summary_that_waited_waits_after_the_database_was_lost(closed: Known, tmp_path: Path, copied: bool) -> None:
    state = closed.copy(tmp_path / "state")
    if not copied:
        without_copies(state)
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    check_rebuilt(state, closed)
    clinical = ClinicalDatabase(state.clinical_db)
    after = revisions(clinical)
    clinical.database.close()
    assert closed.told
    assert all(any(case == one and number >= revision for one, number in after) for case, revision in closed.told)


def test_no_number_is_used_twice_when_damaged_was_emptied_and_the_rows_are_lost(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    for number in (1, 2):
        state.clinical_db.write_bytes(b"\xff" * 3 * PAGE)
        rescue.rescue_database(state, state.clinical_db)
        [(_, report)] = rescue_report.list_reports(state)
        assert (report.number, report.revision_floor) == (number, 1000 * number)
        shutil.rmtree(state.clinical_db.parent / "damaged")


def test_the_rows_of_earlier_rescues_count_too(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    for number in (1, 2):
        overwrite(state.clinical_db, 0, random.Random(SEED))
        rescue.rescue_database(state, state.clinical_db)
        [(_, report)] = rescue_report.list_reports(state)
        assert report.number == number
        shutil.rmtree(state.clinical_db.parent / "damaged")
        state.clinical_db.with_name("clinical.db-rescues").unlink()
        backup_ring.BackupRing(state.backup).make([state.clinical_db], 3, 0)


def test_when_all_numbers_are_used_the_rescue_is_refused_and_nothing_is_touched(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    state.clinical_db.with_name("clinical.db-rescues").write_text("998")
    cut = sorted(state.images.glob("*/*.dcm"))[0]
    data = cut.read_bytes()[:500]
    cut.unlink()
    cut.write_bytes(data)
    overwrite(state.clinical_db, 0, random.Random(SEED))
    before = state.clinical_db.read_bytes()
    with raises_refusal(RESCUE_IMPOSSIBLE):
        rescue.rescue_database(state, state.clinical_db)
    assert state.clinical_db.read_bytes() == before
    assert cut.read_bytes() == data


@pytest.mark.parametrize("copied", [True, False])
def test_an_audit_that_lost_its_newest_entries_is_never_called_whole(
    closed: Known, tmp_path: Path, copied: bool
) -> None:
    state = closed.copy(tmp_path / "state")
    if not copied:
        without_copies(state)
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    last = clinical.database.connection.execute("SELECT COUNT(*) - 1 FROM audit").fetchone()[0]
    whole, reason = Audit(clinical.database).verify()
    clinical.database.close()
    assert (whole, reason.code, reason.details["after"]) == (False, "audit.cut_off", last)
    assert (last > 0) == copied


def test_nobody_opens_a_database_that_waits_to_be_rebuilt_and_nobody_rebuilds_an_open_one(
    filled: Known, tmp_path: Path
) -> None:
    state = filled.copy(tmp_path / "state")
    first = ClinicalDatabase(state.clinical_db)
    first.require()
    overwrite(state.clinical_db, 1, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    assert list(rescue_report.list_reports(state)) == []
    first.database.close()
    database_health.write_damage_note(state.clinical_db)
    with raises_refusal(STORE_DAMAGED):
        ClinicalDatabase(state.clinical_db).require()


def test_a_whole_database_is_left_alone(filled: Known, tmp_path: Path) -> None:
    state = filled.copy(tmp_path / "state")
    before = state.clinical_db.read_bytes()
    database_health.write_damage_note(state.clinical_db)  # somebody stumbled, and the thorough check finds nothing
    rescue.rescue_database(state, state.clinical_db)
    assert state.clinical_db.read_bytes() == before
    assert list(rescue_report.list_reports(state)) == []
    assert not database_health.has_any_damage_note(state.databases)


def test_a_box_that_was_never_started_has_nothing_to_rescue(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.prepare()
    for database in state.databases:
        rescue.rescue_database(state, database)
    assert list(rescue_report.list_reports(state)) == []


def test_a_row_whose_file_is_gone_is_kept_and_counted(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    sha256 = hashlib.sha256(closed.films[0].read_bytes()).hexdigest()  # which the copy knows
    next(state.images.glob(f"*/{sha256}.dcm")).unlink()
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue_report.list_reports(state)
    assert report.missing == 1


def test_a_file_that_is_no_whole_image_any_more_is_counted_and_stays(filled: Known, tmp_path: Path) -> None:
    state = without_copies(filled.copy(tmp_path / "state"))
    broken = sorted(state.images.glob("*/*.dcm"))[0]
    data = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(data[: len(data) // 2])
    for path in state.clinical_db.parent.glob("clinical.db*"):
        path.unlink()
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue_report.list_reports(state)
    assert (report.unusable, report.admitted) == (1, IMAGES + PICTURES - 1)
    assert broken.with_name(broken.name + ".damaged").read_bytes() == data[: len(data) // 2]
    clinical = ClinicalDatabase(state.clinical_db)
    door = ImageIntake(state, clinical, 1, 64)
    outcomes = [door.accept_file(film).outcome for film in filled.films]
    assert outcomes.count(Outcome.ACCEPTED) == 1  # the machine has it still
    assert broken.read_bytes() == data
    clinical.database.close()


def test_a_file_that_is_whole_but_strange_keeps_its_name(closed: Known, tmp_path: Path) -> None:
    state = without_copies(closed.copy(tmp_path / "state"))
    strange = sorted(state.images.glob("*/*.dcm"))[0]
    data = strange.read_bytes()
    strange.unlink()
    strange.write_bytes(data.replace(b"1.2.4.", b"x.y.z."))  # no identity: the door would refuse it
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue_report.list_reports(state)
    assert (report.unusable, report.admitted) == (1, IMAGES + PICTURES - 1)
    assert strange.exists()


def test_an_image_that_cannot_be_read_does_not_keep_the_others_from_coming_back(
    closed: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = without_copies(closed.copy(tmp_path / "state"))
    bad = sorted(state.images.glob("*/*.dcm"))[0]
    sector, read = bad.stat().st_ino, os.pread

    def failing(descriptor: int, count: int, offset: int) -> bytes:  # no disk with a bad sector is at hand
        if os.fstat(descriptor).st_ino == sector:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue_report.list_reports(state)
    assert (report.unusable, report.admitted) == (1, IMAGES + PICTURES - 1)
    assert bad.exists()


def test_what_is_set_aside_is_for_the_box_alone(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    folder = state.clinical_db.parent / "damaged"
    assert [oct(path.stat().st_mode & 0o7777) for path in (folder, folder / "1")] == ["0o2770", "0o2770"]
    for path in (folder / "1" / "report.json", state.clinical_db, state.clinical_db.with_name("clinical.db-rescues")):
        assert oct(path.stat().st_mode & 0o7777) == "0o660"


# --- the other two ------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path)
    state.prepare()
    return state


@pytest.mark.parametrize("copied", [True, False])
def test_a_damaged_exchange_is_a_new_stream_with_the_hospitals_key_of_the_copy(small: StateDir, copied: bool) -> None:
    exchange = Exchange(small.exchange_db)
    exchange.create()
    stream = exchange.read_status().stream
    exchange.keep_keys("verify", 3, b"signed")
    exchange.database.close()
    if copied:
        backup_ring.BackupRing(small.backup).make([small.exchange_db], 3, 0)
    overwrite(small.exchange_db, 0, random.Random(SEED))
    rescue.rescue_database(small, small.exchange_db)
    exchange.require()
    assert exchange.read_status().stream != stream
    assert exchange.read_keys("verify") == (b"signed" if copied else None)
    exchange.database.close()


def add_accounts(state: StateDir) -> tuple[Accounts, Audit]:
    """Three accounts, an audit, and a copy of both."""
    clinical, accounts = ClinicalDatabase(state.clinical_db), Accounts(state.accounts_db)
    clinical.create()
    accounts.create()
    for name in ("doctor", "left", "other"):
        accounts.add(name, Role.DOCTOR)
        accounts.set_password(name, "$argon2id$old")
    backup_ring.BackupRing(state.backup).make(state.databases, 3, 0)
    return accounts, Audit(clinical.database)


def test_no_old_password_and_no_lifted_lock_lets_anybody_in(small: StateDir) -> None:
    accounts, audit = add_accounts(small)
    accounts.set_password("doctor", "$argon2id$new")
    audit.record("doctor", "password.changed")
    accounts.disable("left")
    audit.record("doctor", "user.disabled", account="Left")
    audit.record("doctor", "login")
    code, session = accounts.reset_password("other"), accounts.open_session("other")
    accounts.database.close()
    audit._database.close()
    overwrite(small.accounts_db, 0, random.Random(SEED))
    rescue.rescue_database(small, small.accounts_db)
    assert [accounts.find_password_hash(name) for name in ("doctor", "left", "other")] == [None, None, "$argon2id$old"]
    assert [user.name for user in accounts.list_users() if user.disabled] == ["left"]
    assert accounts.find_session_user(session) is None
    assert accounts.find_claim(code) is None
    ((_, report),) = rescue_report.list_reports(small)
    assert report.since
    accounts.database.close()


@pytest.mark.parametrize("harm", ["damaged", "gone", "as the copy was"])
def test_where_the_audit_cannot_tell_what_changed_every_password_is_void(small: StateDir, harm: str) -> None:
    accounts, audit = add_accounts(small)
    accounts.database.close()
    audit._database.close()
    if harm == "damaged":
        database_health.write_damage_note(small.clinical_db)
    else:
        small.clinical_db.unlink()
        if harm == "as the copy was":
            rescue.rescue_database(small, small.clinical_db)
    overwrite(small.accounts_db, 0, random.Random(SEED))
    rescue.rescue_database(small, small.accounts_db)
    assert [(user.name, user.has_password) for user in accounts.list_users()] == [
        ("doctor", False),
        ("left", False),
        ("other", False),
    ]
    accounts.database.close()


def test_accounts_without_a_copy_let_nobody_in(small: StateDir) -> None:
    accounts = Accounts(small.accounts_db)
    accounts.create()
    accounts.add("doctor", Role.DOCTOR)
    accounts.database.close()
    small.accounts_db.write_bytes(b"\xff" * 30000)
    rescue.rescue_database(small, small.accounts_db)
    accounts.create()
    assert accounts.list_users() == []
    assert accounts.find_password_hash("doctor") is None
    ((_, report),) = rescue_report.list_reports(small)
    assert report.since == ""
    accounts.database.close()
