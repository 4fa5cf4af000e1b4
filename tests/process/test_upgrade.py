"""A box that is updated keeps what it has: its databases, images, packs and settings open, and no row is lost.

The state is written by the code of the version from which this one upgrades, out of the history of this repository.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import database_repair
from firmware_app.cases import clinical_db
from firmware_app.cases.accounts import Accounts
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patients
from firmware_app.core import settings as config
from firmware_app.core.records import Priority
from firmware_app.core.schema import normalise
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.storage import Outcome
from firmware_app.ingest.intake import ImageIntake
from firmware_app.packs.pack_folder import Pack
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.outbox import Outbox
from hospital.inbox.inbox_db import Inbox
from tests.upgrades import additive, rows

TREE = Path(__file__).parents[2]
COMMIT = clinical_db.SCHEMA.first_written_by.partition("+g")[2]
# What the version before does with a database that this one has upgraded, after its slot was taken again.
USED_BY_THE_VERSION_BEFORE = """
import sys
from pathlib import Path
from firmware_app.appliance import database_repair
from firmware_app.cases.case_deletion import _take_rows
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
state = StateDir(Path(sys.argv[1]))
database_repair.prepare_database(state, state.clinical_db)
clinical = ClinicalDatabase(state.clinical_db)
clinical.require()
clinical.admit(path="new", file="images/new", sha256="f" * 64, size=1, header=None, association=None)
with clinical.database.transaction() as connection:
    for (case,) in connection.execute("SELECT reference FROM cases").fetchall():
        _take_rows(connection, case, 1)
    print(connection.execute("SELECT COUNT(*) FROM cases").fetchone()[0])
"""


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version from which this one upgrades."""
    git = shutil.which("git")
    known = git and subprocess.run([git, "cat-file", "-e", f"{COMMIT}^{{commit}}"], cwd=TREE, capture_output=True)
    if not known or known.returncode:
        reason = f"the history of this repository has no commit {COMMIT}: git fetch --unshallow"
        whole = git and not (TREE / ".git" / "shallow").exists()
        (pytest.fail if whole and os.environ.get("LANTERN_REQUIRE_PEERS") == "1" else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(
        ["git", "archive", COMMIT, "firmware_app", "hospital", "tests"], cwd=TREE, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


@pytest.fixture(scope="module")
def written(old_tree: Path) -> dict[str, Any]:
    """A small state of that version."""
    made = old_tree / "state.json"
    _run_old(old_tree, "-m", "tests.upgrades.make", str(made))
    content: dict[str, Any] = json.loads(made.read_text("utf-8"))
    return content


@pytest.fixture
def state(written: dict[str, Any], tmp_path: Path) -> StateDir:
    """The state as that version left it."""
    state = StateDir(tmp_path / "state")
    state.prepare()
    for name, content in written["files"].items():
        path = tmp_path / name if name.startswith("toy-") else state.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    for name, statements in written["databases"].items():
        with closing(sqlite3.connect(state.root / name, isolation_level=None)) as connection:
            connection.executescript("\n".join(statements))
            connection.execute(f"PRAGMA application_id={clinical_db.SCHEMA.first}")
    return state


def _run_old(old_tree: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(old_tree)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=old_tree, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _describe(path: Path) -> Mapping[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        known = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {name: normalise(sql) for name, sql in known}


def test_no_row_of_any_table_is_lost_and_an_upgraded_database_is_as_a_new_one(state: StateDir, tmp_path: Path) -> None:
    for database in state.databases:
        rows.fill_tables(database)
    before = {database: rows.read_rows(database) for database in state.databases}
    assert all(len(kept) >= 1 for tables in before.values() for kept in tables.values())
    new = StateDir(tmp_path / "new")
    new.prepare()
    for database, fresh in zip(state.databases, new.databases, strict=True):
        database_repair.prepare_database(state, database)
        database_repair.prepare_database(new, fresh)
        before[database]["outgoing"] = {  # the relay copies the summaries again that were merged
            row for row in before[database].get("outgoing", ()) if ("form", "marks") not in row
        }
        assert {"outgoing": set(), **rows.read_rows(database)} == before[database]
        assert _describe(database) == _describe(fresh)
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_version_before_goes_on_with_the_databases_when_its_slot_is_taken_again(
    old_tree: Path, state: StateDir
) -> None:
    rows.fill_tables(state.clinical_db)
    old = ";\n".join(_read_script(state.clinical_db))
    assert additive.list_obstacles(old, clinical_db.SCHEMA.script) == []
    database_repair.prepare_database(state, state.clinical_db)
    script = old_tree / "use.py"
    script.write_text(USED_BY_THE_VERSION_BEFORE, "utf-8")
    assert _run_old(old_tree, str(script), str(state.root)).strip() == "0"
    database_repair.prepare_database(state, state.clinical_db)


def _read_script(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
        return [re.sub(r"--[^\n]*", "", sql) for (sql,) in found] + [""]


def test_a_state_and_a_pack_of_the_version_before_still_open(
    state: StateDir, written: dict[str, Any], tmp_path: Path
) -> None:
    for database in state.databases:
        database_repair.prepare_database(state, database)
    clinical, exchange, accounts = (
        ClinicalDatabase(state.clinical_db),
        Exchange(state.exchange_db),
        Accounts(state.accounts_db),
    )
    for one in (clinical, exchange):
        one.require()
    film = next(case for case in clinical.load_cases() if case.modality)
    assert film.reference is not None
    assert (film.priority, film.revision) == (Priority.URGENT, 1)
    assert [finding.code for finding in film.findings] == ["pneumonia"]
    assert [(verdict.verdict, verdict.actor) for verdict in CaseLists(clinical).list_verdicts(film.reference)] == [
        ("disagree", "doctor")
    ]
    assert Patients(clinical, state).load_displayed(film.reference).patient.age == "003Y"
    assert Audit(clinical.database).verify()[0]
    assert len(Outbox(clinical.database).list_waiting(9)) == Outbox(clinical.database).count() == 2
    assert (exchange.read_status().outgoing, exchange.read_keys("verify")) == (1, b"signed")
    assert [(user.shown, user.disabled) for user in accounts.list_users()] == [("Doctor", False), ("left", True)]
    assert accounts.find_password_hash("doctor") == "$argon2id$hash"
    door = ImageIntake(state, clinical, 1, 64)  # the names follow from the old key: the same images are known again
    assert {door.accept_file(path).outcome for path in state.images.glob("*/*")} == {Outcome.DUPLICATE}
    for opened in (clinical.database, exchange.database, accounts.database):
        opened.close()
    pack = Pack.load(tmp_path / "toy-child")
    pack.verify()
    assert pack.manifest.findings[0].threshold == 0.5
    (tmp_path / "lantern.toml").write_text(written["config"], "utf-8")
    assert config.load_config(tmp_path / "lantern.toml", {}).dicom.port == 11112


def test_the_hospitals_inbox_keeps_every_row(old_tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"
    made = "import sys, pathlib; from hospital.inbox.inbox_db import Inbox; Inbox(pathlib.Path(sys.argv[1])).create()"
    _run_old(old_tree, "-c", made, str(path))
    rows.fill_tables(path)
    before = rows.read_rows(path)
    reports = {name: before.pop(name) for name in ("figures", "software", "watches")}
    del before["clock_word"]
    for file in (path, tmp_path / "new.db"):
        inbox = Inbox(file)
        inbox.create()
        inbox.close()
    after = rows.read_rows(path)
    kept = {(row["kind"], row["box"], row["stream"], row["beat"]) for row in map(dict, after.pop("latest"))}
    kinds = {"figures": "figures", "software": "software", "watches": "watch"}
    assert kept == {
        (kinds[name], row["box"], row["stream"], row["beat"]) for name in reports for row in map(dict, reports[name])
    }
    assert after == before
    assert _describe(path) == _describe(tmp_path / "new.db")
