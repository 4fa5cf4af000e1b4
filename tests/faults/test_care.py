"""Clearing up and backing up for real: full disks, kills and power cuts in the middle, a lost database."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_app.appliance import backup_ring
from firmware_app.appliance.checks import databases
from firmware_app.appliance.checks import maintenance as doctor
from firmware_app.appliance.checks.check import Check
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes
from tests import toy_pack
from tests.box import make_environment, run_box, run_lantern
from tests.faults.bare_box import Modality, count_waiting, settings
from tests.faults.loopfs import loop_file_system, run
from tests.finished import confirm_time, list_case_files, make_finished_cases
from tests.reading_rig import wait_until
from tests.unit.cases.test_clearing import files_with_a_row

pytestmark = pytest.mark.appliance

PLACE = {"retention": "appliance", "backup": "appliance"}
KEEP = {"LANTERN_RETENTION__KEEP_DAYS": "3", "LANTERN_RETENTION__BALLAST_MB": "4"}
BY_AGE = {**KEEP, "LANTERN_RETENTION__DAYS": "60", "LANTERN_RETENTION__ROOM_MB": "0"}
_MEGABYTE = 1 << 20


def make_random() -> random.Random:
    seed = int(os.environ.get("LANTERN_SEED") or random.SystemRandom().randrange(10**6))
    print(f"LANTERN_SEED={seed}")
    return random.Random(seed)


def command(part: str) -> list[str]:
    return [sys.executable, "-m", f"firmware_app.{PLACE[part]}.{part}"]


def care(part: str, state: StateDir, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(part), *arguments],
        env=make_environment(state.root, **more),
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )


def read_sentences(state: StateDir, part: Callable[[Config, StateDir], Iterator[Check]]) -> str:
    """What this part of the doctor says of the box."""
    config = Config.model_validate({"state": {"dir": state.root}})
    return "\n".join(check.reason.text("en") for check in part(config, state))


def box(root: Path, films: Path, old: int, new: int) -> tuple[StateDir, list[str]]:
    """A box that knows the time, with *old* finished cases and *new* ones; which ones are old."""
    now = datetime.now(UTC)
    ages = [200 - number / 10 for number in range(old)] + [float(new - number) for number in range(new)]
    state, clinical, _, cases = make_finished_cases(root, ages, now, films)
    clinical.database.close()
    confirm_time(state)
    return state, cases[:old]


def check_consistent(state: StateDir) -> set[str]:
    """The cases: each that is there has its files, and a file without a row is known to leave, whatever was killed."""
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    try:
        assert clinical.database.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert not clinical.database.connection.execute("PRAGMA foreign_key_check").fetchall()
        assert Audit(clinical.database).verify()[0]
        on_disk, known = list_case_files(state), files_with_a_row(clinical)
        assert known <= on_disk
        listed = {row[0] for row in clinical.database.connection.execute("SELECT name FROM leaving")}
        assert {name for name in on_disk if name.startswith("images/")} - known <= listed
        return {row[0] for row in clinical.database.connection.execute("SELECT reference FROM cases")}
    finally:
        clinical.database.close()


# --- clearing up -----------------------------------------------------------------------------------------------------


def test_on_a_disk_without_a_free_byte_finished_work_makes_room(tmp_path: Path) -> None:
    with loop_file_system(tmp_path, megabytes=144) as disk:
        state, old = box(disk.mount / "state", tmp_path / "films", old=20, new=4)
        for folder in state.display.iterdir():
            (folder / "1.png").write_bytes(os.urandom(4 * _MEGABYTE))
        state.prepare_ballast(4)
        assert state.ballast.exists()
        disk.fill()
        assert free_bytes(state.root) == 0
        done = care("retention", state, **KEEP, LANTERN_RETENTION__ROOM_MB="40")
        assert done.returncode == 0, done.stderr
        assert free_bytes(state.root) + state.ballast.stat().st_size >= 40_000_000, "and the ballast is there again"
        left = check_consistent(state)
        gone = [case for case in old if case not in left]
        assert gone == old[: len(gone)], "the oldest first"
        assert 5 <= len(gone) < 20
        assert f"Finished cases deleted: {len(gone)}" in done.stdout
        assert f"Finished cases deleted: {len(gone)}" in read_sentences(state, doctor.check_retention)


def test_a_power_cut_while_cases_are_deleted_leaves_each_whole_or_gone(tmp_path: Path) -> None:
    chance = make_random()
    with loop_file_system(tmp_path, megabytes=96) as disk:
        state, old = box(disk.mount / "state", tmp_path / "films", old=25, new=4)
        before = check_consistent(state)
        run("sync", "-f", str(disk.mount))
        for _ in range(2):
            process = subprocess.Popen(
                command("retention"),
                env=make_environment(state.root, **BY_AGE),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            images = len(list(state.images.glob("*/*")))
            while process.poll() is None and len(list(state.images.glob("*/*"))) == images:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.05))
            disk.cut_power()
            process.kill()
            process.wait()
            disk.restore_power()
            assert before - set(old) <= check_consistent(state)
        assert care("retention", state, **BY_AGE).returncode == 0
        assert check_consistent(state) == before - set(old)
        assert len(list_case_files(state)) == 3 * 4


# --- backing up ------------------------------------------------------------------------------------------------------


def test_a_backup_that_was_told_of_survives_a_power_cut(tmp_path: Path) -> None:
    with loop_file_system(tmp_path, megabytes=96) as disk:
        state, _ = box(disk.mount / "state", tmp_path / "films", old=2, new=0)
        for number in range(1, 4):
            done = care("backup", state, "--now")
            disk.cut_power()
            disk.restore_power()
            assert done.returncode == 0, done.stderr
            for name in ("clinical.db",):
                newest = backup_ring.find_newest_whole(state, name)
                assert newest is not None
                assert newest[0].number == number


def test_a_box_whose_database_is_gone_has_its_images_its_people_and_its_audit_again(tmp_path: Path) -> None:
    packs = toy_pack.write_both(tmp_path / "packs")
    state = StateDir(tmp_path / "state")
    modality = Modality(tmp_path / "films", 4)
    assert run_lantern(state.root, "user", "add", "li", **settings(packs)).returncode == 0
    with run_box(state.root, **settings(packs)) as running:
        running.wait_ready()
        assert all(modality.store(number, running.ready["gateway"]["port"]) for number in range(4))
        wait_until(lambda: count_waiting(state.root) == 0)
        clinical = ClinicalDatabase(state.clinical_db)
        wait_until(lambda: all(case.revision for case in clinical.load_cases()))
        cases = [case.reference or "" for case in clinical.load_cases()]
        for case in cases:
            CaseLists(clinical).judge(case, "bright", "disagree", "li")
            CaseLists(clinical).finish(case, "li")
        head = Audit(clinical.database).read_head()
        clinical.database.close()
        assert care("backup", state, "--now", **settings(packs)).returncode == 0, "while the box works"
    for database in state.databases:
        for path in database.parent.glob(f"{database.name}*"):
            path.unlink()
    (state.clinical_db.parent / "references.key").unlink()
    with run_box(state.root, **settings(packs)) as running:
        running.wait_ready()
        wait_until(lambda: count_waiting(state.root) == 0)
    clinical = ClinicalDatabase(state.clinical_db)
    assert sorted(case.reference or "" for case in clinical.load_cases()) == sorted(cases)
    for case in cases:
        words = [(word.finding, word.actor, word.verdict) for word in CaseLists(clinical).list_verdicts(case)]
        assert words == [("bright", "li", "disagree")]
    audit = Audit(clinical.database)
    assert audit.verify(head.hash)[1].code == "audit.cut_off", "the hospital's head is in it, and the chain fits"
    clinical.database.close()
    told = read_sentences(state, databases.examine)
    assert told.count("it goes on as it was on") == told.count("they are as they were on") == 1
    assert "li" in run_lantern(state.root, "user", "list", **settings(packs)).stdout.split()
