"""Changes of packs: a person asks on the page, and the reader does it between two images.

A row names the version that is to be left, or whose trial is to end, so that a reader killed in the middle never does
it twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases.accounts import audit
from firmware_app.cases.forms import reason_in, reason_text
from firmware_app.core import clock
from firmware_app.core.records import Reason
from firmware_app.core.sqlite.database import Database

ASKED: Final = "pack.rollback_asked"
DONE: Final = "pack.rolled_back"


class Wish(StrEnum):
    """What a person asks for: the version before, or the version on trial put in use or dropped."""

    BACK = "back"
    COMMIT = "commit"
    DROP = "drop"


_ASKED: Final = {Wish.BACK: ASKED, Wish.COMMIT: "pack.commit_asked", Wish.DROP: "pack.drop_asked"}


@dataclass(frozen=True, slots=True)
class PackChange:
    """The last change that was asked for of one pack: whether it is still to be done, and why it could not be."""

    pack: str
    version: str
    actor: str
    at: clock.Stamp
    asked: bool
    reason: Reason | None
    wish: Wish = Wish.BACK


class PackChanges:
    """The changes of packs that were asked for in one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, pack: str, version: str, actor: str, wish: Wish = Wish.BACK) -> None:
        """Have the reader leave this *version* of *pack* for the one before, or end its trial."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO pack_changes (pack, version, actor, at, wish) VALUES (?, ?, ?, ?, ?)",
                (pack, version, actor, clock.text("seconds"), wish),
            )
            named = "before" if wish is Wish.BACK else "version"
            audit.append(connection, actor, _ASKED[wish], "", {"pack": pack, named: version})

    def asked(self) -> list[PackChange]:
        return [one for one in self.all().values() if one.asked]

    def all(self) -> dict[str, PackChange]:
        """By the name of the pack."""
        rows = self._database.connection.execute("SELECT * FROM pack_changes ORDER BY at")
        return {
            row["pack"]: PackChange(
                row["pack"],
                row["version"],
                row["actor"],
                clock.parse(row["at"]),
                bool(row["asked"]),
                reason_in(row["reason"]),
                Wish(row["wish"]),
            )
            for row in rows
        }

    def finished(self, change: PackChange, version: str | None, reason: Reason | None) -> None:
        """The *version* now in use, None where nothing was changed; or the *reason* why not."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE pack_changes SET asked = 0, reason = ? WHERE pack = ? AND version = ?",
                (reason_text(reason), change.pack, change.version),
            )
            if version is not None and change.wish is Wish.BACK:  # the end of a trial has its own entry (`pack_trials`)
                details = {"pack": change.pack, "version": version, "before": change.version}
                audit.append(connection, change.actor, DONE, "", details)
