"""A damaged database is set aside and rebuilt: from its readable rows, from its indexes, and from the image files."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from firmware_app.appliance import backup_ring, rescue
from firmware_app.appliance.errors import (
    RESCUE_IMPOSSIBLE,
)
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patient, Patients
from firmware_app.cases.worklist import Worklist
from firmware_app.core import database_health
from firmware_app.core.errors import (
    STORE_DAMAGED,
)
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
PAGE = 4096
SEED = int(os.environ.get("LANTERN_SEED") or 4)


@dataclass(frozen=True, slots=True)
class Known:
    """What a filled box holds, to hold a rebuilt one against."""

    folder: Path  # of its state, database and log as a kill left them
    films: list[Path]
    instances: dict[str, tuple[str, str]]  # sha256 -> (reference, case)
    told: set[tuple[str, int]]  # case revisions that the hospital may know

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
    """Images through the door, all read, some judged and corrected; copied while open, so that a log is there."""
    folder = tmp_path_factory.mktemp("filled")
    state = StateDir(folder / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    door = ImageIntake(state, clinical, 1, 64)
    films = [_film(folder / f"{number}.dcm", number) for number in range(IMAGES)]
    films += [_picture(folder / f"{number}.bmp", number) for number in range(PICTURES)]
    for path in films:
        door.accept_file(path)
    read_all(clinical)
    cases = [case.reference for case in clinical.cases() if case.reference]
    for case in cases[:20]:
        Worklist(clinical).judge(case, "pneumonia", "agree", "doctor")
        Worklist(clinical).finish(case, "doctor")
        Patients(clinical, state).correct(case, Patient(name="Somebody", age="050Y"), "doctor")
    assert read_all(clinical) > 0  # again, by the corrected age
    rows = clinical.database.connection.execute("SELECT sha256, reference, case_reference FROM instances").fetchall()
    shutil.copytree(state.root, folder / "killed")
    known = Known(folder / "killed", films, {row[0]: (row[1], row[2]) for row in rows}, revisions(clinical))
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


def check_rebuilt(state: StateDir, known: Known) -> rescue.RescueReport:
    """Every promise that holds whatever was damaged."""
    [(_, report)] = rescue.list_reports(state)
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
        assert all(case.priority is Priority.URGENT and case.revision > 0 for case in clinical.cases())
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
        if not list(rescue.list_reports(state)):
            with closing(sqlite3.connect(state.clinical_db)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok", page
            continue
        rescued += 1
        check_rebuilt(state, closed)
        assert (state.clinical_db.parent / "damaged" / "1" / "clinical.db").read_bytes() == before
    assert rescued > 4


@pytest.mark.parametrize("first", ["overwritten", "cut", "empty", "gone", "text"])
def test_a_file_that_is_no_database_any_more_is_rebuilt_from_its_leaves_and_the_images(
    closed: Known, tmp_path: Path, first: str
) -> None:
    state = closed.copy(tmp_path / "state")
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
    if first in ("empty", "gone", "text"):
        assert report.admitted == report.again == IMAGES + PICTURES
    clinical = ClinicalDatabase(path)
    waiting = dict(sorted(revisions(clinical)))  # the highest of each case
    clinical.database.close()
    assert waiting.keys() == {case for case, _ in closed.told}
    assert all(waiting[case] >= revision for case, revision in closed.told)


def test_what_lies_only_in_the_log_is_not_lost_with_a_page_of_the_file(filled: Known, tmp_path: Path) -> None:
    state = filled.copy(tmp_path / "state")
    assert state.clinical_db.with_name("clinical.db-wal").stat().st_size > 0
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    if list(rescue.list_reports(state)):
        check_rebuilt(state, filled)
    else:  # the log holds the first page too
        clinical = ClinicalDatabase(state.clinical_db)
        assert clinical.database.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        rows = clinical.database.connection.execute("SELECT sha256, reference, case_reference FROM instances")
        assert {row[0]: (row[1], row[2]) for row in rows} == filled.instances
        assert revisions(clinical) == filled.told
        clinical.database.close()


def punched(state: StateDir) -> None:
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
    clinical.database.close()
    state = StateDir(tmp_path / "killed")
    punched(state)
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue.list_reports(state)
    assert "3 images have no row" in report.cause
    assert (report.admitted, report.doubtful) == (3, 3)
    clinical = ClinicalDatabase(state.clinical_db)
    rows_after = clinical.database.connection.execute(
        "SELECT sha256, reference, case_reference FROM instances"
    ).fetchall()
    assert {tuple(row) for row in rows_after} == {tuple(row) for row in rows}
    clinical.database.close()


# --- a writer that was killed before its commit was durable -----------------------------------------------------


# --- what the hospital counts ------------------------------------------------------------------------------------


def leaves_of(path: Path, table: str) -> list[int]:
    """Every page, counted from 0, of *table* and its indexes."""
    connection = sqlite3.connect(path)
    roots = connection.execute("SELECT rootpage FROM sqlite_schema WHERE tbl_name = ?", (table,)).fetchall()
    connection.close()
    data, leaves, left = path.read_bytes(), [], [row[0] - 1 for row in roots if row[0]]
    while left:
        page = left.pop()
        leaves.append(page)
        start = PAGE * page
        if data[start] in (2, 5):  # an inner page: its children, and the last one
            for cell in range(int.from_bytes(data[start + 3 : start + 5], "big")):
                at = start + int.from_bytes(data[start + 12 + 2 * cell : start + 14 + 2 * cell], "big")
                left.append(int.from_bytes(data[at : at + 4], "big") - 1)
            left.append(int.from_bytes(data[start + 8 : start + 12], "big") - 1)
    return leaves


@pytest.mark.parametrize("first_page", [False, True])
def test_a_summary_that_waited_waits_after_the_outbox_was_lost(closed: Known, tmp_path: Path, first_page: bool) -> None:
    state = closed.copy(tmp_path / "state")
    pages = leaves_of(state.clinical_db, "outbox")
    for page in [*pages, *([0] if first_page else [])]:
        overwrite(state.clinical_db, page, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    report = check_rebuilt(state, closed)
    clinical = ClinicalDatabase(state.clinical_db)
    after = revisions(clinical)
    clinical.database.close()
    assert closed.told
    assert all(any(case == one and number >= revision for one, number in after) for case, revision in closed.told)
    assert report.repeated == len({case for case, _ in closed.told})


def test_a_summary_that_waited_waits_after_the_log_was_lost(filled: Known, tmp_path: Path) -> None:
    state = filled.copy(tmp_path / "state")
    punched(state)
    overwrite(state.clinical_db, 1, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue.list_reports(state)
    assert report.doubtful > 0
    clinical = ClinicalDatabase(state.clinical_db)
    carried = revisions(clinical)
    read_all(clinical)
    after = revisions(clinical)
    rows = clinical.database.connection.execute("SELECT sha256, reference, case_reference FROM instances").fetchall()
    assert {row[0]: (row[1], row[2]) for row in rows} == filled.instances
    clinical.database.close()
    assert all(any(case == one and number >= revision for one, number in after) for case, revision in filled.told)
    assert not (after - carried) & filled.told


def test_no_number_is_used_twice_when_damaged_was_emptied_and_the_rows_are_lost(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    for number in (1, 2):
        state.clinical_db.write_bytes(b"\xff" * 3 * PAGE)
        rescue.rescue_database(state, state.clinical_db)
        [(_, report)] = rescue.list_reports(state)
        assert (report.number, report.revision_floor) == (number, 1000 * number)
        shutil.rmtree(state.clinical_db.parent / "damaged")


def test_the_rows_of_earlier_rescues_count_too(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    for number in (1, 2):
        overwrite(state.clinical_db, 0, random.Random(SEED))
        rescue.rescue_database(state, state.clinical_db)
        [(_, report)] = rescue.list_reports(state)
        assert report.number == number
        shutil.rmtree(state.clinical_db.parent / "damaged")
        state.clinical_db.with_name("clinical.db-rescues").unlink()


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


@pytest.mark.parametrize("table", ["verdicts", "identities", "reviews", "audit"])
def test_what_people_entered_is_kept_or_counted(closed: Known, tmp_path: Path, table: str) -> None:
    state = closed.copy(tmp_path / "state")
    connection = sqlite3.connect(state.clinical_db)
    (before,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    connection.close()
    overwrite(state.clinical_db, root - 1, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    report = check_rebuilt(state, closed)
    assert before > 0
    if table == "audit":  # its root is above the leaves: the page scan finds them all
        assert report.kept["audit"] == before
    else:
        assert report.kept[table] + report.lost[table] == before
    assert report.people == sum(report.lost[name] for name in ("verdicts", "identities", "reviews", "audit"))


def test_a_gap_in_the_audit_is_told_and_not_mended(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.database.connection.execute("DROP TRIGGER audit_is_kept")
    clinical.database.connection.execute("DELETE FROM audit WHERE sequence BETWEEN 5 AND 9")
    assert Audit(clinical.database).verify()[1].code == "audit.broken"
    clinical.database.close()
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    whole, reason = Audit(clinical.database).verify()
    assert (whole, reason.code) == (False, "audit.lost")
    assert reason.details["first"] == 5
    clinical.database.close()


@pytest.mark.parametrize("gone", [False, True])
def test_an_audit_that_lost_its_newest_entries_is_never_called_whole(closed: Known, tmp_path: Path, gone: bool) -> None:
    state = closed.copy(tmp_path / "state")
    if gone:
        state.clinical_db.unlink()
    else:
        with sqlite3.connect(f"{state.clinical_db.as_uri()}?mode=ro", uri=True) as connection:
            (page,) = connection.execute("SELECT MAX(pageno) FROM dbstat WHERE name = 'audit'").fetchone()
        connection.close()
        overwrite(state.clinical_db, page - 1, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    last = clinical.database.connection.execute("SELECT COUNT(*) - 1 FROM audit").fetchone()[0]
    whole, reason = Audit(clinical.database).verify()
    clinical.database.close()
    assert (whole, reason.code) in ((False, "audit.cut_off"), (False, "audit.lost"))
    if reason.code == "audit.cut_off":
        assert reason.details["after"] == last


def test_nobody_opens_a_database_that_waits_to_be_rebuilt_and_nobody_rebuilds_an_open_one(
    filled: Known, tmp_path: Path
) -> None:
    state = filled.copy(tmp_path / "state")
    first = ClinicalDatabase(state.clinical_db)
    first.require()
    overwrite(state.clinical_db, 1, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    assert list(rescue.list_reports(state)) == []
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
    assert list(rescue.list_reports(state)) == []
    assert not database_health.has_any_damage_note(state.databases)


def test_a_box_that_was_never_started_has_nothing_to_rescue(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.prepare()
    for database in state.databases:
        rescue.rescue_database(state, database)
    assert list(rescue.list_reports(state)) == []


def test_a_row_whose_file_is_gone_is_kept_and_counted(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    next(state.images.glob("*/*.dcm")).unlink()
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue.list_reports(state)
    assert report.missing == 1


def test_a_file_that_is_no_whole_image_any_more_is_counted_and_stays(filled: Known, tmp_path: Path) -> None:
    state = filled.copy(tmp_path / "state")
    broken = sorted(state.images.glob("*/*.dcm"))[0]
    data = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(data[: len(data) // 2])
    for path in state.clinical_db.parent.glob("clinical.db*"):
        path.unlink()
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue.list_reports(state)
    assert (report.unusable, report.admitted) == (1, IMAGES + PICTURES - 1)
    assert broken.with_name(broken.name + ".damaged").read_bytes() == data[: len(data) // 2]
    clinical = ClinicalDatabase(state.clinical_db)
    door = ImageIntake(state, clinical, 1, 64)
    outcomes = [door.accept_file(film).outcome for film in filled.films]
    assert outcomes.count(Outcome.ACCEPTED) == 1  # the machine has it still
    assert broken.read_bytes() == data
    clinical.database.close()


def test_a_file_that_is_whole_but_strange_keeps_its_name(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    strange = sorted(state.images.glob("*/*.dcm"))[0]
    data = strange.read_bytes()
    strange.unlink()
    strange.write_bytes(data.replace(b"1.2.4.", b"x.y.z."))  # no identity: the door would refuse it
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue.list_reports(state)
    assert (report.unusable, report.admitted) == (1, IMAGES + PICTURES - 1)
    assert strange.exists()


def test_an_image_that_cannot_be_read_does_not_keep_the_others_from_coming_back(
    closed: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = closed.copy(tmp_path / "state")
    bad = sorted(state.images.glob("*/*.dcm"))[0]
    sector, read = bad.stat().st_ino, os.pread

    def failing(descriptor: int, count: int, offset: int) -> bytes:  # no disk with a bad sector is at hand
        if os.fstat(descriptor).st_ino == sector:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    [(_, report)] = rescue.list_reports(state)
    assert (report.unusable, report.admitted) == (1, IMAGES + PICTURES - 1)
    assert bad.exists()


def test_columns_are_matched_by_name(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    connection = sqlite3.connect(state.clinical_db)
    with connection:
        connection.execute("ALTER TABLE cases ADD COLUMN ward TEXT")
        connection.execute("ALTER TABLE instances ADD COLUMN ward TEXT")
        connection.execute("UPDATE cases SET ward = 'x'")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'arrivals'").fetchone()
    connection.close()
    overwrite(state.clinical_db, page - 1, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    report = check_rebuilt(state, closed)
    assert (report.lost["cases"], report.lost["instances"], report.admitted) == (0, 0, 0)


def test_what_is_set_aside_is_for_the_box_alone(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    folder = state.clinical_db.parent / "damaged"
    assert [oct(path.stat().st_mode & 0o7777) for path in (folder, folder / "1")] == ["0o2770", "0o2770"]
    for path in (folder / "1" / "report.json", state.clinical_db, state.clinical_db.with_name("clinical.db-rescues")):
        assert oct(path.stat().st_mode & 0o7777) == "0o660"


def test_what_points_nowhere_is_dropped_and_counted(closed: Known, tmp_path: Path) -> None:
    state = closed.copy(tmp_path / "state")
    connection = sqlite3.connect(state.clinical_db)
    with connection:
        connection.execute(
            "INSERT INTO superseded (key, case_reference, body, read_at, replaced_at)"
            " SELECT key, 'c-nowhere', body, read_at, replaced_at FROM superseded LIMIT 1"
        )
    connection.close()
    overwrite(state.clinical_db, 0, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    assert check_rebuilt(state, closed).lost["superseded"] == 1


@pytest.mark.parametrize("page", ["first", "own"])
def test_which_films_were_given_away_is_kept(closed: Known, tmp_path: Path, page: str) -> None:
    """Else each would go to the model engineer a second time; where its page is lost, the backup has it."""
    state = closed.copy(tmp_path / "state")
    connection = sqlite3.connect(state.clinical_db)
    with connection:
        connection.execute(
            "INSERT INTO feedback_given (instance, case_reference, state, at)"
            " SELECT reference, case_reference, 'a digest', received_at FROM instances LIMIT 2"
        )
    given = sorted(connection.execute("SELECT * FROM feedback_given").fetchall())
    (own,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'feedback_given'").fetchone()
    connection.close()
    backup_ring.BackupRing(state.backup).make(state.databases, 3, 0)
    overwrite(state.clinical_db, 0 if page == "first" else own - 1, random.Random(SEED))
    rescue.rescue_database(state, state.clinical_db)
    with closing(sqlite3.connect(state.clinical_db)) as connection:
        assert sorted(connection.execute("SELECT * FROM feedback_given").fetchall()) == given


# --- the other two ------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path)
    state.prepare()
    return state


def test_a_damaged_exchange_is_a_new_stream(small: StateDir) -> None:
    exchange = Exchange(small.exchange_db)
    exchange.create()
    stream = exchange.line().stream
    exchange.keep_keys("verify", 3, b"signed")
    exchange.database.close()
    overwrite(small.exchange_db, 0, random.Random(SEED))
    rescue.rescue_database(small, small.exchange_db)
    exchange.require()
    assert exchange.line().stream != stream
    assert exchange.keys("verify") == b"signed"
    exchange.database.close()


def peopled(state: StateDir) -> Accounts:
    accounts = Accounts(state.accounts_db)
    accounts.create()
    for name in ("doctor", "left"):
        accounts.add(name, Role.DOCTOR)
        accounts.set_password(name, "$argon2id$old")
    return accounts


def test_whichever_page_of_the_accounts_is_damaged_no_old_password_and_no_lost_lock_lets_anybody_in(
    small: StateDir, tmp_path: Path
) -> None:
    accounts = peopled(small)
    accounts.set_password("doctor", "$argon2id$new")
    accounts.disable("left")
    code = accounts.renew("doctor")
    session = accounts.open_session("doctor")
    accounts.database.close()
    whole = small.accounts_db.read_bytes()
    kept = 0
    for page in range(len(whole) // PAGE):
        state = StateDir(tmp_path / f"page {page}")
        state.prepare()
        state.accounts_db.write_bytes(whole)
        overwrite(state.accounts_db, page, random.Random(SEED))
        rescue.rescue_database(state, state.accounts_db)
        accounts = Accounts(state.accounts_db)
        accounts.create()
        assert accounts.password_hash("doctor") in (None, "$argon2id$new")
        assert accounts.password_hash("left") is None
        for user in accounts.users():
            assert user.disabled == (user.name == "left")
        if list(rescue.list_reports(state)):
            assert accounts.session_user(session) is None
            assert accounts.claim(code) is None
        kept += len(accounts.users()) == 2
        accounts.database.close()
    assert kept >= len(whole) // PAGE - 1  # all but the page that the people stand on


def test_rows_that_an_older_page_still_holds_let_nobody_in(small: StateDir) -> None:
    accounts = peopled(small)
    accounts.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    (root,) = accounts.database.connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'users'").fetchone()
    start = PAGE * (root - 1)
    older = small.accounts_db.read_bytes()[start : start + PAGE]
    accounts.set_password("doctor", "$argon2id$new")
    accounts.disable("left")
    accounts.database.close()
    data = small.accounts_db.read_bytes()
    newer = data[start : start + PAGE]
    assert older != newer
    # Page 1, with the list of free pages, is gone; a freed leaf with the older rows comes before the present one.
    small.accounts_db.write_bytes(b"\xff" * PAGE + data[PAGE:start] + older + data[start + PAGE :] + newer)
    rescue.rescue_database(small, small.accounts_db)
    accounts.create()
    assert [user.disabled for user in accounts.users()] == [False, True]
    assert accounts.password_hash("doctor") is None
    assert not any(user.has_password for user in accounts.users())
    accounts.database.close()


def test_an_accounts_file_of_which_nothing_is_left_lets_nobody_in(small: StateDir) -> None:
    accounts = Accounts(small.accounts_db)
    accounts.create()
    accounts.add("doctor", Role.DOCTOR)
    accounts.database.close()
    small.accounts_db.write_bytes(b"\xff" * 30000)
    rescue.rescue_database(small, small.accounts_db)
    accounts.create()
    assert accounts.users() == []
    assert accounts.password_hash("doctor") is None
    accounts.database.close()
