"""A box that was updated keeps what it has: databases, images, packs and settings of earlier versions open."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from firmware_app.appliance import database_repair
from firmware_app.cases import clinical_db
from firmware_app.cases.accounts import Accounts
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import SCHEMA_VERSION, ClinicalDatabase
from firmware_app.cases.patients import Patients
from firmware_app.cases.worklist import Worklist
from firmware_app.core import settings as config
from firmware_app.core.database import Database
from firmware_app.core.errors import (
    StoreTooNew,
)
from firmware_app.core.records import Instance, Priority
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.storage import Outcome
from firmware_app.ingest.intake import ImageIntake
from firmware_app.packs.pack_folder import Pack
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.outbox import Outbox

UPGRADES = Path(__file__).parents[1] / "upgrades"


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
        clinical = ClinicalDatabase(path)
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
    clinical = ClinicalDatabase(path)
    clinical.create()
    clinical.require()
    (kept,) = Worklist(clinical).verdicts("c-1")
    assert (kept.finding, kept.verdict, kept.actor, kept.at.at.year) == ("pneumonia", "disagree", "li", 2026)
    clinical.database.close()


def test_a_new_database_is_the_same_as_an_updated_one(tmp_path: Path) -> None:
    def tables(clinical: ClinicalDatabase) -> list[tuple[str, str]]:
        rows = clinical.database.connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        return [(row["name"], row["sql"]) for row in rows]

    old = Database(tmp_path / "old" / "clinical.db")
    old.create([resources.files(clinical_db.__package__).joinpath("schema.sql").read_text("utf-8")])
    old.close()
    updated, fresh = (
        ClinicalDatabase(tmp_path / "old" / "clinical.db"),
        ClinicalDatabase(tmp_path / "new" / "clinical.db"),
    )
    updated.create()
    fresh.create()
    assert tables(updated) == tables(fresh)
    made = fresh.admit(path="a", file="images/a", sha256="a" * 64, size=1, header=None, association=None)
    assert isinstance(made, Instance)
    updated.database.close()
    fresh.database.close()


def test_a_database_of_a_later_version_is_not_opened(tmp_path: Path) -> None:
    later = ClinicalDatabase(tmp_path / "clinical" / "clinical.db")
    later.create()
    with pytest.raises(StoreTooNew):
        later.database.create([""])
    later.database.close()


def _renewed(state: StateDir, least: int) -> None:
    """A later version was here: one step more, which the code of schema *least* may use."""
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    with clinical.database.transaction() as connection:
        connection.execute("CREATE TABLE of_later (reference TEXT PRIMARY KEY) STRICT")
        connection.execute("ALTER TABLE cases ADD COLUMN of_later TEXT")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        connection.execute(f"PRAGMA application_id={least}")
    clinical.database.close()


def test_after_a_slot_was_left_its_version_uses_the_databases_of_the_later_one(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.prepare()
    _renewed(state, SCHEMA_VERSION)
    database_repair.prepare_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    made = clinical.admit(path="a", file="images/a", sha256="a" * 64, size=1, header=None, association=None)
    assert isinstance(made, Instance)
    assert clinical.database.connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION + 1
    clinical.database.close()


@pytest.mark.parametrize("least", [0, SCHEMA_VERSION + 1])
def test_a_later_database_that_says_nothing_or_names_a_later_version_is_not_opened(tmp_path: Path, least: int) -> None:
    state = StateDir(tmp_path)
    state.prepare()
    _renewed(state, least)
    with pytest.raises(StoreTooNew):
        database_repair.prepare_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    with pytest.raises(StoreTooNew):
        clinical.require()
    clinical.database.close()


@pytest.mark.parametrize("kept", sorted(UPGRADES.glob("*.json")), ids=lambda path: path.stem)
def test_a_state_and_a_pack_of_an_earlier_version_still_open(kept: Path, tmp_path: Path) -> None:
    """*kept* was written by that version's own code (`tests.upgrades.make`)."""
    written = json.loads(kept.read_text("utf-8"))
    state = StateDir(tmp_path / "state")
    state.prepare()
    for name, content in written["files"].items():
        path = tmp_path / name if name.startswith("toy-") else state.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    for name, statements in written["databases"].items():
        with closing(sqlite3.connect(state.root / name, isolation_level=None)) as connection:
            connection.executescript("\n".join(statements))
    for database in state.databases:
        database_repair.prepare_database(state, database)
    clinical, exchange, accounts = (
        ClinicalDatabase(state.clinical_db),
        Exchange(state.exchange_db),
        Accounts(state.accounts_db),
    )
    for one in (clinical, exchange):
        one.require()
    film = next(case for case in clinical.cases() if case.modality)
    assert film.reference is not None
    assert (film.priority, film.revision) == (Priority.URGENT, 1)
    assert [finding.code for finding in film.findings] == ["pneumonia"]
    assert [(one.verdict, one.actor) for one in Worklist(clinical).verdicts(film.reference)] == [("disagree", "doctor")]
    assert Patients(clinical, state).known(film.reference).patient.age == "003Y"
    assert Audit(clinical.database).verify()[0]
    assert len(Outbox(clinical.database).waiting(9)) == Outbox(clinical.database).count() == 2
    assert (exchange.line().outgoing, exchange.keys("verify")) == (1, b"signed")
    assert [(user.shown, user.disabled) for user in accounts.users()] == [("Doctor", False), ("left", True)]
    assert accounts.password_hash("doctor") == "$argon2id$hash"
    door = ImageIntake(state, clinical, 1, 64)  # the names follow from the old key: the same images are known again
    assert {door.accept_file(path).outcome for path in state.images.glob("*/*")} == {Outcome.DUPLICATE}
    for opened in (clinical.database, exchange.database, accounts.database):
        opened.close()
    pack = Pack.load(tmp_path / "toy-child")
    pack.verify()
    assert pack.manifest.findings[0].threshold == 0.5
    (tmp_path / "lantern.toml").write_text(written["config"], "utf-8")
    assert config.load_config(tmp_path / "lantern.toml", {}).dicom.port == 11112
