"""What a receipt promises: the inbox's commit is on the disk, and a batch that fails leaves nothing of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.core.records import Priority
from firmware_app.uplink.messages.summary import Brief, Modality, Opinion, Origin, SizeBand, Summary
from hospital.errors import INBOX_NEWER, TOPIC_UNKNOWN
from hospital.inbox.inbox_db import Inbox
from hospital.inbox.schema import SCHEMA
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


def fail_after_a_write(inbox: Inbox) -> None:
    with inbox.transaction():
        inbox.set_aside(TOPIC_UNKNOWN(), None, None, b"bytes")
        raise KeyboardInterrupt


def test_a_batch_that_fails_leaves_nothing_and_hinders_nobody(inbox: Inbox) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail_after_a_write(inbox)
    assert inbox.aside() == []
    with inbox.transaction():
        inbox.set_aside(TOPIC_UNKNOWN(), None, None, b"bytes")
    assert len(inbox.aside()) == 1


def test_the_first_word_on_a_case_revision_stays(inbox: Inbox) -> None:
    for seq, priority in ((1, Priority.URGENT), (2, Priority.ROUTINE)):
        brief = Brief(
            "c-" + "0" * 20,
            1,
            Modality.CR,
            None,
            None,
            None,
            priority,
            (),
            0,
            SizeBand.NONE,
            "ok",
            9,
            Opinion.NONE,
            None,
        )
        message = Summary(Origin("clinic-7", "5" * 32, seq, "b" * 16), brief)
        with inbox.transaction():
            inbox.count(message, message.encode(), b"envelope %d" % seq)
    [row] = inbox.cases()
    assert row.brief is not None
    assert (row.priority, row.brief["priority"]) == ("urgent", "urgent")


def test_an_inbox_of_a_newer_version_is_left_alone(inbox: Inbox) -> None:
    inbox.connection.execute(f"PRAGMA user_version={SCHEMA.version + 1}")
    with raises_refusal(INBOX_NEWER):
        inbox.create()
