"""What a receipt promises: the inbox's commit is on the disk, and a batch that fails leaves nothing of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.core.records import Priority
from hospital.errors import INBOX_NEWER
from hospital.inbox.inbox_db import SCHEMA, Inbox
from tests import line
from tests.refusals import raises_refusal


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    made = Inbox(tmp_path / "inbox.db")
    made.create()
    yield made
    made.close()


def test_every_commit_of_the_inbox_is_synced(inbox: Inbox) -> None:
    assert inbox.connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert inbox.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_the_first_word_on_a_case_revision_stays(inbox: Inbox) -> None:
    for seq, priority in ((1, Priority.URGENT), (2, Priority.ROUTINE)):
        message = line.summary(seq, 0, priority)
        with inbox.transaction():
            inbox.count(message, message.encode(), b"envelope %d" % seq)
    [row] = inbox.list_cases()
    assert row.brief is not None
    assert (row.priority, row.brief["priority"]) == ("urgent", "urgent")


def test_an_inbox_of_a_newer_version_is_left_alone(inbox: Inbox) -> None:
    inbox.connection.execute(f"PRAGMA user_version={SCHEMA.version + 1}")
    with raises_refusal(INBOX_NEWER):
        inbox.create()
