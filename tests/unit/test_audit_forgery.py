"""Whoever changes one entry of the audit and mends its neighbours has to write the whole rest of the chain anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.store.accounts.audit import Audit, AuditEntry
from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.disk.layout import StateDir


@pytest.fixture
def clinical(tmp_path: Path) -> Iterator[Clinical]:
    state = StateDir(tmp_path)
    state.prepare()
    made = Clinical(state.clinical_db)
    made.create()
    connection = made.database.connection
    connection.execute("DROP TRIGGER audit_is_kept")  # the forger has the disk in hand
    connection.execute("DROP TRIGGER audit_is_fixed")
    yield made
    made.database.close()


@pytest.mark.parametrize("changes", [{"actor": "nobody"}, {"at": "2026-01-01"}, {"case": "c-0"}, {"action": "none"}])
def test_an_entry_that_was_mended_breaks_the_next_one(clinical: Clinical, changes: dict[str, str]) -> None:
    audit = Audit(clinical.database)
    for number in range(5):
        audit.record("li", "case.viewed", f"c-{number:020x}")
    head = audit.head().hash
    forged = replace(audit.latest(1, before=3)[0], **changes)  # type: ignore[arg-type]
    put(clinical, forged)
    follower = audit.latest(1, before=4)[0]
    put(clinical, replace(follower, previous=forged.expected_hash()), follower.hash)
    whole, _ = audit.verify(head)
    assert not whole


@pytest.mark.parametrize("changes", [{"actor": "nobody"}, {"at": "2026-01-01"}, {"case": "c-0"}, {"action": "none"}])
def test_an_entry_that_fits_itself_again_does_not_fit_the_next_one(clinical: Clinical, changes: dict[str, str]) -> None:
    audit = Audit(clinical.database)
    for number in range(5):
        audit.record("li", "case.viewed", f"c-{number:020x}")
    put(clinical, replace(audit.latest(1, before=3)[0], **changes))  # type: ignore[arg-type]
    whole, _ = audit.verify()
    assert not whole


def put(clinical: Clinical, entry: AuditEntry, its_hash: str | None = None) -> None:
    """Write *entry* over the one of its number, with the hash that its fields must have or with *its_hash*."""
    clinical.database.connection.execute(
        "UPDATE audit SET at = ?, actor = ?, action = ?, case_reference = ?, previous = ?, hash = ? WHERE sequence = ?",
        (
            entry.at,
            entry.actor,
            entry.action,
            entry.case,
            entry.previous,
            its_hash or entry.expected_hash(),
            entry.sequence,
        ),
    )
