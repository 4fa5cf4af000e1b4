"""Databases whose writer was killed, and a rescue that is."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_app.appliance import rescue, rescue_report
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from tests.unit.cases.test_rescue import SEED, Known, check_rebuilt, overwrite
from tests.unit.cases.test_rescue import closed as closed
from tests.unit.cases.test_rescue import filled as filled


@pytest.fixture
def stale(tmp_path: Path) -> StateDir:
    """Behind the valid end of the log stand commits of killed writers, over whose beginning others have written."""
    running = StateDir(tmp_path / "running")
    running.prepare()
    clinical = ClinicalDatabase(running.clinical_db)
    clinical.create()
    connection = clinical.database.connection
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("INSERT INTO cases (reference, study_uid, opened_at, touched) VALUES ('c-1', '1.2', 'x', 0)")
    Audit(clinical.database).record("doctor", "opened")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    Audit(clinical.database).record("doctor", "opened")
    index = running.clinical_db.with_name("clinical.db-shm")
    for finding in ("pneumonia", "fracture"):
        before = index.read_bytes()
        killed_in_its_commit(running, finding)
        with index.open("r+b") as file:  # it died in the fsync: the index never learnt of its frames
            file.write(before)
    Audit(clinical.database).record("doctor", "later")
    for name in ("clinical.db", "clinical.db-wal"):
        state = StateDir(tmp_path / "killed")
        state.prepare()
        shutil.copy(running.clinical_db.with_name(name), state.clinical_db.with_name(name))
    clinical.database.close()
    return StateDir(tmp_path / "killed")


def killed_in_its_commit(state: StateDir, finding: str) -> None:
    program = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA wal_autocheckpoint=0')\n"
        "for number in range(3):\n"
        "    connection.execute('BEGIN IMMEDIATE')\n"
        "    row = ('c-1', sys.argv[2] + str(number), 'agree', 1, 'd', 't')\n"
        "    connection.execute('INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?)', row)\n"
        "    connection.execute('COMMIT')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(state.clinical_db), finding], check=False)
    assert done.returncode == -signal.SIGKILL


def test_commits_behind_the_end_of_the_log_are_told_and_no_damage(
    stale: StateDir, caplog: pytest.LogCaptureFixture
) -> None:
    before = stale.clinical_db.read_bytes()
    rescue.rescue_database(stale, stale.clinical_db)
    assert "transactions behind the end of clinical.db's log are not used" in caplog.text
    assert list(rescue_report.list_reports(stale)) == []
    assert stale.clinical_db.read_bytes() == before


def test_a_rescue_that_is_killed_at_a_file_operation_is_finished_by_the_next(closed: Known, tmp_path: Path) -> None:
    killed = 0
    for call in (*range(1, 30, 3), *range(30, 110, 20)):
        state = closed.copy(tmp_path / str(call))
        overwrite(state.clinical_db, 0, random.Random(SEED))
        killed += mended_until(state, call)
        rescue.rescue_database(state, state.clinical_db)
        check_rebuilt(state, closed)
    assert killed > 8


def mended_until(state: StateDir, call: int) -> bool:
    """A process that begins the rescue and is killed before its file operation number *call*; False when it ended."""
    left = iter(range(call, -1, -1))

    def count(event: str, _arguments: object) -> None:
        if event in ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "sqlite3.connect") and not next(left):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(count)
            rescue.rescue_database(state, state.clinical_db)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
