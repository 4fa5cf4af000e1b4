"""inbox.db: what the boxes have sent, counted once.

A message is identified by (box, stream, seq), a case revision by (box, case, revision). Both are committed in one
transaction, on the disk before the receipt is signed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_app.core.errors import LanternError
from firmware_app.core.schema import read_schema
from firmware_app.uplink.errors import SEAL_KEY_RETIRED, Contradicted, MessageInvalid
from firmware_app.uplink.messages.box_reports import Report
from firmware_app.uplink.messages.public_keys import parse_verify_key
from firmware_app.uplink.messages.summary import Presence, Summary
from hospital.errors import INBOX_NEWER, INBOX_TOO_OLD, OUTDATED, Replayed
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_tables import BoxRow, CaseRow

SCHEMA: Final = read_schema("hospital.inbox", first=11, first_written_by="0.2.0+gc59301e3d")
MOST_ASIDE: Final = 10_000
MOST_ASIDE_OF_A_BOX: Final = 100
"""One box's rubbish pushes out its own, not that of another."""
ORDINARY_CODES: Final = (Replayed.code, OUTDATED.code, SEAL_KEY_RETIRED.code)
"""Reasons that come up by themselves: a lost receipt, a broker that delivers again, a key that was rotated meanwhile.
Of these one row of each box and kind is kept, with a count, so that they push out no others."""
_ORDINARY_SQL: Final = f"code IN {ORDINARY_CODES!r}"
_ASIDE_BYTES: Final = 4096
_BUSY_S: Final = 15.0


class CountResult(Enum):
    """The result of counting a message."""

    COUNTED = "counted"
    KNOWN = "known"  # the box sent it again, because our receipt had not reached it


@dataclass(frozen=True, slots=True)
class _KnownKeys:
    """The boxes' keys as they were at one `data_version` of a connection."""

    mark: int
    keys: Mapping[str, Ed25519PublicKey | None]


class _Connection(sqlite3.Connection):
    """Closed with the thread or the `Inbox` that held it; Python 3.13 warns of others."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it could not be opened
            self.close()


class Inbox:
    """One connection per thread to the inbox; WAL, synchronous=FULL."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """*read_only*: for queries only; a missing file is not created."""
        self.path, self._read_only = path, read_only
        self._local = threading.local()

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            address = f"{self.path.absolute().as_uri()}?mode={'ro' if self._read_only else 'rwc'}"
            connection = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None, factory=_Connection)
            connection.row_factory = sqlite3.Row
            if not self._read_only:
                connection.execute("PRAGMA journal_mode=WAL").fetchone()
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # which opens its log, too
            self._local.connection, self._local.known = connection, None
            self._local.files = self._files()
        return connection

    def is_in_place(self) -> bool:
        """Whether this thread's connection writes the files that lie at the path: a commit to files that were removed
        or replaced is seen by nobody else."""
        self.connection  # noqa: B018 - opened, where this thread has none yet
        found: list[tuple[int, int] | None] = self._local.files
        return found == self._files()

    def _files(self) -> list[tuple[int, int] | None]:
        """Device and inode of the file and its log, neither of which changes while in use."""
        paths = [self.path.with_name(self.path.name + ending) for ending in ("", "-wal", "-shm")]
        found = [path.stat() if path.exists() else None for path in paths]
        return [(status.st_dev, status.st_ino) if status else None for status in found]

    def create(self) -> None:
        """Make the file and its tables, or bring those of an earlier version up to date.

        Raises `INBOX_NEWER` or `INBOX_TOO_OLD`.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(mode=0o600)
        if os.geteuid() == 0:  # the inbox belongs to the owner of its folder, whoever creates it
            folder = self.path.parent.stat()
            os.chown(self.path, folder.st_uid, folder.st_gid)
        with self.transaction() as connection:
            _migrate(connection)

    def close(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction that is on the disk when the block ends, and undone when it raises."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # Also for a COMMIT that failed: whether SQLite has ended the transaction depends on the reason, and an open
            # one would block every later one.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    # --- boxes ---------------------------------------------------------------------------------------------------

    def enrol(self, box: str, verify: str, *, replace: bool) -> bool:
        """Remember the box's key; False when the box is here with another one and may not be replaced."""
        with self.transaction() as connection:
            row = connection.execute("SELECT verify FROM boxes WHERE box = ?", (box,)).fetchone()
            if row is not None and row["verify"] != verify and not replace:
                return False
            connection.execute(
                "INSERT INTO boxes (box, verify, enrolled_at) VALUES (?, ?, ?)"
                " ON CONFLICT (box) DO UPDATE SET verify = excluded.verify, revoked_at = NULL",
                (box, verify, _now()),
            )
        self._local.known = None  # `data_version` tells of the commits of others only
        return True

    def revoke(self, box: str) -> None:
        """Mark the box as revoked: its messages do not count any more."""
        with self.transaction() as connection:
            connection.execute("UPDATE boxes SET revoked_at = ? WHERE box = ?", (_now(), box))
        self._local.known = None

    def load_verify_keys(self) -> Mapping[str, Ed25519PublicKey | None]:
        """The verification key of every box, None for a revoked box or a weak key; read again only after a write to the
        file."""
        connection = self.connection
        mark: int = connection.execute("PRAGMA data_version").fetchone()[0]
        known: _KnownKeys | None = getattr(self._local, "known", None)
        if known is None or known.mark != mark:
            rows = connection.execute("SELECT box, verify, revoked_at FROM boxes")
            keys = {row["box"]: None if row["revoked_at"] is not None else _parse_key(row["verify"]) for row in rows}
            self._local.known = known = _KnownKeys(mark, keys)
        return known.keys

    # --- messages, inside the caller's transaction -----------------------------------------------------------------

    def count(self, message: Summary, body: bytes, envelope: bytes) -> CountResult:
        """Count a verified message once.  Raises `Replayed` for the same bytes, `Contradicted` for the same number
        with another body; nothing is written then."""
        origin = message.origin
        key = (origin.box, origin.stream, origin.seq)
        digests = hashlib.sha256(body).digest(), hashlib.sha256(envelope).digest()
        now = _now()
        fresh = self.connection.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (box, stream, seq) DO NOTHING",
            (*key, *digests, now),
        ).rowcount
        if not fresh:
            row = self.connection.execute(
                "SELECT body, envelope FROM messages WHERE box = ? AND stream = ? AND seq = ?", key
            ).fetchone()
            if row["body"] != digests[0]:
                raise Contradicted
            if row["envelope"] == digests[1]:
                raise Replayed
            inbox_tables.record_activity(self.connection, origin.box, now)
            return CountResult.KNOWN
        brief = message.brief
        self.connection.execute(
            "INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (box, case_reference, revision) DO NOTHING",
            (
                origin.box,
                brief.case,
                brief.revision,
                brief.priority.value,
                brief.hour,
                json.dumps(brief.to_object()),
                now,
            ),
        )
        inbox_tables.record_activity(self.connection, origin.box, now)
        return CountResult.COUNTED

    def keep_presence(self, presence: Presence, *, again: bool = False) -> bool:
        """Keep a presence message; False when it is known already, like a goodbye whose last will follows. Raises
        `OUTDATED` when a later one is here.  *again*: the broker itself says that it delivers this once more."""
        origin = presence.origin
        now = _now()
        changed = self.connection.execute(
            "INSERT INTO presence VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (box, stream) DO UPDATE SET"
            " session = excluded.session, beat = excluded.beat, body = excluded.body,"
            " received_at = excluded.received_at WHERE (excluded.session, excluded.beat) > (session, beat)",
            (origin.box, origin.stream, origin.seq, presence.beat, json.dumps(presence.to_object()), now),
        ).rowcount
        if changed:
            inbox_tables.record_presence(self.connection, presence, now)
            return True
        row = self.connection.execute(
            "SELECT session, beat, json_extract(body, '$.state') FROM presence WHERE box = ? AND stream = ?",
            (origin.box, origin.stream),
        ).fetchone()
        if tuple(row) == (origin.seq, presence.beat, presence.state.value):
            return False
        if not again:
            inbox_tables.record_older_presence(self.connection, origin.box, now)
        raise OUTDATED()

    def keep_report(self, report: Report, *, again: bool = False) -> bool:
        """Keep what a box reports of itself, as `inbox_tables.keep_report`."""
        now = _now()
        kept = inbox_tables.keep_report(self.connection, report, now, again=again)
        if kept:
            inbox_tables.record_activity(self.connection, report.origin.box, now)
        return kept

    def list_figures(self) -> list[dict[str, Any]]:
        """The latest word of each box on its packs, a row for each finding of a pack on a machine."""
        rows = self.connection.execute("SELECT box, body, received_at FROM latest WHERE kind = 'figures' ORDER BY box")
        return [
            {"box": row["box"], "received_at": row["received_at"], **place}
            for row in rows
            for place in json.loads(row["body"])["places"]
        ]

    def set_aside(self, error: LanternError, box: str | None, kind: str | None, payload: bytes) -> None:
        """Keep a message that was not counted, with the reason; equal bytes with the same reason are kept once, with a
        count; of `ORDINARY_CODES` reasons the number alone."""
        now = _now()
        kept, mark = payload[:_ASIDE_BYTES], payload
        if error.code in ORDINARY_CODES:
            kept, mark = b"", f"{box}\x00{kind}".encode()
        self.connection.execute(
            "INSERT INTO aside (code, details, box, kind, sha256, payload, first_at, last_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (code, sha256) DO UPDATE SET times = times + 1, last_at = excluded.last_at",
            (error.code, json.dumps(error.details), box, kind, hashlib.sha256(mark).digest(), kept, now, now),
        )
        self.connection.execute(
            "DELETE FROM aside WHERE box IS ?1 AND id <="
            " (SELECT id FROM aside WHERE box IS ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            (box, MOST_ASIDE_OF_A_BOX),
        )
        self.connection.execute("DELETE FROM aside WHERE id <= (SELECT MAX(id) FROM aside) - ?", (MOST_ASIDE,))

    # --- questions -----------------------------------------------------------------------------------------------

    def list_cases(self) -> list[CaseRow]:
        """Every case revision, the newest last, all in memory; `inbox_tables.stream_cases` yields them one by one."""
        return list(inbox_tables.stream_cases(self.connection))

    def list_boxes(self) -> list[BoxRow]:
        """Every enrolled box that was not revoked, by name."""
        return inbox_tables.list_boxes(self.connection)

    def list_aside(self, limit: int = 100, *, also_ordinary: bool = True) -> list[dict[str, Any]]:
        """Messages that were not counted, the newest first; those for an `ORDINARY_CODES` reason may be left out."""
        which = "" if also_ordinary else f" WHERE NOT {_ORDINARY_SQL}"
        rows = self.connection.execute(
            f"SELECT id, code, details, box, kind, times, first_at, last_at FROM aside{which}"
            " ORDER BY last_at DESC, id DESC LIMIT ?",
            (limit,),
        )
        return [
            {**dict(row), "details": json.loads(row["details"]), "ordinary": row["code"] in ORDINARY_CODES}
            for row in rows
        ]

    def count_ordinary(self) -> int:
        """How many messages were not counted for an `ORDINARY_CODES` reason."""
        row = self.connection.execute(f"SELECT COALESCE(SUM(times), 0) FROM aside WHERE {_ORDINARY_SQL}").fetchone()
        return int(row[0])


def _migrate(connection: sqlite3.Connection) -> None:
    """Make the tables, or upgrade those of an earlier version, inside the caller's transaction.

    Raises `INBOX_NEWER` or `INBOX_TOO_OLD`.
    """
    stored: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if stored > SCHEMA.version:
        raise INBOX_NEWER(version=stored, known=SCHEMA.version)
    if 0 < stored < SCHEMA.first:
        raise INBOX_TOO_OLD(version=SCHEMA.first_written_by)
    if stored < SCHEMA.version:
        SCHEMA.upgrade(connection, stored)
        connection.execute(f"PRAGMA user_version={SCHEMA.version}")


def _parse_key(raw: str) -> Ed25519PublicKey | None:
    """None for a weak key, by which anybody could sign."""
    try:
        return parse_verify_key(raw)
    except MessageInvalid:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
