"""`lantern serve` on a damaged database, found at start or under way: set aside and replaced, and the loss is told."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

from firmware_app.appliance import backup_ring, rescue_report
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import database_health
from firmware_app.core.state_dir import StateDir
from tests import toy_pack
from tests.box import run_box, run_lantern
from tests.faults.bare_box import Modality, count_waiting, port_of, settings
from tests.reading_rig import wait_until

IMAGES = 12
PAGE = 4096


def make_random() -> random.Random:
    seed = int(os.environ.get("LANTERN_SEED") or random.SystemRandom().randrange(10**6))
    print(f"LANTERN_SEED={seed}")
    return random.Random(seed)


def root_of(path: Path, name: str) -> int:
    """The page, counted from 0, at which table or index *name* begins."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    finally:
        connection.close()
    return int(row[0]) - 1


def overwrite(path: Path, page: int, chance: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(PAGE * page)
        file.write(chance.randbytes(PAGE))
        os.fsync(file.fileno())


def cases(state: Path) -> dict[str, str]:
    """SOP Instance UID -> case of every image."""
    clinical = ClinicalDatabase(StateDir(state).clinical_db)
    try:
        rows = clinical.database.connection.execute("SELECT sop_uid, case_reference FROM instances").fetchall()
        return {row[0]: row[1] for row in rows}
    finally:
        clinical.database.close()


def count_read(state: Path) -> int:
    clinical = ClinicalDatabase(StateDir(state).clinical_db)
    try:
        rows = clinical.database.connection.execute("SELECT body ->> '$.status' FROM readings").fetchall()
        return sum(row[0] == "read" for row in rows)
    finally:
        clinical.database.close()


def test_a_box_that_starts_on_a_damaged_database_has_every_acknowledged_image_and_reads_it_again(
    tmp_path: Path,
) -> None:
    chance = make_random()
    packs = toy_pack.write_both(tmp_path / "packs")
    state = tmp_path / "state"
    modality = Modality(tmp_path / "films", IMAGES)
    with run_box(state, **settings(packs)) as box:
        box.wait_ready()
        assert all(modality.store(number, box.ready["gateway"]["port"]) for number in range(IMAGES))
        wait_until(lambda: count_waiting(state) == 0)
    path = StateDir(state).clinical_db
    before = cases(state)
    assert sorted(before) == sorted(modality.uids)
    places = ((), ("cases", "instances", "readings"))  # nothing named: the first page
    ring = backup_ring.BackupRing(StateDir(state).backup)
    for number, place in enumerate(places, 1):
        if number > 1:
            ring.make([path], 3, 0)
        for page in [root_of(path, name) for name in place] or [0]:
            overwrite(path, page, chance)
        with run_box(state, **settings(packs)) as box:
            box.wait_ready()
            assert cases(state) == before, place
            wait_until(lambda: count_waiting(state) == 0)
            assert count_read(state) == IMAGES
            assert modality.store(chance.randrange(IMAGES), box.ready["gateway"]["port"])  # a duplicate
            assert cases(state) == before
            output = run_lantern(state, "doctor", **settings(packs)).stdout
        assert ("it goes on as it was on" if number > 1 else "damaged and begun anew") in output
        assert (path.parent / "damaged" / str(number) / "clinical.db").exists()
    assert len(list(rescue_report.list_reports(StateDir(state)))) == len(places)


def test_damage_met_under_way_stops_all_processes_and_mends_without_a_person(tmp_path: Path) -> None:
    chance = make_random()
    packs = toy_pack.write_both(tmp_path / "packs")
    state = tmp_path / "state"
    path = StateDir(state).clinical_db
    modality = Modality(tmp_path / "films", IMAGES)
    with run_box(state, **settings(packs)) as box:
        box.wait_ready()
        assert all(modality.store(number, box.ready["gateway"]["port"]) for number in range(IMAGES // 2))
        wait_until(lambda: count_waiting(state) == 0)
        before = cases(state)
        clinical = ClinicalDatabase(path)
        clinical.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        clinical.database.close()
        overwrite(path, root_of(path, "sqlite_autoindex_instances_2"), chance)
        # The next image is looked for in that index; until the box is back it is not acknowledged.
        for number in range(IMAGES // 2, IMAGES):
            wait_until(lambda number=number: modality.store(number, port_of(state)))  # type: ignore[misc]
        wait_until(lambda: not database_health.has_damage_note(path) and count_waiting(state) == 0)
        after = cases(state)
        assert sorted(after) == sorted(modality.uids)
        assert before.items() <= after.items()
        assert len(list(rescue_report.list_reports(StateDir(state)))) == 1


def test_damaged_accounts_and_exchange_do_not_keep_the_box_from_starting(tmp_path: Path) -> None:
    chance = make_random()
    packs = toy_pack.write_both(tmp_path / "packs")
    state = tmp_path / "state"
    made = run_lantern(state, "user", "add", "li", **settings(packs))
    assert made.returncode == 0
    with run_box(state, **settings(packs)) as box:
        box.wait_ready()
    backup_ring.BackupRing(StateDir(state).backup).make(StateDir(state).databases, 3, 0)
    for database in (StateDir(state).accounts_db, StateDir(state).exchange_db):
        overwrite(database, 0, chance)
    with run_box(state, **settings(packs)) as box:
        box.wait_ready()
        output = run_lantern(state, "doctor", **settings(packs)).stdout
    assert "The accounts were damaged" in output
    assert "The exchange database was damaged and begun anew" in output
    assert "li" in run_lantern(state, "user", "list", **settings(packs)).stdout.split()
