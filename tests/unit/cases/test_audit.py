"""The audit: nothing is changed without its entry, and no entry is changed without showing."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.cases import audit as chain
from firmware_app.cases.audit import Audit, AuditEntry
from firmware_app.cases.clinical_db import ClinicalDatabase


@pytest.fixture
def audit(clinical: ClinicalDatabase) -> Audit:
    made = Audit(clinical.database)
    for number in range(1, 6):
        made.record("li", "case.viewed", f"c-{number:020x}")
    return made


def alter_audit(clinical: ClinicalDatabase, tmp_path: Path, statement: str) -> Audit:
    """The audit after someone with the disk in hand, and no respect for triggers, has been at it."""
    clinical.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = tmp_path / "copy.db"
    shutil.copyfile(clinical.database.path, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("DROP TRIGGER audit_is_kept")
        connection.execute("DROP TRIGGER audit_is_fixed")
        connection.execute(statement)
    connection.close()
    return Audit(ClinicalDatabase(copy).database)


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE audit SET actor = 'wang' WHERE sequence = 3", 3),
        ("UPDATE audit SET at = '2020-01-01' WHERE sequence = 1", 1),
        ("UPDATE audit SET details = '{\"x\": 1}' WHERE sequence = 5", 5),
        ("UPDATE audit SET details = 'no json' WHERE sequence = 2", 2),
        ("UPDATE audit SET hash = lower(hex(randomblob(32))) WHERE sequence = 4", 4),
        ("DELETE FROM audit WHERE sequence = 2", 2),
        ("INSERT INTO audit VALUES (9, 'x', 'x', 'x', 'x', '{}', 'x', 'x')", 6),
    ],
)
def test_the_first_bad_entry_is_named(
    audit: Audit, clinical: ClinicalDatabase, tmp_path: Path, statement: str, first_bad: int
) -> None:
    assert audit.verify()[0]
    whole, sentence = alter_audit(clinical, tmp_path, statement).verify()
    assert not whole
    assert (sentence.code, sentence.details["sequence"]) == (chain.BROKEN, first_bad)


def test_a_cut_off_end_shows_against_the_head_that_was_told(
    audit: Audit, clinical: ClinicalDatabase, tmp_path: Path
) -> None:
    head = audit.read_head().hash
    shorter = alter_audit(clinical, tmp_path, "DELETE FROM audit WHERE sequence > 3")
    assert shorter.verify()[0]  # on its own, the rest fits
    whole, sentence = shorter.verify(head)
    assert not whole
    assert sentence.code == chain.CUT
    audit.record("li", "logout")
    assert audit.verify(head)[0]


def test_the_box_itself_cannot_change_an_entry(audit: Audit, clinical: ClinicalDatabase) -> None:
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            clinical.database.connection.execute(statement)
    assert audit.verify()[0]


def test_a_change_that_fails_leaves_no_entry(audit: Audit, clinical: ClinicalDatabase) -> None:
    before = audit.read_head()
    with pytest.raises(ZeroDivisionError), clinical.database.transaction() as connection:  # noqa: PT012
        chain.append(connection, "li", "case.done")
        raise ZeroDivisionError
    assert audit.read_head() == before


def test_whoever_mends_an_entry_has_to_write_the_whole_rest_anew(audit: Audit, clinical: ClinicalDatabase) -> None:
    for trigger in ("audit_is_kept", "audit_is_fixed"):  # the forger has the disk in hand
        clinical.database.connection.execute(f"DROP TRIGGER {trigger}")
    head = audit.read_head().hash
    forged = replace(audit.latest(1, before=3)[0], actor="nobody")
    put(clinical, forged, forged.compute_hash())
    assert not audit.verify()[0], "it does not fit the next one"
    follower = audit.latest(1, before=4)[0]
    put(clinical, replace(follower, previous=forged.compute_hash()), follower.hash)
    assert not audit.verify(head)[0]


def put(clinical: ClinicalDatabase, entry: AuditEntry, its_hash: str) -> None:
    """Write *entry* with *its_hash* over the one of its number."""
    clinical.database.connection.execute(
        "UPDATE audit SET at = ?, actor = ?, action = ?, case_reference = ?, previous = ?, hash = ? WHERE sequence = ?",
        (entry.at, entry.actor, entry.action, entry.case, entry.previous, its_hash, entry.sequence),
    )
