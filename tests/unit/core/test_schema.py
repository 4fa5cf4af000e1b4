"""The schema of a file: an upgraded file is the same as a new one, and no row of it is lost."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from firmware_app.appliance import database_repair
from firmware_app.cases import accounts, clinical_db
from firmware_app.cases.clinical_db import SCHEMA_VERSION, ClinicalDatabase
from firmware_app.core.database import Database
from firmware_app.core.errors import STORE_TOO_OLD, StoreTooNew, StoreVersionError
from firmware_app.core.records import Instance
from firmware_app.core.schema import Schema, Step, normalise, read_schema, reshape
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange import exchange_db
from hospital.inbox import inbox_db as inbox
from tests.cases import read_case
from tests.refusals import raises_refusal
from tests.upgrades import additive, picture, rows

BEFORE = """
CREATE TABLE parents (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE children (parent TEXT NOT NULL, note TEXT) STRICT;
CREATE TABLE numbered (number INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;
CREATE TABLE same ("key" TEXT) STRICT;
CREATE INDEX children_parent ON children (parent);
CREATE TRIGGER noted AFTER INSERT ON children BEGIN INSERT INTO same VALUES (NEW.parent); END;
"""
AFTER = """
CREATE TABLE parents (name TEXT PRIMARY KEY, age INTEGER NOT NULL DEFAULT 3) STRICT;
CREATE TABLE children (
    parent TEXT NOT NULL REFERENCES parents (name) ON DELETE CASCADE,  -- new
    note   TEXT
) STRICT;
CREATE TABLE numbered (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT) STRICT;
CREATE TABLE same (key TEXT) STRICT;
CREATE TABLE fresh (key TEXT) STRICT;
CREATE INDEX children_parent ON children (parent, note);
CREATE TRIGGER noted AFTER INSERT ON children BEGIN INSERT INTO same VALUES (NEW.note); END;
"""


def describe_schema(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {name: normalise(sql) for name, sql in rows}


def test_a_reshaped_file_is_as_a_new_one_and_keeps_every_row_with_its_number() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as old, closing(sqlite3.connect(":memory:")) as new:
        old.executescript(BEFORE)
        old.executescript(
            "INSERT INTO parents VALUES ('a'), ('b');"
            "INSERT INTO children (rowid, parent) VALUES (7, 'b'), (3, 'a');"
            "INSERT INTO numbered VALUES (9); DELETE FROM numbered;"
        )
        reshape(old, AFTER)
        new.executescript(AFTER)
        assert describe_schema(old) == describe_schema(new)
        assert old.execute("SELECT * FROM parents").fetchall() == [("a", 3), ("b", 3)]
        assert old.execute("SELECT rowid, * FROM children").fetchall() == [(3, "a", None), (7, "b", None)]
        assert old.execute("SELECT key FROM same ORDER BY key").fetchall() == [("a",), ("b",)], (
            "copying fires no trigger"
        )
        old.execute("INSERT INTO numbered (text) VALUES ('next')")
        assert old.execute("SELECT number FROM numbered").fetchall() == [(10,)], "a number is never used twice"
        old.execute("PRAGMA foreign_keys=ON")
        old.execute("DELETE FROM parents WHERE name = 'b'")
        assert old.execute("SELECT parent FROM children").fetchall() == [("a",)]


def test_the_steps_that_a_file_has_not_seen_run_once_and_by_their_order(tmp_path: Path) -> None:
    script = "CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT) STRICT;"
    steps = (
        Step("first", "UPDATE rows SET number = number + 1;"),
        Step("second", "UPDATE rows SET number = number * 2;"),
    )
    database = Database(tmp_path / "new" / "a.db")
    database.create(Schema("CREATE TABLE rows (number INTEGER PRIMARY KEY) STRICT;", first=4))
    database.connection.execute("INSERT INTO rows VALUES (1)")
    for known, number in ((1, 2), (2, 4), (2, 4)):
        database.create(Schema(script, steps[:known], first=4))
        assert database.connection.execute("SELECT * FROM rows").fetchone()[:] == (number, None)
        assert database.connection.execute("PRAGMA user_version").fetchone()[0] == 4 + known
        assert database.connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    database.close()


def test_a_column_and_the_file_of_its_step_are_all_that_a_new_version_needs(
    clinical: ClinicalDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_case(clinical)
    clinical.database.close()
    later = tmp_path / "later_cases"
    shutil.copytree(Path(clinical_db.__file__).parent, later, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    script = (later / "schema.sql").read_text("utf-8")
    (later / "schema.sql").write_text(script.replace("CREATE TABLE cases (", "CREATE TABLE cases (\n    ward TEXT,", 1))
    step = later / "upgrades" / f"{SCHEMA_VERSION + 1}-ward.sql"
    step.write_text("ALTER TABLE cases ADD COLUMN ward TEXT;\nUPDATE cases SET ward = 'as before';\n")
    monkeypatch.syspath_prepend(tmp_path)
    schema = read_schema("later_cases", first=clinical_db.SCHEMA.first, least=clinical_db.SCHEMA.least)
    assert (schema.version, schema.steps[-1].name) == (SCHEMA_VERSION + 1, step.stem)
    for _ in range(2):
        database = Database(clinical.database.path)
        database.create(schema)
        assert [row["ward"] for row in database.connection.execute("SELECT ward FROM cases")] == ["as before"]
        assert database.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION + 1
        database.close()


@pytest.mark.parametrize("schema", [clinical_db.SCHEMA, exchange_db.SCHEMA, accounts.SCHEMA, inbox.SCHEMA])
def test_each_step_is_numbered_by_the_version_that_it_makes(schema: Schema) -> None:
    numbers = [int(step.name.partition("-")[0]) for step in schema.steps]
    assert numbers == list(range(schema.first + 1, schema.version + 1))


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    database = Database(tmp_path / "new" / "a.db")
    database.create(Schema("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT) STRICT;"))
    database.connection.execute("INSERT INTO rows VALUES (1, NULL)")
    required = Schema("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;", (Step("a", ""),))
    with pytest.raises(sqlite3.IntegrityError):
        database.create(required)
    assert database.connection.execute("SELECT * FROM rows").fetchone()[:] == (1, None)
    assert database.connection.execute("PRAGMA user_version").fetchone()[0] == 1
    database.close()


def test_a_state_that_is_too_old_is_refused_with_the_version_to_install_first(state: StateDir) -> None:
    with closing(sqlite3.connect(state.clinical_db)) as old:
        old.executescript(
            "CREATE TABLE cases (reference TEXT); INSERT INTO cases VALUES ('c-1'); PRAGMA user_version=34"
        )
    with raises_refusal(STORE_TOO_OLD, match=r"Install version 0\.2\.0\+gc59301e3d first"):
        database_repair.prepare_database(state, state.clinical_db)
    with closing(sqlite3.connect(state.clinical_db)) as kept:
        assert kept.execute("SELECT * FROM cases").fetchall() == [("c-1",)]
        assert kept.execute("PRAGMA user_version").fetchone() == (34,)
    assert issubclass(StoreTooNew, StoreVersionError)


def _upgrade_state(state: StateDir, least: int) -> None:
    """A later version was here: one step more, which the code of schema *least* may use."""
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    with clinical.database.transaction() as connection:
        connection.execute("CREATE TABLE of_later (reference TEXT PRIMARY KEY) STRICT")
        connection.execute("ALTER TABLE cases ADD COLUMN of_later TEXT")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        connection.execute(f"PRAGMA application_id={least}")
    clinical.database.close()


def test_after_a_slot_was_left_its_version_uses_the_databases_of_the_later_one(state: StateDir) -> None:
    _upgrade_state(state, SCHEMA_VERSION)
    database_repair.prepare_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    made = clinical.admit(path="a", file="images/a", sha256="a" * 64, size=1, header=None, association=None)
    assert isinstance(made, Instance)
    assert clinical.database.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION + 1
    clinical.database.close()


@pytest.mark.parametrize("least", [0, SCHEMA_VERSION + 1])
def test_a_later_database_that_says_nothing_or_names_a_later_version_is_not_opened(state: StateDir, least: int) -> None:
    _upgrade_state(state, least)
    with pytest.raises(StoreTooNew):
        database_repair.prepare_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    with pytest.raises(StoreTooNew):
        clinical.require()
    clinical.database.close()


TABLE = "CREATE TABLE a (b TEXT CHECK (b IN ('1', '2'))) STRICT;"


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (TABLE, []),
        (TABLE + "CREATE TABLE c (d TEXT REFERENCES a (b) ON DELETE CASCADE) STRICT;", []),
        (TABLE + "CREATE TABLE c (d TEXT REFERENCES a (b)) STRICT;", ["c.d refuses to let go of a"]),
        (TABLE + "CREATE INDEX i ON a (b);", []),
        (TABLE + "CREATE UNIQUE INDEX i ON a (b);", ["index i is unique"]),
        ("CREATE TABLE a (b TEXT CHECK (b IN ('1', '2')), c TEXT) STRICT;", []),
        ("CREATE TABLE a (b TEXT CHECK (b IN ('1', '2')), c TEXT NOT NULL DEFAULT '') STRICT;", []),
        ("CREATE TABLE a (b TEXT CHECK (b IN ('1', '2')), c TEXT NOT NULL) STRICT;", ["a.c is required"]),
        ("CREATE TABLE a (b TEXT CHECK (b IN ('1'))) STRICT;", ["a checks otherwise"]),
        ("CREATE TABLE a (c TEXT) STRICT;", ["a.b is gone or changed"]),
        ("CREATE TABLE b (b TEXT) STRICT;", ["table a is gone"]),
        (TABLE + "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT RAISE(ABORT, 'no'); END;", ["trigger t refuses"]),
    ],
)
def test_what_earlier_code_could_fail_at_is_named(later: str, expected: list[str]) -> None:
    assert additive.list_obstacles(TABLE, later) == expected


@pytest.mark.parametrize("module", [clinical_db, exchange_db, accounts, inbox], ids=lambda one: one.__name__)
def test_every_table_and_every_column_of_doubt_is_described(module: object) -> None:
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(module.SCHEMA.script)  # type: ignore[attr-defined]
        tables = {row[0] for row in empty.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables - {"sqlite_sequence"} == picture.read_descriptions(module.SCHEMA.script).keys()  # type: ignore[attr-defined]


def test_the_picture_of_the_schema_is_that_of_the_schema() -> None:
    assert picture.PAGE.read_text("utf-8") == picture.draw(), "run: python -m tests.upgrades.picture"


STAY = {
    "audit",
    "confirmations",
    "leaving",
    "outbox",
    "queued_results",
    "result_versions",
    "retired",
    "scored",
    "sendings",
}
STAY |= {"shown", "trial_images"}


def test_every_row_of_a_case_leaves_with_it_unless_its_table_says_why_it_stays(clinical: ClinicalDatabase) -> None:
    connection = clinical.database.connection
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    staying: set[str] = set()
    leaving: set[str] = set()
    for table in tables:
        keys = [row for row in connection.execute(f"PRAGMA foreign_key_list({table})") if row["table"] == "cases"]
        if any(row[1] == "case_reference" for row in connection.execute(f"PRAGMA table_info({table})")):
            (leaving if keys else staying).add(table)
        assert all(row["on_delete"] == "CASCADE" for row in keys)
    assert (staying, len(leaving)) == (STAY, 21)
    clinical.database.close()
    rows.fill_tables(clinical.database.path)
    with clinical.database.transaction():
        connection = clinical.database.connection
        connection.execute("DELETE FROM cases")
        left = [table for table in leaving if connection.execute(f"SELECT 1 FROM {table}").fetchone()]
        kept = [table for table in staying if connection.execute(f"SELECT 1 FROM {table}").fetchone()]
    assert (left, set(kept)) == ([], STAY)
