"""The audit: who viewed, changed or exported what and who logged in, as a hash chain that shows any alteration.

Each entry's hash covers its own fields and the previous hash, so a changed, removed or inserted entry breaks the chain
at an entry that `verify` names.  Someone with access to the disk could still write a whole new chain or cut off its
end.  Therefore the head of the chain is sent to the hospital in the health summaries, and the chain can be checked
against it.

The table is in clinical.db, so a change and its entry are one transaction: there is never one without the other.
Entries name accounts, actions and case references, which identify nobody, and never a patient.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.rows import insert

START: Final = "0" * 64
CONSOLE: Final = "console"  # a person at the box itself who runs `lantern`

WHOLE: Final = register("audit.whole", N_("The audit is whole. Entries: {entries}; the last one is {head}."))
BROKEN: Final = register(
    "audit.broken",
    N_("The audit was altered: entry {sequence} is the first that does not fit. Keep a copy and tell the hospital."),
)
CUT: Final = register(
    "audit.cut",
    N_("The audit does not hold the entry {head} that the hospital was told of. Keep a copy and tell the hospital."),
)
LOST: Final = register(
    "audit.lost",
    N_(
        "{lost} entries of the audit, {first} to {last}, were lost when the database was rebuilt. The others fit: "
        "{entries} entries, the last one is {head}."
    ),
)
CUT_OFF: Final = register(
    "audit.cut_off",
    N_(
        "The audit was unreadable at its end when the database was rebuilt: entries after number {after} may be lost. "
        "The others fit: {entries} entries, the last one is {head}."
    ),
)
RESCUED: Final = "database.rescued"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit."""

    sequence: int
    at: str
    actor: str
    action: str
    case: str
    details: Mapping[str, Detail]
    previous: str
    hash: str

    def compute_hash(self) -> str:
        """The hash that these fields must have."""
        fields = [self.sequence, self.at, self.actor, self.action, self.case, dict(self.details), self.previous]
        return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of the chain, which is sent to the hospital and which `verify` can check."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


def append(
    connection: sqlite3.Connection, actor: str, action: str, case: str = "", details: Mapping[str, Detail] | None = None
) -> None:
    """Add an entry inside the caller's write transaction, which also fixes its order."""
    last = _read_head(connection)
    entry = AuditEntry(
        sequence=last.sequence + 1,
        at=clock.stamp_text(),
        actor=actor,
        action=action,
        case=case,
        details=details or {},
        previous=last.hash,
        hash="",
    )
    insert(
        connection,
        "audit",
        sequence=entry.sequence,
        at=entry.at,
        actor=actor,
        action=action,
        case_reference=case,
        details=json.dumps(dict(entry.details)),
        previous=entry.previous,
        hash=entry.compute_hash(),
    )


def append_rescue(connection: sqlite3.Connection, actor: str, number: int) -> None:
    """Record rescue *number*: the entries after the newest one that is here are lost, as far as there were any."""
    append(connection, actor, RESCUED, details={"number": number, "after": _read_head(connection).sequence})


class Audit:
    """The audit of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, actor: str, action: str, case: str = "", **details: Detail) -> None:
        """Add an entry of its own; durable on return."""
        with self._database.transaction() as connection:
            append(connection, actor, action, case, details)

    def read_head(self) -> AuditHead:
        """The newest entry; sequence 0 while there is none."""
        return _read_head(self._database.connection)

    def latest(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """At most *limit* entries, newest first, below the sequence *before*."""
        rows = self._database.connection.execute(
            "SELECT * FROM audit WHERE sequence < ? ORDER BY sequence DESC LIMIT ?", (before or 1 << 62, limit)
        )
        return [parse_entry(row) for row in rows]

    def verify(self, known_head: str | None = None) -> tuple[bool, Reason]:
        """Whether the chain is whole, and the sentence for it.

        *known_head* is the hash of a head that the hospital has; the hash is enough, because it covers the entry's
        number.  Entries that a rescue lost are reported; then the chain is not whole.
        """
        last, seen, count = AuditHead(0, START), known_head in (None, START), 0
        gaps: list[str] = []
        admitted: set[str] = set()
        cut_off: list[Detail] = []
        for row in self._rows():
            try:
                entry = parse_entry(row)
            except ValueError:  # its details are not JSON any more
                return False, Reason(BROKEN, {"sequence": last.sequence + 1})
            fits = entry.sequence == last.sequence + 1 and entry.previous == last.hash
            if entry.sequence > last.sequence + 1:
                gaps.append(f"{last.sequence + 1}-{entry.sequence - 1}")
                fits = True
            if not fits or entry.hash != entry.compute_hash():
                return False, Reason(BROKEN, {"sequence": last.sequence + 1})
            if entry.action == RESCUED:
                admitted.update(str(entry.details.get("lost", "")).split())
                cut_off += [entry.details["after"]] if "after" in entry.details else []
            last, count = AuditHead(entry.sequence, entry.hash), count + 1
            seen = seen or last.hash == known_head
        for gap in gaps:  # only gaps that a rescue has recorded in a later entry are admitted
            if gap not in admitted:
                return False, Reason(BROKEN, {"sequence": int(gap.partition("-")[0])})
        if known_head is not None and not seen:
            return False, Reason(CUT, {"head": known_head[:16]})
        if gaps:
            first, end = int(gaps[0].partition("-")[0]), int(gaps[-1].partition("-")[2])
            lost = last.sequence - count
            return False, Reason(LOST, {"lost": lost, "first": first, "last": end, "entries": count, "head": str(last)})
        if cut_off:
            return False, Reason(CUT_OFF, {"after": cut_off[0], "entries": count, "head": str(last)})
        return True, Reason(WHOLE, {"entries": last.sequence, "head": str(last)})

    def _rows(self) -> Iterator[sqlite3.Row]:
        yield from self._database.connection.execute("SELECT * FROM audit ORDER BY sequence")


def _read_head(connection: sqlite3.Connection) -> AuditHead:
    row = connection.execute("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
    return AuditHead(row["sequence"], row["hash"]) if row else AuditHead(0, START)


def parse_entry(row: sqlite3.Row) -> AuditEntry:
    """The entry in one row of the table; raises `ValueError` when its details are not JSON."""
    values = dict(row)
    return AuditEntry(case=values.pop("case_reference"), details=json.loads(values.pop("details")), **values)
