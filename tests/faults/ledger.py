"""What the box promised to whom, and the audit of its state against it.

A sender's ledger grows with each C-STORE that was answered 0x0000.  Afterwards nothing in it may be missing, every
image must have been read once, and the hospital must have counted each case once: the films of a campaign are studies
of one image each, so a second revision of a case is already one too many.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from firmware_app.core.state_dir import StateDir

Digests = Mapping[str, str]
"""SOP Instance UID → sha256 of the data set."""
Result = TypeVar("Result")


@dataclass
class Ledger:
    """Shared by senders and auditors; `acknowledged` is written, and stamped, the moment the answer is read."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    answered_at: dict[str, float] = field(default_factory=dict)
    """SOP Instance UID → when its answer was read, by CLOCK_MONOTONIC in seconds."""
    attempts: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    longest_outage_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, uid: str, digest: str, waited_s: float) -> None:
        with self._lock:
            self.acknowledged[uid] = digest
            self.answered_at[uid] = time.monotonic()
            self.longest_outage_s = max(self.longest_outage_s, waited_s)

    def withdraw(self, uids: Iterable[str]) -> None:
        """These answers were not given after all."""
        with self._lock:
            for uid in uids:
                del self.acknowledged[uid], self.answered_at[uid]

    def snapshot(self) -> Digests:
        """What is acknowledged at this moment."""
        with self._lock:
            return dict(self.acknowledged)

    def list_acknowledged_before(self, instant: float) -> Digests:
        """What was answered before *instant*, a power cut's: a machine without power answers nothing."""
        with self._lock:
            return {uid: digest for uid, digest in self.acknowledged.items() if self.answered_at[uid] < instant}


@dataclass
class Audit:
    """What a state holds, and how whole it is."""

    present: Digests
    waiting: int
    readings: Mapping[str, int]  # how often each image was read, in the order of arrival
    revisions: Mapping[str, tuple[str, int]]  # SOP Instance UID → (case, revision)
    damage: list[str]
    refused: Counter[str]
    unjudged: int = 0  # readings that are "cannot judge", those given up included
    given_up: int = 0  # because the box's own processes died over the image

    def lost(self, acknowledged: Digests) -> list[str]:
        """Acknowledged images that are not there, byte for byte."""
        return sorted(uid for uid, digest in acknowledged.items() if self.present.get(uid) != digest)

    def unread(self, acknowledged: Digests) -> list[str]:
        return sorted(uid for uid in acknowledged if not self.readings.get(uid))

    @property
    def read_twice(self) -> list[str]:
        return sorted(uid for uid, times in self.readings.items() if times > 1)

    @property
    def twice_revised(self) -> list[str]:
        """Cases (of one image each) that came to rest more than once."""
        return sorted(uid for uid, (_, revision) in self.revisions.items() if revision > 1)


def audit(root: Path) -> Audit:
    """Look at the state below *root*, of a box that need not run: every database checked, every byte read."""
    state = StateDir(root)
    damage = [
        f"{path.name}: {complaint}"
        for path in (state.clinical_db, state.exchange_db, state.accounts_db)
        if path.exists()
        for complaint in _complaints(path)
    ]
    if not _has_schema(state.clinical_db):
        return Audit({}, 0, {}, {}, damage, Counter())
    with _Connection(state.clinical_db) as clinical:
        present = {}
        for row in clinical.execute("SELECT sop_uid, file, sha256 FROM instances"):
            content = _content(root / row["file"])
            if content is None or hashlib.sha256(content).hexdigest() != row["sha256"]:
                continue
            present[row["sop_uid"]] = digest_of_file(content)
        readings = clinical.execute(
            "SELECT i.sop_uid AS uid, (SELECT COUNT(*) FROM readings r WHERE json_extract(r.body, '$.instances[0]')"
            " = i.reference) AS times FROM instances i ORDER BY i.sequence"
        ).fetchall()
        revisions = clinical.execute(
            "SELECT i.sop_uid, c.reference, c.revision FROM instances i JOIN cases c ON c.reference = i.case_reference"
        ).fetchall()
        waiting = clinical.execute("SELECT COUNT(*) FROM instances WHERE state = 'waiting'").fetchone()[0]
        unjudged = clinical.execute(
            "SELECT COUNT(*) FROM readings WHERE json_extract(body, '$.status') <> 'read'"
        ).fetchone()[0]
        given_up = clinical.execute(
            "SELECT COUNT(*) FROM readings WHERE json_extract(body, '$.reason.code') LIKE 'reading.%gave_up'"
        ).fetchone()[0]
        refusals = clinical.execute("SELECT code, COUNT(*) FROM arrivals WHERE outcome = 'refused' GROUP BY code")
        refused = Counter({row[0]: row[1] for row in refusals})
    return Audit(
        present,
        waiting,
        {row["uid"]: row["times"] for row in readings},
        {row[0]: (row[1], row[2]) for row in revisions},
        damage,
        refused,
        unjudged,
        given_up,
    )


def count_waiting(root: Path) -> int | None:
    """How many images wait to be read; None when the database cannot be asked now."""
    return query_row(root, "SELECT COUNT(*) FROM instances WHERE state = 'waiting'", lambda row: int(row[0]))


def query_row(root: Path, question: str, answer: Callable[[sqlite3.Row], Result]) -> Result | None:
    """One row of clinical.db of a box that may be in any condition."""
    try:
        with _Connection(StateDir(root).clinical_db) as clinical:
            row = clinical.execute(question).fetchone()
    except sqlite3.Error:
        return None
    return answer(row)


def digest_of_file(content: bytes) -> str:
    """sha256 of the data set in a DICOM file (PS3.10 7.1: behind 128 + 4 bytes and group 2, which tells its length)."""
    return hashlib.sha256(content[132 + 12 + int.from_bytes(content[140:144], "little") :]).hexdigest()


class _Connection:
    """A plain connection that is closed, not only committed, at the end of the block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        deadline = time.monotonic() + 15
        while not self._path.exists():  # a box that is just being started has made none yet
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError("no such file")
            time.sleep(0.02)
        self._connection = sqlite3.connect(self._path, timeout=15)
        self._connection.row_factory = sqlite3.Row
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _complaints(path: Path) -> list[str]:
    """What SQLite's integrity_check finds; an empty file is one that never became a database."""
    try:
        with _Connection(path) as connection:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [row[0] for row in rows if row[0] != "ok"]


def _has_schema(path: Path) -> bool:
    if not path.exists():
        return False
    with _Connection(path) as connection:
        return bool(connection.execute("PRAGMA user_version").fetchone()[0])


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
