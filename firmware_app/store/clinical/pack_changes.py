"""Roll-backs of packs: a person asks on the page, and the reader does it between two images.

A row names the version that is to be left, so that a reader killed in the middle never goes back twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_app import clock
from firmware_app.records import Reason
from firmware_app.store.accounts import audit
from firmware_app.store.clinical.forms import reason_in, reason_text
from firmware_app.store.sqlite.database import Database

ASKED: Final = "pack.rollback_asked"
DONE: Final = "pack.rolled_back"


@dataclass(frozen=True, slots=True)
class PackChange:
    """The last roll-back that was asked for of one pack: whether it is still to be done, and why it could not be."""

    pack: str
    version: str
    actor: str
    at: clock.Stamp
    asked: bool
    reason: Reason | None


class PackChanges:
    """The roll-backs of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, pack: str, version: str, actor: str) -> None:
        """Have the reader leave this *version* of *pack* for the one before."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO pack_changes (pack, version, actor, at) VALUES (?, ?, ?, ?)",
                (pack, version, actor, clock.text("seconds")),
            )
            audit.append(connection, actor, ASKED, "", {"pack": pack, "before": version})

    def asked(self) -> list[PackChange]:
        return [one for one in self.all().values() if one.asked]

    def all(self) -> dict[str, PackChange]:
        """By the name of the pack."""
        rows = self._database.connection.execute("SELECT * FROM pack_changes ORDER BY at")
        return {
            row["pack"]: PackChange(
                row["pack"], row["version"], row["actor"], clock.parse(row["at"]), bool(row["asked"]),
                reason_in(row["reason"]),
            )
            for row in rows
        }  # fmt: skip

    def finished(self, change: PackChange, version: str | None, reason: Reason | None) -> None:
        """The *version* now in use, None where nothing was changed; or the *reason* why not."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE pack_changes SET asked = 0, reason = ? WHERE pack = ? AND version = ?",
                (reason_text(reason), change.pack, change.version),
            )
            if version is not None:
                details = {"pack": change.pack, "version": version, "before": change.version}
                audit.append(connection, change.actor, DONE, "", details)
