"""exchange.db: the only connection between the clinical processes and the uplink.

The reader's relay puts summaries into `outgoing`, and deletes them on the hospital's signed receipt.  The uplink sends
them, and puts the hospital's answers, unopened, into `incoming`.  Two Unix users use it, and each can work while
the other is down.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Priority, Reason
from firmware_app.core.schema import read_schema
from firmware_app.uplink.messages.box_reports import Draft
from firmware_app.uplink.messages.summary import (
    MOST_FAULTS,
    MOST_PACKS,
    Brief,
    Kind,
    Origin,
    PackBrief,
    Presence,
    Summary,
)

SCHEMA: Final = read_schema("firmware_app.uplink.exchange", first=2, first_written_by="0.2.0+gc59301e3d")
SCHEMA_VERSION: Final = SCHEMA.version
UPLINK_OPEN: Final = register("uplink.open", N_("The line to the hospital is open."))
UPLINK_INTERRUPTED: Final = register(
    "uplink.interrupted", N_("The line to the hospital was interrupted. The box opens it again and loses nothing.")
)
UPLINK_UNCONFIRMED: Final = register(
    "uplink.unconfirmed",
    N_(
        "The hospital's broker takes what this box sends, but the hospital has confirmed nothing for minutes. Have the "
        "hospital look after “lantern-hospital serve”. No summary is lost; the box sends them again by itself."
    ),
)
ENROLMENT_REQUESTED: Final = register(
    "uplink.enrolling",
    N_("This box asks the hospital to enrol it. It is done when the hospital types the code of this box's label."),
)
ENROLMENT_UNHEARD: Final = register(
    "uplink.enrolling_unheard",
    N_(
        "This box asks the hospital to enrol it, but nobody there hears it. Have the hospital look after "
        "“lantern-hospital serve”. The box asks again by itself."
    ),
)
MOST_INCOMING: Final = 1_000
"""The most unread messages of the hospital that are kept; others may be dropped, because the hospital repeats them."""


@dataclass(frozen=True, slots=True)
class OutgoingRow:
    """One brief to be sent."""

    stream: str
    seq: int
    boot: str
    brief: Brief

    def message(self, box: str) -> Summary:
        """The message that *box* sends for it; the same bytes each time."""
        return Summary(Origin(box, self.stream, self.seq, self.boot), self.brief)


@dataclass(frozen=True, slots=True)
class StreamCounters:
    """The highest numbers used in a stream; they never decrease within a stream."""

    stream: str
    highest: int
    session: int


@dataclass(frozen=True, slots=True)
class BoxHealth:
    """What the hospital may know about the box in addition to its counters."""

    faults: tuple[str, ...] = ()
    packs: tuple[PackBrief, ...] = ()
    reports: tuple[Draft, ...] = ()

    @classmethod
    def from_facts(
        cls, faults: Iterable[str], packs: Iterable[tuple[str, str]], reports: tuple[Draft, ...] = ()
    ) -> BoxHealth:
        """The codes and the (name, version) pairs that have the permitted form, up to the maximum number."""
        briefs = [PackBrief(name, version) for name, version in packs if PackBrief.accepts(pack=name, version=version)]
        codes = [code for code in faults if Presence.accepts(faults=(code,))]
        return cls(tuple(codes[:MOST_FAULTS]), tuple(briefs[:MOST_PACKS]), reports)


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message of the hospital, as received."""

    id: int
    kind: Kind
    body: bytes


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """The state of the connection to the hospital."""

    stream: str
    reason: Reason | None
    since: str | None
    outgoing: int
    urgent: int
    quarantined: int
    unread: int | None
    audit_head: str | None
    health: BoxHealth


class Exchange:
    """The exchange database.  Safe to share between the threads of one process."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)

    def create(self) -> None:
        """Make the file with a new stream; called by the supervisor, or by a command that runs alone."""
        self.database.create(SCHEMA)
        self.database.connection.execute(
            "INSERT INTO line (id, stream) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", (secrets.token_hex(16),)
        )
        # The version before merged summaries over budget; the relay copies the whole ones from the outbox again.
        self.database.connection.execute("DELETE FROM outgoing WHERE form = 'marks'")

    def require(self) -> None:
        """Raise unless the file is ready to be used by this version."""
        self.database.require(SCHEMA_VERSION)

    # --- the reader's side ---------------------------------------------------------------------------------------

    def read_counters(self) -> StreamCounters:
        """The stream, the highest number given out in it and the number of its last connection."""
        row = self.database.connection.execute(
            "SELECT stream, session, COALESCE("
            " (SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name = 'outgoing'), 0) AS highest FROM line"
        ).fetchone()
        return StreamCounters(row["stream"], row["highest"], row["session"])

    def begin_stream(self) -> None:
        """Begin a new stream, numbered from 1, and delete all rows: they may not be this box's own."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM outgoing")
            connection.execute("DELETE FROM sqlite_sequence WHERE name = 'outgoing'")
            connection.execute("UPDATE line SET stream = ?, session = 0", (secrets.token_hex(16),))

    def list_numbers(self) -> set[int]:
        """The numbers of all rows of outgoing."""
        return {row[0] for row in self.database.connection.execute("SELECT seq FROM outgoing")}

    def take_in(self, briefs: Iterable[Brief]) -> list[OutgoingRow]:
        """Add rows for *briefs*, durably, each with a new number; returns the rows."""
        with self.database.transaction():
            return [self._insert(brief) for brief in briefs]

    def _insert(self, brief: Brief) -> OutgoingRow:
        boot = clock.boot_id()
        seq, stream = self.database.connection.execute(
            "INSERT INTO outgoing (urgent, boot, form, body) VALUES (?, ?, 'brief', ?)"
            " RETURNING seq, (SELECT stream FROM line)",
            (brief.priority is Priority.URGENT, boot, json.dumps(brief.to_object())),
        ).fetchone()
        return OutgoingRow(stream, seq, boot, brief)

    def delete(self, seqs: Collection[int]) -> None:
        """Delete these rows: they are settled."""
        with self.database.transaction() as connection:
            connection.executemany("DELETE FROM outgoing WHERE seq = ?", [(seq,) for seq in seqs])

    def count_used_bytes(self) -> int:
        """The bytes that the rows take on the disk."""
        row = self.database.connection.execute(
            "SELECT (page_count - freelist_count) * page_size"
            " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        ).fetchone()
        return int(row[0])

    def list_incoming(self, limit: int = 100) -> list[IncomingMessage]:
        """The hospital's messages, oldest first."""
        rows = self.database.connection.execute("SELECT id, kind, body FROM incoming ORDER BY id LIMIT ?", (limit,))
        return [IncomingMessage(row["id"], Kind(row["kind"]), row["body"]) for row in rows]

    def delete_incoming(self, received: Sequence[IncomingMessage]) -> None:
        """Delete these messages: they were processed or are invalid."""
        with self.database.transaction() as connection:
            connection.executemany(
                "DELETE FROM incoming WHERE id = ?", [(incoming_message.id,) for incoming_message in received]
            )

    def keep_keys(self, hospital: str, serial: int, signed: bytes) -> None:
        """Store the newest keys message of *hospital* in place of the old one; the relay has checked it."""
        self.database.connection.execute(
            "INSERT OR REPLACE INTO hospital_keys (id, hospital, serial, signed) VALUES (1, ?, ?, ?)",
            (hospital, serial, signed),
        )

    def write_facts(
        self, *, unread: int | None, audit_head: str | None = None, health: BoxHealth | None = None
    ) -> None:
        """Store facts for the hospital that the uplink cannot see itself; written only when they have changed."""
        values: list[object] = [unread, audit_head]
        if health is not None:
            content = {
                "faults": health.faults,
                "packs": [pack.to_object() for pack in health.packs],
                "reports": [[draft.name, draft.content] for draft in health.reports],
            }
            values.append(json.dumps(content))
        columns = ("unread", "audit_head", "health")[: len(values)]
        connection = self.database.connection
        if list(connection.execute(f"SELECT {', '.join(columns)} FROM line").fetchone()) != values:
            connection.execute(f"UPDATE line SET {', '.join(f'{column} = ?' for column in columns)}", values)

    # --- the uplink ----------------------------------------------------------------------------------------------

    def begin_session(self) -> int:
        """The number of a new connection, never used before in this stream."""
        with self.database.transaction() as connection:
            row = connection.execute("UPDATE line SET session = session + 1 RETURNING session").fetchone()
        return int(row[0])

    def list_due(self, limit: int, under_way: Collection[int] = (), *, urgent_only: bool = False) -> list[OutgoingRow]:
        """The next rows to send that are not *under_way*: urgent ones first, then in order of arrival."""
        rows = self.database.connection.execute(
            "SELECT (SELECT stream FROM line) AS stream, seq, boot, body FROM outgoing"
            " WHERE state = 'waiting' AND urgent >= ? ORDER BY urgent DESC, seq LIMIT ?",
            (urgent_only, limit + len(under_way)),
        )
        chosen = [row for row in rows if row["seq"] not in under_way][:limit]
        return [
            OutgoingRow(row["stream"], row["seq"], row["boot"], Brief.from_object(json.loads(row["body"])))
            for row in chosen
        ]

    def filter_waiting(self, seqs: Collection[int]) -> set[int]:
        """Which of these rows were neither deleted nor quarantined."""
        rows = self.database.connection.execute(
            f"SELECT seq FROM outgoing WHERE state = 'waiting' AND seq IN ({', '.join('?' * len(seqs))})", list(seqs)
        )
        return {row[0] for row in rows}

    def quarantine(self, seq: int, reason: Reason) -> None:
        """Set one row aside with the reason, so that it does not block the next ones."""
        self.database.connection.execute(
            "UPDATE outgoing SET state = 'quarantined', code = ?, details = ? WHERE seq = ?",
            (reason.code, json.dumps(dict(reason.details)), seq),
        )

    def release(self, code: str) -> int:
        """Release the rows that were quarantined for the reason *code*; returns how many."""
        return self.database.connection.execute(
            "UPDATE outgoing SET state = 'waiting', code = NULL, details = NULL"
            " WHERE state = 'quarantined' AND code = ?",
            (code,),
        ).rowcount

    def receive(self, kind: Kind, body: bytes) -> None:
        """Store a message of the hospital, durably; beyond `MOST_INCOMING` it is dropped."""
        self.database.connection.execute(
            "INSERT INTO incoming (kind, body) SELECT ?, ? WHERE (SELECT COUNT(*) FROM incoming) < ?",
            (kind.value, body, MOST_INCOMING),
        )

    def read_keys(self, hospital: str) -> bytes | None:
        """The newest keys message of *hospital*, still signed; None before the first."""
        row = self.database.connection.execute(
            "SELECT signed FROM hospital_keys WHERE hospital = ?", (hospital,)
        ).fetchone()
        return bytes(row[0]) if row else None

    def has_unread(self) -> bool:
        """Whether the hospital has sent something that the reader's side has not processed yet."""
        return self.database.connection.execute("SELECT 1 FROM incoming").fetchone() is not None

    def write_status(self, reason: Reason | LanternError) -> None:
        """Store the state of the connection; written only when it has changed."""
        if isinstance(reason, LanternError):
            reason = Reason.from_error(reason)
        connection = self.database.connection
        values = (reason.code, json.dumps(dict(reason.details)))
        if tuple(connection.execute("SELECT code, details FROM line").fetchone()) != values:
            moment = clock.stamp_text("seconds")
            connection.execute("UPDATE line SET code = ?, details = ?, since = ?", (*values, moment))

    # --- questions -----------------------------------------------------------------------------------------------

    def read_status(self) -> UplinkStatus:
        """The state of the connection."""
        row = self.database.connection.execute("SELECT * FROM line").fetchone()
        outgoing, urgent, quarantined = self.database.connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(urgent), 0), COALESCE(SUM(state = 'quarantined'), 0) FROM outgoing"
        ).fetchone()
        reason = Reason(row["code"], json.loads(row["details"])) if row["code"] else None
        return UplinkStatus(
            stream=row["stream"],
            reason=reason,
            since=row["since"],
            outgoing=outgoing,
            urgent=urgent,
            quarantined=quarantined,
            unread=row["unread"],
            audit_head=row["audit_head"],
            health=_parse_health(row["health"]),
        )


def _parse_health(body: str) -> BoxHealth:
    raw = json.loads(body)
    packs = tuple(PackBrief.from_object(pack) for pack in raw["packs"])
    reports = tuple(Draft(*draft) for draft in raw.get("reports", ()))  # none until this version's reader has written
    return BoxHealth(tuple(raw["faults"]), packs, reports)
