"""exchange.db: the only way between the clinic and the outside.

The reader's side puts summaries into `outgoing` and takes them out again on the hospital's signed receipt; the uplink
carries them and puts what the hospital says, unopened, into `incoming`.  Two Unix users work on it; neither needs the
other to live.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from firmware_app import clock
from firmware_app.errors import LanternError
from firmware_app.language import N_, register
from firmware_app.records import Priority, Reason
from firmware_app.store.database import Database
from firmware_app.store.outbox import CaseRevision
from firmware_app.uplink.summary import MOST_MARKS, Brief, Kind, Mark

_STEPS = ("exchange_schema.sql",)
SCHEMA_VERSION: Final = len(_STEPS)
OPEN: Final = register("uplink.open", N_("The line to the hospital is open."))
INTERRUPTED: Final = register(
    "uplink.interrupted", N_("The line to the hospital was interrupted. The box opens it again and loses nothing.")
)
MOST_INCOMING: Final = 1_000
"""Unread messages of the hospital that are kept; whatever is more comes again, because nothing rests on one message."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One row on its way: a brief, or the marks of many."""

    seq: int
    boot: str
    content: Brief | tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Incoming:
    """What the hospital said, as it came."""

    id: int
    kind: Kind
    body: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """How the line is, for whoever asks."""

    stream: str
    reason: Reason | None
    since: str | None
    outgoing: int
    urgent: int
    quarantined: int
    unread: int | None
    audit_head: str | None


class Exchange:
    """The exchange database.  Safe to share between the threads of one process."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)

    def create(self) -> None:
        """Make the file, and with it a new stream: the supervisor's task, or that of whoever runs alone."""
        folder = resources.files(__package__)
        self.database.create([folder.joinpath(name).read_text("utf-8") for name in _STEPS])
        self.database.connection.execute(
            "INSERT INTO line (id, stream) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", (secrets.token_hex(16),)
        )

    def require(self) -> None:
        """Raise unless the file is ready to be used by this version."""
        self.database.require(SCHEMA_VERSION)

    # --- the reader's side ---------------------------------------------------------------------------------------

    def take_in(self, briefs: Iterable[Brief]) -> list[int]:
        """Put these on their way, durably, each case revision once; returns the numbers of the new rows."""
        boot, taken = clock.boot_id(), []
        with self.database.transaction() as connection:
            for brief in briefs:
                known = connection.execute(
                    "SELECT 1 FROM carries WHERE case_reference = ? AND revision = ?", (brief.case, brief.revision)
                ).fetchone()
                if known is None:
                    urgent = brief.priority is Priority.URGENT
                    carried = [(brief.case, brief.revision)]
                    taken.append(self._insert(urgent, boot, "brief", brief.to_object(), carried))
        return taken

    def _insert(self, urgent: bool, boot: str, form: str, content: object, carried: Collection[CaseRevision]) -> int:
        connection = self.database.connection
        (seq,) = connection.execute(
            "INSERT INTO outgoing (urgent, boot, form, body) VALUES (?, ?, ?, ?) RETURNING seq",
            (urgent, boot, form, json.dumps(content)),
        ).fetchone()
        connection.executemany(
            "INSERT INTO carries (case_reference, revision, seq) VALUES (?, ?, ?)", [(*one, seq) for one in carried]
        )
        return int(seq)

    def carried(self, seqs: Collection[int] | None = None) -> set[CaseRevision]:
        """The case revisions in these rows of outgoing, or in all of them."""
        query, values = "SELECT case_reference, revision FROM carries", []
        if seqs is not None:
            query += f" WHERE seq IN ({', '.join('?' * len(seqs))})"
            values = list(seqs)
        return {(row[0], row[1]) for row in self.database.connection.execute(query, values)}

    def settle(self, seqs: Collection[int]) -> None:
        """The hospital has these for good."""
        with self.database.transaction() as connection:
            connection.executemany("DELETE FROM outgoing WHERE seq = ?", [(seq,) for seq in seqs])

    def renumber(self, seq: int) -> None:
        """Send this row under a number that was never used."""
        with self.database.transaction() as connection:
            row = connection.execute("SELECT * FROM outgoing WHERE seq = ?", (seq,)).fetchone()
            if row is not None:
                carried = self.carried([seq])
                connection.execute("DELETE FROM outgoing WHERE seq = ?", (seq,))
                self._insert(bool(row["urgent"]), row["boot"], row["form"], json.loads(row["body"]), carried)

    def used_bytes(self) -> int:
        """What the rows take on the disk."""
        row = self.database.connection.execute(
            "SELECT (page_count - freelist_count) * page_size"
            " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        ).fetchone()
        return int(row[0])

    def make_room(self, budget_bytes: int) -> bool:
        """Merge the oldest digests until the rows fit *budget_bytes*; False when they do not.  Urgent rows stay."""
        while self.used_bytes() > budget_bytes:
            if not self._merge():
                return False
        return True

    def _merge(self) -> bool:
        """One row of marks in the place of up to `MOST_MARKS` whole briefs.  A brief that is under way just now may
        arrive twice; the hospital counts it by case and revision."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT seq, boot, body FROM outgoing WHERE urgent = 0 AND form = 'brief' ORDER BY seq LIMIT ?",
                (MOST_MARKS,),
            ).fetchall()
            if len(rows) < 2:
                return False
            briefs = [Brief.from_object(json.loads(row["body"])) for row in rows]
            connection.executemany("DELETE FROM outgoing WHERE seq = ?", [(row["seq"],) for row in rows])
            marks = [Mark(brief.case, brief.revision, brief.priority, brief.hour) for brief in briefs]
            self._insert(
                False, rows[-1]["boot"], "marks", [mark.to_object() for mark in marks],
                [(mark.case, mark.revision) for mark in marks],
            )  # fmt: skip
        return True

    def incoming(self, limit: int = 100) -> list[Incoming]:
        """What the hospital said, oldest first."""
        rows = self.database.connection.execute("SELECT id, kind, body FROM incoming ORDER BY id LIMIT ?", (limit,))
        return [Incoming(row["id"], Kind(row["kind"]), row["body"]) for row in rows]

    def finish(self, received: Sequence[Incoming]) -> None:
        """These were acted on, or are worth nothing."""
        with self.database.transaction() as connection:
            connection.executemany("DELETE FROM incoming WHERE id = ?", [(one.id,) for one in received])

    def keep_keys(self, hospital: str, serial: int, signed: bytes) -> bool:
        """Remember the newest keys of *hospital*; False when *serial* is not newer than what is here of it."""
        with self.database.transaction() as connection:
            return bool(
                connection.execute(
                    "INSERT INTO hospital_keys VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
                    " SET hospital = excluded.hospital, serial = excluded.serial, signed = excluded.signed"
                    " WHERE excluded.hospital <> hospital OR excluded.serial > serial",
                    (hospital, serial, signed),
                ).rowcount
            )

    def note(self, *, unread: int | None, audit_head: str | None = None) -> None:
        """What the uplink cannot see for itself and the hospital may know; written only when it changed."""
        values = (unread, audit_head)
        connection = self.database.connection
        if tuple(connection.execute("SELECT unread, audit_head FROM line").fetchone()) != values:
            connection.execute("UPDATE line SET unread = ?, audit_head = ?", values)

    # --- the uplink ----------------------------------------------------------------------------------------------

    def begin_session(self) -> int:
        """The number of a new connection, never used before in this stream."""
        with self.database.transaction() as connection:
            row = connection.execute("UPDATE line SET session = session + 1 RETURNING session").fetchone()
        return int(row[0])

    def due(self, limit: int, under_way: Collection[int] = (), *, urgent_only: bool = False) -> list[Outgoing]:
        """The next rows to send that are not *under_way*: urgent first, then as they came."""
        rows = self.database.connection.execute(
            "SELECT seq, boot, form, body FROM outgoing WHERE state = 'waiting' AND urgent >= ?"
            " ORDER BY urgent DESC, seq LIMIT ?",
            (urgent_only, limit + len(under_way)),
        )
        chosen = [row for row in rows if row["seq"] not in under_way][:limit]
        return [Outgoing(row["seq"], row["boot"], _content(row["form"], row["body"])) for row in chosen]

    def still_waiting(self, seqs: Collection[int]) -> set[int]:
        """Which of these rows neither left nor were quarantined."""
        rows = self.database.connection.execute(
            f"SELECT seq FROM outgoing WHERE state = 'waiting' AND seq IN ({', '.join('?' * len(seqs))})", list(seqs)
        )
        return {row[0] for row in rows}

    def quarantine(self, seq: int, reason: Reason) -> None:
        """Set one row aside with the reason, so that the next ones flow."""
        self.database.connection.execute(
            "UPDATE outgoing SET state = 'quarantined', code = ?, details = ? WHERE seq = ?",
            (reason.code, json.dumps(dict(reason.details)), seq),
        )

    def release(self, code: str) -> int:
        """Try again what was quarantined for the reason *code*; returns how many rows."""
        return self.database.connection.execute(
            "UPDATE outgoing SET state = 'waiting', code = NULL, details = NULL"
            " WHERE state = 'quarantined' AND code = ?", (code,)
        ).rowcount  # fmt: skip

    def receive(self, kind: Kind, body: bytes) -> None:
        """Keep what the hospital said, durably; beyond `MOST_INCOMING` it is let go."""
        self.database.connection.execute(
            "INSERT INTO incoming (kind, body) SELECT ?, ? WHERE (SELECT COUNT(*) FROM incoming) < ?",
            (kind.value, body, MOST_INCOMING),
        )

    def keys(self, hospital: str) -> bytes | None:
        """The newest keys message of *hospital*, still signed; None before the first."""
        row = self.database.connection.execute(
            "SELECT signed FROM hospital_keys WHERE hospital = ?", (hospital,)
        ).fetchone()
        return bytes(row[0]) if row else None

    def tell(self, reason: Reason | LanternError) -> None:
        """How the line is now; written only when it changed."""
        if isinstance(reason, LanternError):
            reason = Reason.of(reason)
        connection = self.database.connection
        values = (reason.code, json.dumps(dict(reason.details)))
        if tuple(connection.execute("SELECT code, details FROM line").fetchone()) != values:
            moment = clock.text("seconds")
            connection.execute("UPDATE line SET code = ?, details = ?, since = ?", (*values, moment))

    # --- questions -----------------------------------------------------------------------------------------------

    def line(self) -> Line:
        """How the line is."""
        row = self.database.connection.execute("SELECT * FROM line").fetchone()
        outgoing, urgent, quarantined = self.database.connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(urgent), 0), COALESCE(SUM(state = 'quarantined'), 0) FROM outgoing"
        ).fetchone()
        reason = Reason(row["code"], json.loads(row["details"])) if row["code"] else None
        return Line(
            row["stream"], reason, row["since"], outgoing, urgent, quarantined, row["unread"], row["audit_head"]
        )


def _content(form: str, body: str) -> Brief | tuple[Mark, ...]:
    raw = json.loads(body)
    return Brief.from_object(raw) if form == "brief" else tuple(Mark.from_object(one) for one in raw)
