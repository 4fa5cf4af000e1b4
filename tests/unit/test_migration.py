"""A box that was updated keeps what it has: clinical.db of the first version becomes one of this version."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from firmware_app.errors import StoreTooNew
from firmware_app.records import Instance
from firmware_app.store.clinical import clinical_db
from firmware_app.store.clinical.clinical_db import SCHEMA_VERSION, Clinical
from firmware_app.store.clinical.worklist import Worklist
from firmware_app.store.sqlite.database import Database


def test_a_first_version_database_is_brought_up_to_date_once(tmp_path: Path) -> None:
    path = tmp_path / "clinical" / "clinical.db"
    old = Database(path)
    old.create([resources.files(clinical_db.__package__).joinpath("schema.sql").read_text("utf-8")])
    old.connection.execute(
        "INSERT INTO cases (reference, study_uid, opened_at, touched)"
        " VALUES ('c-1', '1.2', '2026-01-01T00:00:00+00:00', 0)"
    )
    old.close()
    for _start in range(2):
        clinical = Clinical(path)
        clinical.create()
        clinical.require()
        assert clinical.database.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION > 1
        assert [row.case for row in Worklist(clinical).rows("open", 9)] == ["c-1"]
        assert clinical.case("c-1").revision == 0
        clinical.database.close()


def test_what_a_doctor_said_before_verdicts_stood_side_by_side_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clinical" / "clinical.db"
    old = Database(path)
    names = ("schema.sql", *(f"schema_{number}.sql" for number in range(2, 8)))
    old.create([resources.files(clinical_db.__package__).joinpath(name).read_text("utf-8") for name in names])
    at = "2026-01-01T00:00:00+00:00"
    old.connection.execute("INSERT INTO cases (reference, opened_at, touched) VALUES ('c-1', ?, 0)", (at,))
    old.connection.execute("INSERT INTO verdicts VALUES ('c-1', 'pneumonia', 'disagree', 1, 'li', ?)", (at,))
    old.close()
    clinical = Clinical(path)
    clinical.create()
    clinical.require()
    (kept,) = Worklist(clinical).verdicts("c-1")
    assert (kept.finding, kept.verdict, kept.actor, kept.at.at.year) == ("pneumonia", "disagree", "li", 2026)
    clinical.database.close()


def test_a_new_database_is_the_same_as_an_updated_one(tmp_path: Path) -> None:
    def tables(clinical: Clinical) -> list[tuple[str, str]]:
        rows = clinical.database.connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        return [(row["name"], row["sql"]) for row in rows]

    old = Database(tmp_path / "old" / "clinical.db")
    old.create([resources.files(clinical_db.__package__).joinpath("schema.sql").read_text("utf-8")])
    old.close()
    updated, fresh = Clinical(tmp_path / "old" / "clinical.db"), Clinical(tmp_path / "new" / "clinical.db")
    updated.create()
    fresh.create()
    assert tables(updated) == tables(fresh)
    made = fresh.admit(path="a", file="images/a", sha256="a" * 64, size=1, header=None, association=None)
    assert isinstance(made, Instance)
    updated.database.close()
    fresh.database.close()


def test_a_database_of_a_later_version_is_not_opened(tmp_path: Path) -> None:
    later = Clinical(tmp_path / "clinical" / "clinical.db")
    later.create()
    with pytest.raises(StoreTooNew):
        later.database.create([""])
    later.database.close()
